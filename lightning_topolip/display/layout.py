"""The layout of TensorBoard's custom scalars: one category per callback, few layers in a chart."""

from __future__ import annotations

import re
import weakref
from collections.abc import Sequence

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from lightning_topolip.display.layer_axis import common_prefix
from lightning_topolip.display.loggers import guarded

_LINES = 6
_QUANTITIES = {"depth": "drift", "epoch": "epoch drift"}

Charts = dict[str, list[object]]
_layouts: dict[int, dict[str, Charts]] = {}  # by the address of a logger; not every logger is hashable


@rank_zero_only
def log_layout(loggers: Sequence[Logger], prefix: str, layers: Sequence[str] = ()) -> None:
    """Add the charts of a callback to the custom scalars of TensorBoard, beside those of other callbacks.

    TensorBoard gives all lines of a run one colour and tells them apart by their markers, so a chart has six layers.

    Args:
        loggers: The loggers of a trainer.
        prefix: Prefix of the callback's keys.
        layers: The layers whose numbers are logged.
    """
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            with guarded(logger):
                if id(logger) not in _layouts:
                    _layouts[id(logger)] = {}
                    weakref.finalize(logger, _layouts.pop, id(logger), None)
                _layouts[id(logger)][prefix] = _charts(prefix, layers)
                logger.experiment.add_custom_scalars(_layouts[id(logger)])


def _charts(prefix: str, layers: Sequence[str]) -> Charts:
    start = re.escape(prefix)
    charts: Charts = {"score and speed": ["Multiline", [f"{start}/(score|speed_mean|speed_max)$"]]}
    shared = common_prefix(layers) if len(layers) > 1 else ""
    for key, quantity in _QUANTITIES.items():
        for first in range(0, len(layers), _LINES):
            group = layers[first : first + _LINES]
            ends = dict.fromkeys(name.removeprefix(shared) for name in (group[0], group[-1]))
            tags = [f"{start}_{key}/{re.escape(name)}(#[0-9]+)?$" for name in group]
            charts[f"{quantity}, layers {' to '.join(ends)}"] = ["Multiline", tags]
    return charts
