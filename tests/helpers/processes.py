"""Run a script of trainings in one process and in two, and read what they found."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from helpers.paths import ROOT


def found_by_processes(script: str, folder: Path) -> dict[str, Any]:
    """Run ``helpers.<script>`` alone and as two processes at once; by ``"<processes>-<rank>"`` what each wrote."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = [_started(script, folder, *place, port) for place in ((1, 0), (2, 0), (2, 1))]
    try:
        for process in running:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors[-3000:]
    finally:
        for process in running:
            process.kill()
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def _started(script: str, folder: Path, processes: int, rank: int, port: int) -> subprocess.Popen[str]:
    places = {"WORLD_SIZE": processes, "RANK": rank, "LOCAL_RANK": rank, "NODE_RANK": 0, "MASTER_PORT": port}
    environment = {key: str(value) for key, value in places.items()} if processes > 1 else {}
    path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    environment |= {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "PYTHONPATH": path}
    command = [sys.executable, "-m", f"helpers.{script}", str(folder), str(processes)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **environment})
