"""Exact distances between persistence diagrams, and between point clouds.

W_p of diagrams for p in [1, inf], with the L-infinity ground metric and the diagonal at half the persistence, and the
matching behind it; its combination over homology dimensions; and the transport distance of two clouds. Importing this
package loads only numpy: numba, scipy and POT are imported by the first call that needs them.

Sources: Kerber, Morozov, Nigmetov, arXiv:1606.03357; Cohen-Steiner, Edelsbrunner, Harer, "Stability of
persistence diagrams", DOI 10.1007/s00454-006-1276-5; Flamary et al., POT, JMLR 22(78).
"""

from lightning_topolip.wasserstein.distance import (
    combine_dimensions,
    compile_kernels,
    kernels_are_cached,
    wasserstein_distance,
    wasserstein_distances,
)
from lightning_topolip.wasserstein.matching import wasserstein_matching
from lightning_topolip.wasserstein.transport import activation_drift

__all__ = [
    "activation_drift",
    "combine_dimensions",
    "compile_kernels",
    "kernels_are_cached",
    "wasserstein_distance",
    "wasserstein_distances",
    "wasserstein_matching",
]
