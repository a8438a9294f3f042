"""Reports and histories of random clouds with the names of a network."""

import torch

from lightning_topolip.network.distances import distance_matrix
from lightning_topolip.topology.history import History
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.settings import Settings
from lightning_topolip.topology.smoothness_report import SmoothnessReport, smoothness_report

NAMES = ("<input>", "network.blocks.0", "network.blocks.1", "network.blocks.2", "network.blocks.3")


def cloud_report(
    seed: int, names: tuple[str, ...] = NAMES, missing: tuple[str, ...] = (), **settings: object
) -> SmoothnessReport:
    generator = torch.Generator().manual_seed(seed)
    clouds = {name: torch.randn(16, 3, generator=generator) for name in names}
    matrices = {name: None if name in missing else distance_matrix(cloud).numpy() for name, cloud in clouds.items()}
    return smoothness_report(Measurement(matrices, points=16), Settings(**settings))  # type: ignore[arg-type]


def cloud_history(analyses: int = 3, **settings: object) -> History:
    run = History()
    for epoch in range(analyses):
        run.add(float(epoch), cloud_report(epoch, **settings))  # type: ignore[arg-type]
    return run
