"""Atomic writes: a file appears complete or not at all."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4

import fsspec
from fsspec.core import url_to_fs


@contextmanager
def atomic_path(path: str | Path) -> Iterator[str]:
    """Yield a temporary path whose file is renamed to ``path`` once the block ends without an error.

    Args:
        path: A local path or a URL that fsspec understands. Its folder is created, and an existing file is replaced.

    Example:
        >>> import tempfile, torch
        >>> path = Path(tempfile.mkdtemp()) / "weights.pt"
        >>> with atomic_path(path) as temporary:
        ...     torch.save({"weight": torch.ones(2)}, temporary)
        >>> torch.load(path)["weight"].tolist()
        [1.0, 1.0]
    """
    filesystem, name = url_to_fs(str(path))
    temporary = f"{path}.{uuid4().hex}.tmp"
    filesystem.makedirs(os.path.dirname(name), exist_ok=True)
    try:
        yield temporary
        filesystem.mv(temporary, str(path))
    finally:
        if filesystem.exists(temporary):
            filesystem.rm_file(temporary)


@contextmanager
def atomic_text(path: Path) -> Iterator[TextIO]:
    """Open a local UTF-8 file that replaces ``path`` once the block ends without an error; line ends are kept."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        yield file


def require_new(argument: str, path: Path | None, *, overwrite: bool) -> None:
    """Raise a `ValueError` that names the argument for a folder, or for a file that must not be replaced."""
    if path is not None and path.is_dir():
        raise ValueError(f"Argument `{argument}` must be a file, got the folder {str(path)!r}; name a file in it.")
    if path is not None and path.exists() and not overwrite:
        raise ValueError(
            f"Argument `{argument}` must be a new file, got {str(path)!r}, which exists; name another one, or replace "
            "it with --overwrite true."
        )


def day_of(path: Path) -> str:
    """Return the day on which a local file was last written, in UTC, such as ``"2026-01-31"``."""
    return datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).date().isoformat()


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file on any file system that fsspec understands, completely or not at all."""
    with atomic_path(path) as temporary, fsspec.open(temporary, "wb") as file:
        file.write(content)


def write_json(path: Path, values: Any) -> None:
    """Write values as standard JSON; numbers that are not finite become null."""
    with atomic_text(path) as file:
        file.write(json.dumps(_finite_or_null(values), indent=2, allow_nan=False) + "\n")


def write_compact_json(path: Path, values: Any) -> None:
    """Write values as `write_json` does, on one line and with six significant digits."""
    with atomic_text(path) as file:
        compact = json.dumps(_shortened(_finite_or_null(values)), separators=(",", ":"), allow_nan=False)
        file.write(f"{compact}\n")


def _shortened(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _shortened(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_shortened(value) for value in values]
    return float(f"{values:.6g}") if isinstance(values, float) else values


def _finite_or_null(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _finite_or_null(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_finite_or_null(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values
