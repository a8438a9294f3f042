"""giotto-tda, which has no wheel for Python 3.13 and newer: what needs it is skipped there, and only there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import pytest

HAS_GIOTTO = sys.version_info < (3, 13) or find_spec("gtda") is not None

needs_giotto = pytest.mark.skipif(
    not HAS_GIOTTO, reason="giotto-tda has no wheel for Python {}.{}".format(*sys.version_info)
)


def cases(engines: Sequence[str]) -> list[Any]:
    """The engines as parameters of a test."""
    return [pytest.param(name, marks=needs_giotto) if name == "giotto" else name for name in engines]
