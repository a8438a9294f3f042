"""The page: sections put into HTML."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib import style

from lightning_topolip.files import atomic_text
from lightning_topolip.report.images import data_uri
from lightning_topolip.report.sections import SECTIONS
from lightning_topolip.report.source import Source

_NAME = "report.html"


def write_report(folder: Path) -> Path:
    """Write the report of a study beside its results, whole or not at all.

    It needs no other file and no network. What the results do not hold is said in the page or left out.

    Args:
        folder: With ``results.csv``, and, where written, ``about.json`` and ``diagrams.json``.

    Returns:
        The report's path. The same files give the same report, byte for byte.

    Raises:
        FileNotFoundError: If there are no results.
        ValueError: If the results have other columns.

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
    """Put a study into HTML.

    Args:
        source: The study.

    Returns:
        The whole page.
    """
    environment = Environment(
        loader=PackageLoader("lightning_topolip.report", "layout"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = data_uri
    with style.context("default"):
        sections = [section(source) for section in SECTIONS]
        title = source.about.get("title") or "Smoothness study"
        return environment.get_template("report.html").render(
            title=title, question=source.about.get("question", ""), sections=sections
        )
