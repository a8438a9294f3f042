"""Exact distances between persistence diagrams, and between point clouds.

W_p with the L-infinity ground metric and a diagonal at half the persistence, p in [1, inf]; its combination
over homology dimensions; and the transport distance of two clouds. Importing this package loads numpy only:
numba, scipy and POT come in with the first call that needs them.

Sources: Kerber, Morozov, Nigmetov, arXiv 1606.03357; Cohen-Steiner, Edelsbrunner, Harer, "Stability of
persistence diagrams", DOI 10.1007/s00454-006-1276-5; Flamary et al., POT, JMLR 22(78).
"""

from .distance import combine_dimensions, compile_kernels, wasserstein_distance, wasserstein_distances
from .transport import activation_drift

__all__ = ["activation_drift", "combine_dimensions", "compile_kernels", "wasserstein_distance", "wasserstein_distances"]
