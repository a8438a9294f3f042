"""Time every stage of an analysis beside giotto-tda and GUDHI, in one run on the same clouds.

    python benchmarks/analysis.py                       n = 64, 128, 256: a minute or two
    python benchmarks/analysis.py --sizes 256 512 --repeats 5

The job is that of an epoch with 12 layers: distance matrices, persistence in dimensions 0 and 1, then the 11 steps over
depth and the 12 steps from one epoch to the next, dimensions apart, orders 1, 2 and infinity: 138 distances.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gudhi.bottleneck
import gudhi.wasserstein
import numpy as np
import torch
from gtda.diagrams import PairwiseDistance
from gtda.homology import VietorisRipsPersistence
from rich.console import Console
from rich.table import Table

from lightning_topolip import analyze, distance_matrix, persistence_diagrams, wasserstein_distance
from lightning_topolip.activations import observe
from lightning_topolip.clouds import point_cloud
from lightning_topolip.data import DigitsDataModule
from lightning_topolip.layers import resolve_layers
from lightning_topolip.models import ResNetClassifier
from lightning_topolip.probe import take_probe

LAYERS, ORDERS, DIMENSIONS = 12, (1.0, 2.0, math.inf), (0, 1)
Diagrams = list[dict[int, np.ndarray]]


def random_clouds(n: int) -> list[list[torch.Tensor]]:
    """Two epochs of independent Gaussian clouds in 128 dimensions: one dense blob in H1."""
    generator = torch.Generator().manual_seed(0)
    return [[torch.randn(n, 128, generator=generator) for _ in range(LAYERS)] for _ in range(2)]


def network_and_images(n: int) -> tuple[ResNetClassifier, torch.Tensor]:
    """A residual network of 12 blocks as it is made, and digits."""
    torch.manual_seed(0)
    model = ResNetClassifier(size="micro", blocks=(3, 3, 3, 3))
    data = DigitsDataModule(batch_size=256)
    data.setup("fit")
    images, _ = take_probe(data.train_dataloader(), n)
    return model, images


def network_clouds(n: int) -> list[list[torch.Tensor]]:
    """Two epochs of the network: as it is made, and with its weights a little changed."""
    model, images = network_and_images(n)
    epochs = []
    for _ in range(2):
        clouds: list[torch.Tensor] = []
        with observe(model, resolve_layers(model), lambda _, output, clouds=clouds: clouds.append(point_cloud(output))):
            model(images)
        epochs.append([cloud.clone() for cloud in clouds])
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * parameter.std().nan_to_num() * torch.randn_like(parameter))
    return epochs


def pairs(epochs: list[Diagrams]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The 11 steps over depth and the 12 steps over epochs, dimensions apart."""
    before, after = epochs
    steps = [*itertools.pairwise(after), *zip(before, after, strict=True)]
    return [(first[k], second[k]) for first, second in steps for k in DIMENSIONS]


def ours(first: np.ndarray, second: np.ndarray, order: float) -> float:
    """This package."""
    return wasserstein_distance(first, second, order)


def with_gudhi(first: np.ndarray, second: np.ndarray, order: float) -> float:
    """GUDHI over POT, and GUDHI's exact bottleneck distance."""
    if math.isinf(order):
        return float(gudhi.bottleneck.bottleneck_distance(first, second, 0.0))
    return float(gudhi.wasserstein.wasserstein_distance(first, second, order=order, internal_p=np.inf))


def with_giotto(first: np.ndarray, second: np.ndarray, order: float) -> float:
    """giotto-tda's pairwise distances with their defaults, on the same two diagrams."""
    size = max(len(first), len(second), 1)
    batch = np.zeros((2, size, 3))
    batch[0, : len(first), :2], batch[1, : len(second), :2] = first, second
    if math.isinf(order):
        return float(PairwiseDistance(metric="bottleneck", order=None).fit_transform(batch)[0, 1, 0])
    return float(
        PairwiseDistance(metric="wasserstein", metric_params={"p": order}, order=None).fit_transform(batch)[0, 1, 0]
    )


