"""Draw the smoothness curves of the trained models of finished studies, side by side on one scale.

python examples/study_pictures.py docs/results/vit_vs_resnet ... --output docs/images/studies.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lightning_topolip.display.panels import Style, draw_curve
from lightning_topolip.study.judging.results import Results, results_file

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def studies_figure(folders: list[Path]) -> Figure:
    """Draw one panel per study and data set: a curve per model, the mean of its seeds, in bands of two errors."""
    panels = [(folder, data) for folder in folders for data in last_drifts(folder).unique("data")]
    figure = Figure(figsize=(4.2 * len(panels), 3.6), layout="constrained")
    for axes, (folder, data) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        draw_study(axes, last_drifts(folder).where(data=data))
        title = json.loads((folder / "about.json").read_text(encoding="utf-8"))["title"]
        axes.set_title(f"{title} ({data})", fontsize=10)
    return figure


def last_drifts(folder: Path) -> Results:
    """Return the drifts of the headline after training."""
    return Results.read(results_file(folder)).where(quantity="drift", variant="scaled W2").last_epoch()


def draw_study(axes: Axes, drifts: Results) -> None:
    """Draw the curves over relative depth, without the step from the input."""
    for model, colour in zip(drifts.unique("model"), _COLOURS, strict=False):
        runs = [drifts.where(model=model, seed=seed) for seed in drifts.where(model=model).unique("seed")]
        values = np.array([[row.value for row in run][1:] for run in runs])
        errors = np.array([[row.error for row in run][1:] for run in runs])
        seeds = values.std(axis=0, ddof=1) / np.sqrt(len(runs)) if len(runs) > 1 else 0.0
        both = np.sqrt((errors**2).mean(axis=0) + seeds**2)
        depth = np.linspace(0, 1, values.shape[1])
        draw_curve(axes, depth, values.mean(axis=0), both, Style(colour, label=model))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("relative depth", fontsize=9)
    axes.set_ylabel("drift per sample", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    studies_figure(options.folders).savefig(options.output, dpi=110)


if __name__ == "__main__":
    main()
