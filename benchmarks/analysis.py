"""Time a complete analysis of a network, and each of its stages.

    python benchmarks/analysis.py                       n = 64, 128, 256, 512: a minute
    python benchmarks/analysis.py --sizes 256 --repeats 9
    python benchmarks/analysis.py --short               n = 64, 128, 256, writes nothing

The networks are untrained: a residual network of 12 blocks, with the norms of its blocks at scale 1, and a transformer
of 12 layers that end in their norm, both for digits; and an MLP of 12 layers that end in their norm, for Gaussian
inputs, whose outputs lie on spheres, the hardest case for persistence. `analyze` runs with its defaults,
standard errors included, once more with giotto-tda's engine. The forward pass of the model is measured separately and
subtracted. `distances.py` compares with other packages.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import platform
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from lightning_topolip import analyze, distance_matrix, persistence_diagrams
from lightning_topolip.data import DigitsDataModule
from lightning_topolip.models import ResNetClassifier
from lightning_topolip.network.borrowing import borrowed
from lightning_topolip.network.forward_pass import ForwardPass, HookedLayers
from lightning_topolip.network.layers import resolve_layers
from lightning_topolip.network.probe import take_probe
from lightning_topolip.network.reductions import point_cloud
from lightning_topolip.network.sample_axis import Representation
from lightning_topolip.wasserstein import compile_kernels, wasserstein_distances

HAS_GIOTTO = find_spec("gph") is not None
STAGES = ("forward", "matrices", "persistence", "distances", "analyze", "by giotto-tda's engine")


def residual_network() -> torch.nn.Module:
    """An untrained residual network of 12 blocks."""
    torch.manual_seed(0)
    model = ResNetClassifier(size="micro", blocks=(3, 3, 3, 3))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # some start at 0, so that their blocks would be the identity
            torch.nn.init.ones_(module.weight)
    return model


def post_norm_transformer() -> torch.nn.Module:
    """An untrained transformer of 12 layers over patches of 8 x 8 pixels; each layer ends in its norm."""
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(64, nhead=4, dim_feedforward=128, batch_first=True)
    patches = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 8, stride=8), torch.nn.Flatten(2))
    encoder = torch.nn.TransformerEncoder(layer, 12, enable_nested_tensor=False)
    for parameter in encoder.parameters():  # `TransformerEncoder` makes 12 copies of one layer
        if parameter.ndim > 1:
            torch.nn.init.xavier_uniform_(parameter)
    return torch.nn.Sequential(patches, _TokensFirst(), encoder)


class _TokensFirst(torch.nn.Module):
    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        return patches.transpose(1, 2)


def post_norm_mlp() -> torch.nn.Module:
    """An untrained MLP of 12 layers of width 512, each of which ends in its norm."""
    torch.manual_seed(0)
    layers = (torch.nn.Sequential(torch.nn.Linear(512, 512), torch.nn.LayerNorm(512)) for _ in range(12))
    return torch.nn.Sequential(*layers)


def digits(n: int) -> torch.Tensor:
    """Digits of 32 x 32 pixels."""
    data = DigitsDataModule(batch_size=256)
    data.setup("fit")
    images, _ = take_probe(data.train_dataloader(), n)
    return images


def gaussian(n: int) -> torch.Tensor:
    """Gaussian inputs in 512 dimensions."""
    return torch.randn(n, 512, generator=torch.Generator().manual_seed(0))


NETWORKS: dict[str, tuple[Callable[[], torch.nn.Module], Callable[[int], torch.Tensor]]] = {
    "residual network": (residual_network, digits),
    "post-norm transformer": (post_norm_transformer, digits),
    "post-norm MLP": (post_norm_mlp, gaussian),
}


def clouds_of(model: torch.nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """The point clouds of a network's layers."""
    clouds: list[torch.Tensor] = []

    def see(name: str, module: torch.nn.Module, output: Representation) -> None:
        clouds.append(point_cloud(output.rows).clone())

    layers = HookedLayers(model, resolve_layers(model))
    forward_pass = ForwardPass(layers, len(images), see)
    with borrowed(model), layers.hook(forward_pass.output):
        model(images)
    return clouds


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those packages that are installed."""
    return {name: version(name) for name in packages if name not in ("giotto-tda", "giotto-ph") or HAS_GIOTTO}


def timed(job: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """Run a job several times; return its last result and the median of the seconds."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = job()
        seconds.append(time.perf_counter() - start)
    return result, float(np.median(seconds))


def measure(model: torch.nn.Module, images: torch.Tensor, repeats: int) -> dict[str, float]:
    """Seconds of each stage and of the complete analysis, for one network and probe."""
    model.eval()
    clouds = clouds_of(model, images)

    def forward() -> None:
        with borrowed(model):
            model(images)

    _, seconds_forward = timed(forward, repeats)
    matrices, seconds_matrices = timed(lambda: [distance_matrix(cloud).numpy() for cloud in clouds], repeats)
    diagrams, seconds_persistence = timed(lambda: [persistence_diagrams(matrix) for matrix in matrices], repeats)
    pairs = [(first[k], second[k]) for first, second in itertools.pairwise(diagrams) for k in first]
    _, seconds_distances = timed(lambda: wasserstein_distances(pairs), repeats)
    _, seconds_analyze = timed(lambda: analyze(model, images), repeats)
    _, seconds_giotto = timed(lambda: analyze(model, images, engine="giotto"), 1) if HAS_GIOTTO else (None, math.nan)
    seconds = (
        seconds_forward,
        seconds_matrices,
        seconds_persistence,
        seconds_distances,
        seconds_analyze - seconds_forward,
        seconds_giotto - seconds_forward,
    )
    return dict(zip(STAGES, seconds, strict=True))


def main() -> None:
    """Measure, print the table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/analysis.json"))
    options = parser.parse_args()
    if options.short:
        options.sizes, options.repeats = [64, 128, 256], 2
    compile_kernels()
    rows = {
        name: {str(n): measure(network(), inputs(n), options.repeats) for n in options.sizes}
        for name, (network, inputs) in NETWORKS.items()
    }
    packages = ("torch", "numpy", "numba", "redzed-tda", "giotto-ph")
    about = {"machine": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    about |= versions(packages)
    if not options.short:
        options.output.write_text(json.dumps({"about": about, "seconds": rows}, indent=2) + "\n")
    table = Table(title="Seconds; `analyze` without the forward pass of the model")
    for column in ("network", "n", *STAGES):
        table.add_column(column, justify="right")
    for name, sizes in rows.items():
        for size, row in sizes.items():
            table.add_row(name, size, *(f"{row[stage]:.3f}" for stage in STAGES))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