def whole_analysis(n: int, repeats: int) -> float:
    """Seconds of `analyze` with its defaults, noise band included, beyond the model's own forward."""
    model, images = network_and_images(n)

    def forward() -> None:
        with observe(model, [], lambda *_: None):
            model(images)

    forward()
    _, seconds_forward = timed(forward, repeats)
    _, seconds = timed(lambda: analyze(model, images), repeats)
    return seconds - seconds_forward


def timed(job: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """The result, and the median of the seconds it took."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = job()
        seconds.append(time.perf_counter() - start)
    return result, float(np.median(seconds))


def measure(kind: str, n: int, repeats: int) -> dict[str, Any]:
    """All stages for one sort of clouds and one size."""
    epochs = {"random": random_clouds, "network": network_clouds}[kind](n)
    matrices, seconds_matrices = timed(lambda: [distance_matrix(cloud).numpy() for cloud in epochs[1]], repeats)
    diagrams, seconds_persistence = timed(lambda: [persistence_diagrams(matrix) for matrix in matrices], repeats)
    rips = VietorisRipsPersistence(metric="precomputed", homology_dimensions=DIMENSIONS)
    _, seconds_giotto_persistence = timed(lambda: rips.fit_transform(matrices), repeats)
    before = [persistence_diagrams(distance_matrix(cloud).numpy()) for cloud in epochs[0]]
    jobs = [(first, second, order) for first, second in pairs([before, diagrams]) for order in ORDERS]
    values, seconds = {}, {}
    for name, solver, times in (("ours", ours, repeats), ("gudhi", with_gudhi, 1), ("giotto-tda", with_giotto, 1)):
        values[name], seconds[name] = timed(lambda solver=solver: np.array([solver(*job) for job in jobs]), times)
    scale = np.maximum(values["gudhi"], 1e-12)
    return {
        "clouds": kind,
        "n": n,
        "distances": len(jobs),
        "seconds": {
            "matrices": seconds_matrices,
            "persistence": seconds_persistence,
            "persistence giotto-tda": seconds_giotto_persistence,
            "distances": seconds["ours"],
            "distances gudhi": seconds["gudhi"],
            "distances giotto-tda": seconds["giotto-tda"],
        },
        "largest relative difference to gudhi": {
            name: float((np.abs(values[name] - values["gudhi"]) / scale).max()) for name in ("ours", "giotto-tda")
        },
    }


def main() -> None:
    """Measure, print ratios, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/analysis.json"))
    options = parser.parse_args()
    rows = [measure(kind, n, options.repeats) for kind in ("random", "network") for n in options.sizes]
    whole = {str(n): whole_analysis(n, options.repeats) for n in options.sizes}
    packages = ("torch", "numpy", "scipy", "giotto-tda", "giotto-ph", "gudhi", "POT")
    about = {"machine": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    about |= {name: version(name) for name in packages}
    options.output.write_text(json.dumps({"about": about, "results": rows, "analyze": whole}, indent=2) + "\n")
    table = Table(title=f"Seconds for {LAYERS} layers and {rows[0]['distances']} distances; ratios in the same run")
    columns = ["clouds", "n", "matrices", "persistence", "of giotto-tda", "distances", "of GUDHI", "of giotto-tda"]
    for column in [*columns, "error", "giotto-tda's"]:
        table.add_column(column, justify="right")
    for row in rows:
        s, error = row["seconds"], row["largest relative difference to gudhi"]
        table.add_row(
            row["clouds"],
            str(row["n"]),
            f"{s['matrices']:.3f}",
            f"{s['persistence']:.3f}",
            f"{s['persistence giotto-tda'] / s['persistence']:.1f} x",
            f"{s['distances']:.3f}",
            f"{s['distances gudhi'] / s['distances']:.0f} x",
            f"{s['distances giotto-tda'] / s['distances']:.0f} x",
            f"{error['ours']:.0e}",
            f"{error['giotto-tda']:.0e}",
        )
    console = Console(width=120)
    console.print(table)
    said = ", ".join(f"{seconds:.2f} s for n = {n}" for n, seconds in whole.items())
    console.print(f"A whole analysis of the network, noise band included, beyond its forward: {said}", highlight=False)


if __name__ == "__main__":
    main()
