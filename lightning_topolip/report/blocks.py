"""What a page is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from matplotlib.figure import Figure

from lightning_topolip.report.tracks import Track


@dataclass(frozen=True)
class Panel:
    """One figure.

    Attributes:
        figure: With its own title, axes and legend.
        alt: What it shows, in words, for those who do not see it.
    """

    figure: Figure
    alt: str


@dataclass(frozen=True)
class Gallery:
    """Panels beside each other, as many as fit.

    Attributes:
        panels: In reading order.
        heading: Above them; empty for none.
        columns: As many beside each other as the screen allows at most.
    """

    kind: ClassVar[str] = "gallery"
    panels: Sequence[Panel]
    heading: str = ""
    columns: int = 2


@dataclass(frozen=True)
class Table:
    """Rows of text.

    Attributes:
        caption: What the rows are, with the unit.
        header: Names of the columns.
        rows: One text a column.
        folded: Whether it is shown on request only.
    """

    kind: ClassVar[str] = "table"
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: bool = False


@dataclass(frozen=True)
class Note:
    """A paragraph.

    Attributes:
        text: Plain text.
    """

    kind: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True)
class Listing:
    """Text as a machine reads it.

    Attributes:
        caption: What it is.
        text: With its line breaks.
        folded: Whether it is shown on request only.
    """

    kind: ClassVar[str] = "listing"
    caption: str
    text: str
    folded: bool = False


@dataclass(frozen=True)
class Badge:
    """How one claim fares on one data set.

    Attributes:
        data: Label of the data.
        verdict: ``"holds"``, ``"does not hold"`` or ``"undecided"``.
        effect: With its interval and unit.
        sides: What it rests on.
        remark: What stands in the way of a verdict; empty for nothing.
        track: The effect and its interval on a line; None where there is none.
    """

    data: str
    verdict: str
    effect: str
    sides: str
    remark: str
    track: Track | None


@dataclass(frozen=True)
class Judgement:
    """One claim with its verdicts.

    Attributes:
        says: The claim.
        source: Who claims it; empty for none.
        badges: One a data set.
    """

    kind: ClassVar[str] = "judgement"
    says: str
    source: str
    badges: Sequence[Badge]


Block: TypeAlias = Gallery | Table | Note | Listing | Judgement


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes:
        name: For links to it.
        title: As a reader sees it.
        intro: How to read what follows; empty for none.
        blocks: In reading order.
    """

    name: str
    title: str
    intro: str
    blocks: Sequence[Block]
