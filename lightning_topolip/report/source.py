"""What a report is written from: the three files of a study."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lightning_topolip.report.palette import Look, looks
from lightning_topolip.study.judging.results import Results, Row
from lightning_topolip.study.judging.summaries import RunKey, run_summaries
from lightning_topolip.topology.names import INPUT


@dataclass(frozen=True)
class Source:
    """A study's results, what it says of itself, and some of its diagrams.

    Attributes:
        results: The tidy table.
        about: Title, question, command, configuration, versions, machine, runs and claims; any may be missing.
        diagrams: By ``"<data>/<model>"`` the births and deaths of a few layers.
    """

    results: Results
    about: dict[str, Any]
    diagrams: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Source:
        """Read the files of a study.

        Args:
            folder: With ``results.csv``, and, where written, ``about.json`` and ``diagrams.json``.

        Returns:
            What is there.

        Raises:
            FileNotFoundError: If there are no results.
        """
        table = folder / "results.csv"
        if not table.is_file():
            raise FileNotFoundError(
                f"Argument `folder` must hold results.csv, got {str(folder)!r} without it; run the study first."
            )
        return cls(Results.read(table), _json(folder / "about.json"), _json(folder / "diagrams.json"))

    @cached_property
    def models(self) -> list[str]:
        """Labels of the models, in the order of the study."""
        return self._labels("model")

    @cached_property
    def data(self) -> list[str]:
        """Labels of the data sets, in the order of the study."""
        return self._labels("data")

    @cached_property
    def looks(self) -> dict[str, Look]:
        """How each model is drawn, the same in every figure."""
        return looks(self.models)

    @cached_property
    def summaries(self) -> dict[RunKey, dict[str, float]]:
        """The numbers of every run."""
        return run_summaries(self.results)

    @cached_property
    def last(self) -> Source:
        """The same at the last epoch of every run."""
        return Source(self.results.last_epoch(), self.about, self.diagrams)

    def find(self, data: str, quantity: str, **columns: Any) -> Results:
        """Give the rows of a quantity.

        Args:
            data: Label of the data.
            quantity: Its name.
            **columns: As for `Results.where`.

        Returns:
            Its rows, those without a number too.
        """
        return Results(self._index.get((data, quantity), [])).where(**columns)

    def summary(self, data: str, model: str, name: str) -> list[float]:
        """Give a summary of every seed of a model on one data set, in the order of the runs."""
        return [numbers[name] for key, numbers in self.summaries.items() if (key.data, key.model) == (data, model)]

    def layers(self, data: str, model: str, quantity: str) -> list[str]:
        """Name the layers at which a quantity was measured, the input side first."""
        return self.find(data, quantity, model=model).unique("layer")

    def positions(self, data: str, quantity: str) -> dict[tuple[str, str], float]:
        """Place every layer between 0, the input, and 1, the last layer.

        Args:
            data: Label of the data.
            quantity: Which was measured there.

        Returns:
            The place by model and layer.
        """
        places = {}
        for model in self.models:
            own = [name for name in self.layers(data, model, quantity) if name != INPUT]
            places[model, INPUT] = 0.0
            places.update({(model, name): (index + 1) / len(own) for index, name in enumerate(own)})
        return places

    def of_data(self, data: str) -> str:
        """Say which data a figure is on, where there are several."""
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
