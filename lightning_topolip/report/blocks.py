"""The building blocks of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

from matplotlib.figure import Figure

from lightning_topolip.report.palette import Style


@dataclass(frozen=True)
class Panel:
    """A figure with its own title and axes, and its alternative text for screen readers.

    Attributes:
        figure: The figure.
        alt: The text.
        keys: The styles of the models that the figure does not name itself, by model.
    """

    figure: Figure
    alt: str
    keys: Mapping[str, Style] = field(default_factory=dict)


@dataclass(frozen=True)
class Gallery:
    """Panels side by side, at most `columns` in a row, below the models' names and the scale that they share."""

    kind: ClassVar[str] = "gallery"
    panels: Sequence[Panel]
    heading: str = ""
    columns: int = 2
    scale: Panel | None = None

    @property
    def keys(self) -> dict[str, Style]:
        """The styles of the models that a panel does not name itself."""
        return {name: style for panel in self.panels for name, style in panel.keys.items()}


@dataclass(frozen=True)
class Table:
    """Rows of text, one per column; a folded table is shown on request."""

    kind: ClassVar[str] = "table"
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: bool = False


@dataclass(frozen=True)
class Note:
    """A paragraph of plain text."""

    kind: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True)
class Listing:
    """Preformatted text, such as a command; a folded listing is shown on request."""

    kind: ClassVar[str] = "listing"
    caption: str
    text: str
    folded: bool = False


@dataclass(frozen=True)
class EffectLine:
    """An effect and its interval on a line whose middle means no effect; positions are percent from the left end.

    Attributes:
        effect: Position of the effect; None if it is outside the line.
        low: Left end of the interval, cut at the left end of the line.
        high: Right end of the interval, cut at the right end of the line.
        open_low: Whether the interval extends beyond the left end of the line.
        open_high: Whether it extends beyond the right end.
        claimed: The side on which the claim puts the effect.
        ticks: The values at the left end, in the middle and at the right end.
    """

    effect: float | None
    low: float
    high: float
    open_low: bool
    open_high: bool
    claimed: Literal["left", "right"]
    ticks: tuple[str, str, str]


@dataclass(frozen=True)
class Badge:
    """The verdict on a claim on one data set.

    Attributes:
        data: Label of the data.
        verdict: ``"holds"``, ``"does not hold"`` or ``"undecided"``.
        effect: The effect with its interval and unit.
        sides: The numbers that are compared.
        remark: Why the claim is undecided, and how many runs were skipped; may be empty.
        line: The effect and its interval as a drawing; None without an interval.
    """

    data: str
    verdict: str
    effect: str
    sides: str
    remark: str
    line: EffectLine | None


@dataclass(frozen=True)
class Judgement:
    """A claim, its source (may be empty), and one badge per data set."""

    kind: ClassVar[str] = "judgement"
    says: str
    source: str
    badges: Sequence[Badge]


Block: TypeAlias = Gallery | Table | Note | Listing | Judgement


@dataclass(frozen=True)
class Section:
    """A part of the page: the name in its link, the title, an introduction (may be empty), and its blocks."""

    name: str
    title: str
    intro: str
    blocks: Sequence[Block]


def galleries(panels: Mapping[str, Sequence[Panel | None]]) -> list[Block]:
    """Make a gallery for every heading that has panels."""
    drawn = {heading: [panel for panel in row if panel] for heading, row in panels.items()}
    return [Gallery(row, heading) for heading, row in drawn.items() if row]
