"""Time the figures of a training, beside the analysis that they show.

    python benchmarks/figures.py            networks of 4, 12 and 60 layers, 2 and 100 analyses: two minutes
    python benchmarks/figures.py --short    4 layers, writes nothing

The network is a perceptron whose layers have residual connections, the probe 256 Gaussian samples. All figures are
drawn as PNG, as the callback does for TensorBoard; the analysis is that of `analyze` with its defaults, on one thread.
The first of each does not count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from machine import about
from rich.console import Console
from rich.table import Table
from torch import nn

from lightning_topolip import analyze
from lightning_topolip.display.pictures import draw_pictures
from lightning_topolip.topology.history import History

SAMPLES, WIDTH = 256, 32
PACKAGES = ("torch", "matplotlib")


class Block(nn.Module):
    """A layer with a residual connection."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the layer's output."""
        return x + self.inner(x).relu()


def seconds(repeats: int, action: Callable[[], object]) -> list[float]:
    """Seconds of each call after the first."""
    times = []
    for _ in range(1 + repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return times[1:]


def measure(layers: int, analyses: int, repeats: int) -> dict[str, Any]:
    """Seconds of the figures after so many analyses, and of one analysis."""
    torch.manual_seed(0)
    probe = torch.randn(SAMPLES, WIDTH)
    networks = [nn.Sequential(*[Block() for _ in range(layers)]) for _ in range(2)]
    reports = [analyze(network, probe) for network in networks]
    history = History()
    for epoch in range(analyses):
        history.add(float(epoch), reports[epoch % 2])
    return {
        "layers": layers,
        "analyses": analyses,
        "figures": sorted(draw_pictures(history, None).files),
        "drawing": seconds(repeats, lambda: draw_pictures(history, None)),
        "analysis": seconds(repeats, lambda: analyze(networks[0], probe)),
    }


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    table = Table(title=f"Medians of {len(rows[0]['drawing'])}, {SAMPLES} samples")
    for column in ("layers", "analyses so far", "all figures, s", "an analysis, s", "ratio"):
        table.add_column(column, justify="right")
    for row in rows:
        drawing, analysis = (statistics.median(row[part]) for part in ("drawing", "analysis"))
        numbers = (f"{drawing:.2f}", f"{analysis:.2f}", f"{drawing / analysis:.1f}")
        table.add_row(str(row["layers"]), str(row["analyses"]), *numbers)
    Console(width=120).print(table)


def main() -> None:
    """Measure, print the table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--short", action="store_true", help="one small network, prints only")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    cases = [(4, 2)] if options.short else [(layers, analyses) for layers in (4, 12, 60) for analyses in (2, 100)]
    rows = [measure(*case, 1 if options.short else options.repeats) for case in cases]
    show(rows)
    if not options.short:
        options.output.write_text(json.dumps({"about": about(*PACKAGES), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
