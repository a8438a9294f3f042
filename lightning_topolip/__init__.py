"""See, while a network trains, how smoothly it carries its data from layer to layer and from epoch to epoch."""

from lightning_topolip.analysis import analyze
from lightning_topolip.callback import TopoLipCallback
from lightning_topolip.diagrams import persistence_diagrams
from lightning_topolip.distances import distance_matrix
from lightning_topolip.layers import resolve_layers
from lightning_topolip.metric import TopoLipMetric
from lightning_topolip.smoothness import SmoothnessReport
from lightning_topolip.wasserstein import activation_drift, wasserstein_distance

__version__ = "0.1.0"

__all__ = [
    "SmoothnessReport",
    "TopoLipCallback",
    "TopoLipMetric",
    "__version__",
    "activation_drift",
    "analyze",
    "distance_matrix",
    "persistence_diagrams",
    "resolve_layers",
    "wasserstein_distance",
]
