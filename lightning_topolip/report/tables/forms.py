"""The same score in other forms: other orders, raw instead of scaled."""

from __future__ import annotations

from lightning_topolip.report.blocks import Table
from lightning_topolip.report.formats import over_seeds
from lightning_topolip.report.source import Source

_SCORES = {"topolip": "TopoLip", "speed_mean": "mean speed", "speed_max": "largest speed"}


def forms_table(source: Source) -> Table | None:
    """List the scores at the last epoch in every form that was measured.

    Args:
        source: The study.

    Returns:
        A row a data set, score and form, a column a model; None without results.
    """
    rows = []
    for data in source.data:
        for quantity, name in _SCORES.items():
            found = source.last.find(data, quantity)
            for form in found.unique("variant"):
                of_form = found.where(variant=form)
                rows.append([data, name, form, *(over_seeds(of_form.where(model=m).values()) for m in source.models)])
    return (
        Table(
            "Scores at the last epoch in other forms, mean ± standard deviation over seeds. Scaled: in units of each "
            "layer's mean distance; raw: in activation units.",
            ["data", "score", "form", *source.models],
            rows,
            folded=True,
        )
        if rows
        else None
    )
