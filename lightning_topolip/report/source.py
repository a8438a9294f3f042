"""The source of a report: the three files of a study."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lightning_topolip.files import day_of
from lightning_topolip.report.palette import Style, styles
from lightning_topolip.report.private import without_paths
from lightning_topolip.study.judging.claims import claims_of
from lightning_topolip.study.judging.results import TABLE, Results, Row, results_file
from lightning_topolip.study.judging.summaries import RunKey, run_errors, run_summaries
from lightning_topolip.study.judging.verdicts import Verdict, judge
from lightning_topolip.topology.names import INPUT


@dataclass(frozen=True)
class Source:
    """The results of a study, its record, and some of its diagrams.

    Attributes:
        results: The table of results.
        about: Title, question, date, command, configuration, versions, machine, runs and claims; any may be missing.
        diagrams: Births and deaths of a few layers, by ``"<data>/<model>"``.
        table: Name of the file of the results.
        date: The day of the results, such as ``"2026-01-31"``; empty if it is not known.
    """

    results: Results
    about: dict[str, Any]
    diagrams: dict[str, Any]
    table: str = TABLE
    date: str = ""

    @classmethod
    def read(cls, folder: Path) -> Source:
        """Read the results, and ``about.json``, without its paths, and ``diagrams.json`` if they exist.

        The day of the results is that of ``about.json``, or else that of the file of the results.
        """
        table = results_file(folder)
        about = without_paths(_json(folder / "about.json"))
        date = about.get("date") or day_of(table)
        return cls(Results.read(table), about, _json(folder / "diagrams.json"), table.name, date)

    @cached_property
    def models(self) -> list[str]:
        """Labels of the models, in the order of the study."""
        return self._labels("model")

    @cached_property
    def data(self) -> list[str]:
        """Labels of the data sets, in the order of the study."""
        return self._labels("data")

    @cached_property
    def styles(self) -> dict[str, Style]:
        """The style of each model, the same in all figures."""
        return styles(self.models)

    @cached_property
    def summaries(self) -> dict[RunKey, dict[str, float]]:
        """The summary of every run."""
        return run_summaries(self.results)

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """The verdicts on the claims, claim by claim."""
        return judge(claims_of(self.about.get("claims") or []), self.results)

    @cached_property
    def errors(self) -> dict[RunKey, dict[str, float]]:
        """The standard errors of the summaries on the probe."""
        return run_errors(self.results)

    @cached_property
    def last(self) -> Source:
        """The same study with only the last epoch of every run."""
        return replace(self, results=self.results.last_epoch())

    def find(self, data: str, quantity: str, **columns: Any) -> Results:
        """Return the rows of a quantity, filtered as by `Results.where`."""
        return Results(self._index.get((data, quantity), [])).where(**columns)

    def summary(self, data: str, model: str, name: str) -> list[float]:
        """Return a summary of every seed of a model on one data set, in the order of the runs."""
        return [numbers[name] for key, numbers in self.summaries.items() if (key.data, key.model) == (data, model)]

    def layers(self, data: str, model: str, quantity: str) -> list[str]:
        """Return the names of the layers at which a quantity was measured, the input side first, without the input."""
        names = self.find(data, quantity, model=model).unique("layer")
        return [name for name in names if name and name != INPUT]

    def positions(self, data: str, quantity: str) -> dict[tuple[str, str], float]:
        """Return the position of every (model, layer) between 0, the input, and 1, the last layer."""
        positions = {(model, INPUT): 0.0 for model in self.models}
        for model in self.models:
            layers = self.layers(data, model, quantity)
            positions.update({(model, name): (index + 1) / len(layers) for index, name in enumerate(layers)})
        return positions

    def title_suffix(self, data: str) -> str:
        """Return ``", <data>"`` if the study has several data sets."""
        return f", {data}" if len(self.data) > 1 else ""

    @cached_property
    def _index(self) -> dict[tuple[str, str], list[Row]]:
        index: dict[tuple[str, str], list[Row]] = {}
        for row in self.results:
            index.setdefault((row.data, row.quantity), []).append(row)
        return index

    def _labels(self, column: str) -> list[str]:
        planned = [run[column] for run in self.about.get("runs", [])]
        return list(dict.fromkeys([*planned, *self.results.unique(column)]))


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
