"""The main numbers of every model."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lightning_topolip.report.blocks import Note, Section, Table
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.formats import MISSING, number, percent
from lightning_topolip.study.judging.names import NAMES
from lightning_topolip.study.judging.summaries import SUMMARIES

_MAIN = (
    "accuracy",
    "corruption_drop",
    "attack_drop",
    "topolip",
    "speed_mean",
    "path_length",
    "two_nn_dimension",
    "local_lipschitz",
)
_CAPTION = (
    "Mean over seeds ± its standard error, at the last epoch. The error has the spread of the seeds and, where it is "
    "known, the error on the probe; of a single seed it has the latter alone. Lower TopoLip is smoother; less accuracy "
    "lost is more robust."
)


def summary(source: Source) -> Section:
    """Show the main numbers of every model with their errors."""
    table = summary_table(source)
    return Section("summary", "At a glance", "", [table] if table else [Note("These results hold no numbers.")])


def summary_table(source: Source) -> Table | None:
    """List the main numbers, one row per data set and model; None without any."""
    cells = {
        (data, model): [_cell(source, data, model, name) for name in _MAIN]
        for data in source.data
        for model in source.models
    }
    measured = [place for place in range(len(_MAIN)) if any(row[place] != MISSING for row in cells.values())]
    if not measured:
        return None
    several = len(source.data) > 1
    rows = [
        [model, *([data] if several else []), *(row[place] for place in measured)]
        for (data, model), row in cells.items()
        if set(row) != {MISSING}
    ]
    header = ["model", *(["data"] if several else []), *(NAMES[_MAIN[place]] for place in measured)]
    return Table(_CAPTION, header, rows)


def _cell(source: Source, data: str, model: str, name: str) -> str:
    runs = [key for key in source.summaries if (key.data, key.model) == (data, model)]
    mean, error = mean_and_error(
        [source.summaries[key][name] for key in runs], [source.errors[key][name] for key in runs]
    )
    if SUMMARIES[name].unit == "share":
        return f"{100 * mean:.1f} ± {100 * error:.1f} %" if math.isfinite(error) else percent(mean)
    return f"{number(mean)} ± {number(error, 2)}" if math.isfinite(error) else number(mean)


def mean_and_error(values: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    """Return the mean over the seeds and its standard error; NaN is skipped, an unknown error adds nothing.

    All seeds are measured on one probe, so more seeds do not reduce its error, the root mean square of theirs.

    Example:
        >>> mean, error = mean_and_error([1.0, 3.0], [1.0, 1.0])
        >>> mean, round(error**2, 6)
        (2.0, 2.0)
    """
    measured = np.array(values, dtype=np.float64)
    known = np.array(errors, dtype=np.float64)[~np.isnan(measured)]
    measured, known = measured[~np.isnan(measured)], known[~np.isnan(known)]
    if not measured.size:
        return math.nan, math.nan
    mean = float(measured.mean())
    if (measured.size < 2 and not known.size) or not np.isfinite(measured).all():
        return mean, math.nan
    seeds = float(measured.var(ddof=1)) / measured.size if measured.size > 1 else 0.0
    return mean, math.sqrt(seeds + (float((known**2).mean()) if known.size else 0.0))
