"""The comparison of two reports on one probe: differences with errors of paired samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightning_topolip.topology.estimate import Estimate
from lightning_topolip.topology.names import short_names
from lightning_topolip.topology.settings import describe_order, differences
from lightning_topolip.topology.smoothness_report import SmoothnessReport
from lightning_topolip.topology.tables import Table, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NAMES = {"score": "TopoLip", "speed_mean": "mean speed", "speed_max": "largest speed"}


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two reports on one probe and the differences of their numbers, first - second.

    ``print(comparison)`` shows them as a table. A difference whose ``z``, the difference over its standard error, is
    beyond 2 or 3 is more than sampling.

    Attributes:
        first: The first report.
        second: The second report.
        differences: ``"score"``, ``"speed_mean"`` and ``"speed_max"``.
        steps: By the later layer, the difference of the drifts of every step between the same two layers.
    """

    first: SmoothnessReport
    second: SmoothnessReport
    differences: dict[str, Estimate]
    steps: dict[str, Estimate]

    @property
    def table(self) -> Table:
        """Every difference with its error, for people."""
        estimates = {_NAMES[name]: (self._of(name), estimate) for name, estimate in self.differences.items()}
        short = dict(zip(self.steps, short_names(list(self.steps)), strict=True))
        estimates |= {f"to {short[layer]}": (self._drifts_to(layer), step) for layer, step in self.steps.items()}
        rows = tuple(
            (name, number(first), number(second), number(float(difference.value)), number(float(difference.error), 2),
             number(difference.z, 2))
            for name, ((first, second), difference) in estimates.items()
        )  # fmt: skip
        settings = self.first.settings
        title = f"First - second on {self.first.sample}, {settings.view} {describe_order(settings.order)}{self._caveat}"
        return Table(title, ("", "first", "second", "difference", "error", "z"), rows)

    def __repr__(self) -> str:
        """Return the table as text."""
        return str(self.table)

    def _repr_html_(self) -> str:
        """Return the table as a notebook shows it."""
        return self.table._repr_html_()

    def plot(self, names: tuple[str, str] = ("first", "second")) -> Figure:
        """Draw both curves with bands of two standard errors, and below them their difference.

        Args:
            names: What the legend calls the two.
        """
        from lightning_topolip.display.plots import comparison_figure

        return comparison_figure(self, names)

    def to_dict(self) -> dict[str, Any]:
        """Return the differences as plain values for `json.dumps`."""
        return {
            **{name: _values(difference) for name, difference in self.differences.items()},
            "steps": {layer: _values(step) for layer, step in self.steps.items()},
        }

    @property
    def _caveat(self) -> str:
        known = self.first.probe and self.second.probe
        return "" if known else "; whether both saw the same samples is not known"

    def _of(self, name: str) -> tuple[float, float]:
        return getattr(self.first, name), getattr(self.second, name)

    def _drifts_to(self, layer: str) -> tuple[float, float]:
        return tuple(float(report.curve[report.layers.index(layer) - 1]) for report in (self.first, self.second))  # type: ignore[return-value]


def compare(first: SmoothnessReport, second: SmoothnessReport) -> Comparison:
    """Compare two reports on one probe, such as of two networks, or of one network at two epochs.

    The errors are those of paired samples: both numbers are computed on the same halves or subsets of the probe.
    Where a report does not know its samples, as that of a `TopoLipMetric`, the table says so; the errors hold for
    different samples too.

    Args:
        first: A report.
        second: Another one, of the same samples and settings.

    Returns:
        The differences first - second of score and speeds, and of the drifts of the steps that both have.

    Raises:
        ValueError: If settings, size or samples of the probes differ; the message says which.

    Example:
        >>> import torch
        >>> from lightning_topolip import analyze
        >>> generator = torch.Generator().manual_seed(0)
        >>> probe = torch.randn(32, 8, generator=generator)
        >>> models = [torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(5)]) for _ in range(2)]
        >>> comparison = compare(*(analyze(model, probe) for model in models))
        >>> sorted(comparison.steps), bool(comparison.differences["score"].error > 0)
        (['0', '1', '2', '3'], True)
    """
    reason = _obstacle(first, second)
    if reason:
        raise ValueError(f"Arguments `first` and `second` must be reports on one probe, but {reason}.")
    ours, theirs = first.estimates, second.estimates
    common = [step for step in first.steps if step in second.steps]
    return Comparison(
        first,
        second,
        differences={name: ours[name] - theirs[name] for name in _NAMES},
        steps={step[1]: _step(first, step) - _step(second, step) for step in common},
    )


def _step(report: SmoothnessReport, step: tuple[str, str]) -> Estimate:
    return report.curve_estimate.at(report.steps.index(step))


def _obstacle(first: SmoothnessReport, second: SmoothnessReport) -> str:
    for report in (first, second):
        if not isinstance(report, SmoothnessReport):
            return f"one of them is {report!r}; `analyze` and `history.last` give reports"
    if first.settings != second.settings:
        return f"the settings were {' and '.join(differences(first.settings, second.settings))}"
    if first.points != second.points:
        return f"the probes had {first.points} and {second.points} samples; analyse both on the same ones"
    if first.probe and second.probe and first.probe != second.probe:
        return "the samples differ; analyse both on the same ones, in the same order"
    return ""


def _values(difference: Estimate) -> dict[str, float]:
    return {"difference": float(difference.value), "error": float(difference.error), "z": difference.z}
