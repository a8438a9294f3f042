"""Processes that are forked from one in which torch and Lightning are imported, so that each starts at once.

Each has an interpreter of its own. What starts a process in the way of users (`spawn`, a command) is tested elsewhere.
"""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["lightning", "timm", "matplotlib.figure", "lightning_topolip.cli"])


def start(
    function: Callable[..., None], *arguments: Any, output: Path, environment: Mapping[str, str] | None = None
) -> BaseProcess:
    """Call a function in a process of its own, whose output goes to a file."""
    process = FORKED.Process(target=_call, args=(function, arguments, output, dict(environment or {})))
    process.start()
    return process


def finish(process: BaseProcess, output: Path, seconds: float = 300) -> str:
    """Wait for a process, and return its output; fails unless it ended well."""
    process.join(seconds)
    ended = process.exitcode
    if ended is None:
        process.kill()
    text = output.read_text()
    assert ended == 0, text[-3000:] or f"ended with {ended}"
    return text


def _call(function: Callable[..., None], arguments: tuple[Any, ...], output: Path, environment: dict[str, str]) -> None:
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update(environment)
    try:
        function(*arguments)
    except BaseException:
        traceback.print_exc()
        raise
