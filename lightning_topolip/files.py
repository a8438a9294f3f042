"""Files that are written whole or not at all."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    r"""Open a text file that takes its name only when the block ends well.

    Args:
        path: Where to; its folder is made. A file that is there stays as it is until then.

    Yields:
        The file, UTF-8; lines end as they are written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "numbers.txt"
        >>> with whole_file(path) as file:
        ...     _ = file.write("1\n2\n")
        >>> path.read_text()
        '1\n2\n'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, values: Any) -> None:
    """Write values that any reader of JSON takes.

    Args:
        path: Where to; its folder is made.
        values: What `json.dumps` takes; what is not a finite number becomes null.
    """
    with whole_file(path) as file:
        file.write(json.dumps(_strict(values), indent=2, allow_nan=False) + "\n")


def _strict(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _strict(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_strict(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values
