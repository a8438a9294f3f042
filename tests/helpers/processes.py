"""Run a script of trainings in one process and in two, and read what they found."""

from __future__ import annotations

import json
import socket
import warnings
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from helpers.forked import finish, start


def found_by_processes(script: Callable[[Path, int], None], folder: Path) -> dict[str, Any]:
    """Run a script alone and as two processes at once; by ``"<processes>-<rank>"`` what each wrote."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = ((1, 0), (2, 0), (2, 1))
    running = [_started(script, folder, *place, port) for place in places]
    try:
        for process, place in zip(running, places, strict=True):
            finish(process, _output(folder, *place))
    finally:
        for process in running:
            process.kill()
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def _started(script: Callable[[Path, int], None], folder: Path, processes: int, rank: int, port: int) -> BaseProcess:
    places = {"WORLD_SIZE": processes, "RANK": rank, "LOCAL_RANK": rank, "NODE_RANK": 0, "MASTER_PORT": port}
    environment = {key: str(value) for key, value in places.items()} if processes > 1 else {}
    environment["MASTER_ADDR"] = "127.0.0.1"
    return start(_alone, script, folder, processes, output=_output(folder, processes, rank), environment=environment)


def _alone(script: Callable[[Path, int], None], folder: Path, processes: int) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    script(folder, processes)


def _output(folder: Path, processes: int, rank: int) -> Path:
    return folder / f"{processes}-{rank}.txt"
