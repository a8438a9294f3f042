"""The versions that results depend on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = (
    "lightning_topolip",
    "torch",
    "torchvision",
    "lightning",
    "timm",
    "numpy",
    "redzed-tda",
    "giotto-ph",
    "numba",
    "POT",
)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute numbers, by name."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
