"""Time the persistence engines against each other on 12 layers, in one run and on one core.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/persistence.py         some minutes
    python benchmarks/persistence.py --short                                n = 128 and 256, writes nothing

The clouds: *Gaussian* in 16 dimensions; *digits*, the outputs of the 12 blocks of an untrained residual network for
digits; *circle*, a noisy circle in the plane; *sphere 128* and *sphere 512*, uniform on a sphere in as many dimensions,
as after a last LayerNorm. The engines take turns within a repeat, and every engine gets the same float32 matrices, so
that their diagrams must be equal to the bit. An engine that exceeds the limit is cut off after a layer and not tried at
larger n.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from analysis import HAS_GIOTTO, clouds_of, digits, residual_network, versions
from rich.console import Console
from rich.table import Table

from lightning_topolip import distance_matrix
from lightning_topolip.topology.engines import compute_diagrams
from lightning_topolip.topology.matrices import float32_matrix

ENGINES, LAYERS = ("redzed", *["giotto"] * HAS_GIOTTO, "ripser", "gudhi"), 12


def gaussian(n: int, layer: int) -> torch.Tensor:
    """A Gaussian cloud in 16 dimensions."""
    return torch.randn(n, 16, generator=torch.Generator().manual_seed(layer))


def circle(n: int, layer: int) -> torch.Tensor:
    """A noisy circle in the plane."""
    generator = torch.Generator().manual_seed(layer)
    angles = 2 * torch.pi * torch.rand(n, generator=generator)
    return torch.stack([angles.cos(), angles.sin()], 1) + 0.05 * torch.randn(n, 2, generator=generator)


def sphere(n: int, layer: int, dimension: int) -> torch.Tensor:
    """Points on a sphere."""
    return torch.nn.functional.normalize(torch.randn(n, dimension, generator=torch.Generator().manual_seed(layer)))


KINDS: dict[str, Callable[[int], list[torch.Tensor]]] = {
    "Gaussian": lambda n: [gaussian(n, layer) for layer in range(LAYERS)],
    "digits": lambda n: clouds_of(residual_network(), digits(n)),
    "circle": lambda n: [circle(n, layer) for layer in range(LAYERS)],
    "sphere 128": lambda n: [sphere(n, layer, 128) for layer in range(LAYERS)],
    "sphere 512": lambda n: [sphere(n, layer, 512) for layer in range(LAYERS)],
}


def seconds_of(engine: str, matrices: list[np.ndarray], limit: float) -> tuple[float, list[Any]]:
    """Seconds of all layers and their diagrams; infinite if the limit is exceeded before the last layer."""
    start, diagrams = time.perf_counter(), []
    for matrix in matrices:
        if time.perf_counter() - start > limit:
            return math.inf, diagrams
        diagrams.append(compute_diagrams(matrix, (0, 1), engine))
    return time.perf_counter() - start, diagrams


def measure(kind: str, n: int, options: argparse.Namespace, cut: set[str]) -> dict[str, Any]:
    """Median seconds of every engine for one kind of clouds and one size."""
    matrices = [float32_matrix(distance_matrix(cloud).numpy())[0] for cloud in KINDS[kind](n)]
    seconds: dict[str, list[float]] = {engine: [] for engine in ENGINES if engine not in cut}
    for _ in range(options.repeats):
        expected = None
        for engine, taken in seconds.items():
            if sum(taken) > options.limit:
                continue
            elapsed, diagrams = seconds_of(engine, matrices, options.limit)
            taken.append(elapsed)
            expected = expected or diagrams
            for found, known in zip(diagrams, expected, strict=False):
                assert all(np.array_equal(found[k], known[k]) for k in known), f"{engine} differs"
    cut |= {engine for engine, taken in seconds.items() if max(taken) > options.limit}
    medians = {engine: float(np.median(taken)) for engine, taken in seconds.items()}
    return {
        "clouds": kind,
        "n": n,
        "seconds": {engine: median for engine, median in medians.items() if math.isfinite(median)},
        "cut off": [engine for engine, median in medians.items() if math.isinf(median)],
        "limit": options.limit,
    }


def cell(row: dict[str, Any], engine: str, fastest: float) -> str:
    """How many times as long an engine takes."""
    if engine in row["cut off"]:
        return f"over {row['limit'] / fastest:.0f}"
    return f"{row['seconds'][engine] / fastest:.1f}" if engine in row["seconds"] else "not tried"


def main() -> None:
    """Measure, print the table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512, 1024])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=30.0, help="seconds for 12 layers")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    if options.short:
        options.sizes, options.repeats, options.limit = [128, 256], 1, 5.0
    for engine in ENGINES:
        compute_diagrams(np.zeros((2, 2), np.float32), (0, 1), engine)
    load, rows = os.getloadavg()[0], []
    for kind in KINDS:
        cut: set[str] = set()
        rows += [measure(kind, n, options, cut) for n in options.sizes]
    table = Table(title=f"{LAYERS} layers: seconds of redzed, and how many times as long the others take")
    for column in ("clouds", "n", *ENGINES):
        table.add_column(column, justify="right")
    for row in rows:
        fastest = row["seconds"].get("redzed")
        cells = (cell(row, engine, fastest or row["limit"]) for engine in ENGINES[1:])
        table.add_row(row["clouds"], str(row["n"]), f"{fastest:.4f}" if fastest else f"over {row['limit']:g}", *cells)
    Console(width=100).print(table)
    if options.short:
        return
    packages = ("redzed-tda", "giotto-ph", "ripser", "gudhi", "numpy", "torch")
    about = {
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "load of a minute, before": load,
        **versions(packages),
    }
    options.output.write_text(json.dumps({"about": about, "results": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
