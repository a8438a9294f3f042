"""Figures as text that an HTML page holds in itself."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO

from matplotlib import rc_context
from matplotlib.figure import Figure

_HEAVY = 150_000
_DOTS_PER_INCH = 200


def data_uri(figure: Figure) -> str:
    """Encode a figure, as vectors where they are not too many.

    Args:
        figure: To be drawn.

    Returns:
        A ``data:`` address of an SVG, or of a PNG where the SVG would be heavier than 150 kB. The same figure gives
        the same address.
    """
    with rc_context({"svg.hashsalt": "lightning_topolip", "svg.fonttype": "none"}):
        drawn = _saved(figure, "svg", {"Date": None, "Creator": None})
    if len(drawn) <= _HEAVY:
        return f"data:image/svg+xml;base64,{b64encode(drawn).decode()}"
    return f"data:image/png;base64,{b64encode(_saved(figure, 'png', {'Software': None})).decode()}"


def _saved(figure: Figure, form: str, metadata: dict[str, None]) -> bytes:
    file = BytesIO()
    figure.savefig(file, format=form, metadata=metadata, dpi=_DOTS_PER_INCH if form == "png" else "figure")
    return file.getvalue()
