"""The figures of a run as PNG files, drawn without Lightning and torch, so that a worker process can do it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING

from lightning_topolip.topology.history import History
from lightning_topolip.topology.smoothness_report import SmoothnessReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Pictures:
    """The figures of a run at one analysis.

    Attributes:
        files: PNG files by name.
        errors: Why the others could not be drawn, by name.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def draw_pictures(history: History, layers: Sequence[str] | None) -> Pictures:
    """Draw a run up to its latest analysis.

    Args:
        history: The run.
        layers: Layers whose diagrams are drawn; first, middle and last by default.
    """
    pictures = Pictures()
    if history.last is None:
        return pictures
    for name in ["smoothness", "diagrams"] + ["epoch_map"] * (len(history.epochs) > 1):
        try:
            pictures.files[name] = png(_draw(name, history, history.last, layers))
        except Exception as error:
            pictures.errors[name] = repr(error)
    return pictures


def png(figure: Figure) -> bytes:
    """Render a figure as the content of a PNG file."""
    content = BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def _draw(name: str, history: History, last: SmoothnessReport, layers: Sequence[str] | None) -> Figure:
    """Draw one figure; matplotlib is imported here, so that a failing import does not end a training."""
    from lightning_topolip.display import plots

    if name == "smoothness":
        return plots.smoothness_figure(history)
    if name == "epoch_map":
        return plots.epoch_map_figure(history)
    return plots.diagrams_figure(last, layers, epoch=history.epochs[-1])
