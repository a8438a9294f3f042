"""The page: HTML from the sections."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib import rc_context, style
from matplotlib.figure import Figure

from lightning_topolip.files import atomic_text
from lightning_topolip.report.sections import SECTIONS
from lightning_topolip.report.source import Source

if TYPE_CHECKING:
    from jinja2 import Environment

_NAME = "report.html"
_LARGEST_SVG = 150_000
_DOTS_PER_INCH = 200


def write_report(folder: Path) -> Path:
    """Write the report of a study next to its results, completely or not at all.

    The report is one file that needs no network. A section without results says so.

    Args:
        folder: Folder with ``results.csv`` and, if written, ``about.json`` and ``diagrams.json``.

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
            title=title, question=source.about.get("question", ""), sections=sections
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
    environment.filters["data_uri"] = data_uri
    return environment


def data_uri(figure: Figure) -> str:
    """Encode a figure as the ``data:`` address of an SVG, or of a PNG if the SVG is larger than 150 kB."""
    with rc_context({"svg.hashsalt": "lightning_topolip", "svg.fonttype": "none"}):
        svg = _saved(figure, "svg", {"Date": None, "Creator": None})
    if len(svg) <= _LARGEST_SVG:
        return f"data:image/svg+xml;base64,{b64encode(svg).decode()}"
    return f"data:image/png;base64,{b64encode(_saved(figure, 'png', {'Software': None})).decode()}"


def _saved(figure: Figure, form: str, metadata: dict[str, None]) -> bytes:
    file = BytesIO()
    figure.savefig(file, format=form, metadata=metadata, dpi=_DOTS_PER_INCH if form == "png" else "figure")
    return file.getvalue()
