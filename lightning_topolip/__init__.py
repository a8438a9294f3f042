"""Shows, epoch by epoch, how evenly the layers of a network change the shape of its data."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_topolip.analysis import analyze
    from lightning_topolip.loss import TopoLipLoss, topolip_loss
    from lightning_topolip.metric.metric import TopoLipMetric
    from lightning_topolip.network.distances import distance_matrix
    from lightning_topolip.network.layers import resolve_layers
    from lightning_topolip.topology.comparison import Comparison, compare
    from lightning_topolip.topology.diagrams import persistence_diagrams, persistence_edges
    from lightning_topolip.topology.smoothness_report import SmoothnessReport
    from lightning_topolip.trainer.callback import TopoLipCallback
    from lightning_topolip.trainer.regularizer import TopoLipRegularizer
    from lightning_topolip.wasserstein import activation_drift, wasserstein_distance, wasserstein_matching

__version__ = "0.2.0"

__all__ = [
    "Comparison",
    "SmoothnessReport",
    "TopoLipCallback",
    "TopoLipLoss",
    "TopoLipMetric",
    "TopoLipRegularizer",
    "__version__",
    "activation_drift",
    "analyze",
    "compare",
    "distance_matrix",
    "persistence_diagrams",
    "persistence_edges",
    "resolve_layers",
    "topolip_loss",
    "wasserstein_distance",
    "wasserstein_matching",
]

# Each name is imported when it is first used: a worker process needs neither torch nor Lightning.
_HOMES = {
    "Comparison": "topology.comparison",
    "SmoothnessReport": "topology.smoothness_report",
    "TopoLipCallback": "trainer.callback",
    "TopoLipLoss": "loss",
    "TopoLipMetric": "metric.metric",
    "TopoLipRegularizer": "trainer.regularizer",
    "activation_drift": "wasserstein",
    "analyze": "analysis",
    "compare": "topology.comparison",
    "distance_matrix": "network.distances",
    "persistence_diagrams": "topology.diagrams",
    "persistence_edges": "topology.diagrams",
    "resolve_layers": "network.layers",
    "topolip_loss": "loss",
    "wasserstein_distance": "wasserstein",
    "wasserstein_matching": "wasserstein",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
