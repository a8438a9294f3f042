"""Worker processes of this machine are forks of one process that has imported everything."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lightning_topolip.cli.study import _asks_for_workers
from lightning_topolip.study.forkserver import METHOD

# CUDA that a process has asked for anything does not work in its forks.
IMPORTING = """
import sys, torch
asked = []
for name in [name for name in dir(torch._C) if name.startswith("_cuda_") and callable(getattr(torch._C, name))]:
    setattr(torch._C, name, lambda *arguments, name=name, **options: asked.append(name) or 0)
import lightning_topolip.study.job, distributed.nanny
print(asked)
"""


# In a process of its own, since the tests have a process for their own forks.
FORKING = """
import sys
from lightning_topolip.study.clients import local_client
with local_client(1, ["cpu"]) as client:
    (imported,) = client.run(lambda: "lightning_topolip.study.job" in sys.modules).values()
print(imported)
"""


def printed(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_what_workers_need_is_imported_without_asking_for_a_gpu() -> None:
    assert printed(IMPORTING) == "[]\n"
    asking = IMPORTING.replace("print", "torch.cuda.is_available(); print")
    assert printed(asking) == "['_cuda_getDeviceCount']\n"


@pytest.mark.slow
@pytest.mark.skipif(METHOD != "forkserver", reason="this system cannot fork")
def test_a_worker_begins_with_everything_imported() -> None:
    assert printed(FORKING) == "True\n"


@pytest.mark.parametrize(
    ("arguments", "asks"),
    [
        (["--workers", "2"], True),
        (["--config", "study.yaml", "--workers=3"], True),
        (["--workers", "0"], False),
        (["--workers"], True),  # whose value is missing, as the parser says later
        (["--config", "--workers.yaml"], False),
        ([], False),
    ],
)
def test_imports_begin_only_for_workers(arguments: list[str], asks: bool) -> None:
    assert _asks_for_workers(arguments) is asks
