"""Lower and upper bounds on the Lipschitz constants of layers and networks.

| function | bound | of |
| --- | --- | --- |
| `pairwise_lipschitz` | lower | the map between two layers, from the pairs of samples in the probe |
| `local_lipschitz`, `layer_lipschitz` | lower, at each sample | any module; every step of a network |
| `operator_norm` | upper, exact for dense layers and small convolutions | linear layers |
| `attention_bound`, `self_attention_bound` | upper on balls | dot-product attention |
| `lipschitz_bound`, `layer_bounds` | upper | any module of supported functions; every step of a network |
"""

from lightning_topolip.lipschitz.attention import Operand, attention_bound, self_attention_bound
from lightning_topolip.lipschitz.bound import LipschitzBound, lipschitz_bound, operator_norm
from lightning_topolip.lipschitz.local_constant import LocalLipschitz, local_lipschitz
from lightning_topolip.lipschitz.network import LayerConstants, layer_bounds, layer_lipschitz
from lightning_topolip.topology.names import OUTPUT
from lightning_topolip.topology.pairwise import PairwiseLipschitz, pairwise_lipschitz

__all__ = [
    "OUTPUT",
    "LayerConstants",
    "LipschitzBound",
    "LocalLipschitz",
    "Operand",
    "PairwiseLipschitz",
    "attention_bound",
    "layer_bounds",
    "layer_lipschitz",
    "lipschitz_bound",
    "local_lipschitz",
    "operator_norm",
    "pairwise_lipschitz",
    "self_attention_bound",
]
