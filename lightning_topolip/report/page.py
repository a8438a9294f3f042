"""The page: HTML from the sections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib import style

from lightning_topolip.files import atomic_text
from lightning_topolip.report.answer import answer
from lightning_topolip.report.drawings import Drawings
from lightning_topolip.report.sections import SECTIONS
from lightning_topolip.report.source import Source

if TYPE_CHECKING:
    from jinja2 import Environment

_NAME = "report.html"


def write_report(folder: Path) -> Path:
    """Write the report of a study next to its results, completely or not at all.

    The report is one file that needs no network. A section without results says so.

    Args:
        folder: Folder with ``results.csv`` or ``results.csv.gz`` and, if written, ``about.json`` and ``diagrams.json``.

    Returns:
        The path of the report. The same files give the same report, byte for byte.

    Raises:
        FileNotFoundError: If there are no results.
        ValueError: If the columns of the results differ.

    Example:
        >>> import tempfile
        >>> from lightning_topolip.study.judging.results import Results, Row
        >>> folder = Path(tempfile.mkdtemp())
        >>> row = Row("digits", "vit", 0, 1.0, "accuracy", "", "", "validation", 0.0, 0.9)
        >>> Results([row]).write(folder / "results.csv")
        >>> write_report(folder).name
        'report.html'
    """
    page = render(Source.read(Path(folder)))
    path = Path(folder) / _NAME
    with atomic_text(path) as file:
        file.write(page)
    return path


def render(source: Source) -> str:
    """Return the page of a study as HTML."""
    environment = report_environment()
    with style.context("default"):
        sections = [section(source) for section in SECTIONS]
        title = source.about.get("title") or "Smoothness study"
        return environment.get_template("report.html").render(
            title=title,
            question=source.about.get("question", ""),
            answer=answer(source),
            date=source.date,
            sections=sections,
            drawings=Drawings(),
        )


def report_environment() -> Environment:
    """Open the templates of the report.

    Raises:
        ModuleNotFoundError: If jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "The report of a study needs the package 'jinja2'; pip install 'lightning_topolip[report]'."
        ) from error
    environment = Environment(
        loader=PackageLoader("lightning_topolip.report", "layout"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment
