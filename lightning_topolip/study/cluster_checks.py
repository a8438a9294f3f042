"""What the workers of a cluster must have: the folder of the study and, for runs on a GPU, one each."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from distributed import Client, Worker

from lightning_topolip.study.cluster import resources

PATIENCE = 30.0
"""Seconds without a worker after which that is said."""


def require_shared_folder(client: Client, folder: Path) -> None:
    """Write a file for every worker that has come so far, and read the answer of each.

    Raises:
        ValueError: If a worker does not see the folder.
    """
    token = uuid4().hex
    folder.mkdir(parents=True, exist_ok=True)
    question = folder / f"shared.{token}"
    question.write_text(token, encoding="utf-8")
    try:
        _wait_for_a_worker(client)
        problems = {
            worker: problem or ("" if (folder / answer).is_file() else "its file does not arrive")
            for worker, (answer, problem) in client.run(_answer, question, token).items()
        }
    finally:
        for file in folder.glob(f"{question.name}*"):
            file.unlink()
    blind = [f"{worker} ({problem})" for worker, problem in problems.items() if problem]
    if blind:
        raise ValueError(
            f"Argument `output` must be a folder that every worker reads and writes, got {str(folder)!r}, which is "
            f"not shared with {', '.join(blind)}; choose one on a file system that all machines mount."
        )


def require_gpus(client: Client, devices: Sequence[str]) -> None:
    """Raise ValueError if jobs ask for a GPU and no worker that has come so far offers one."""
    offers: list[dict[str, float]] = list(client.run(_offer).values())
    if not all(any(offer.get(name, 0) >= count for offer in offers) for name, count in resources(devices).items()):
        raise ValueError(
            f"Argument `cluster` must have workers with the resource GPU for the device {devices[0]}, got "
            f"{len(offers)} without; start them with `dask worker ... --resources GPU=1`."
        )


def _wait_for_a_worker(client: Client) -> None:
    """Wait as long as it takes: a queue may start the first worker in hours."""
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        warnings.warn(
            f"The cluster has had no worker for {PATIENCE:g} seconds; the study begins when one comes, started by "
            "`dask worker` or by the queue.",
            stacklevel=2,
        )
        client.wait_for_workers(1)


def _offer(dask_worker: Worker) -> dict[str, float]:
    """What a worker offers; Dask passes itself by this name."""
    return dict(dask_worker.state.total_resources)


def _answer(question: Path, token: str) -> tuple[str, str]:
    """Read the question and write an answer beside it; returns the answer's name, and what went wrong."""
    answer = question.with_name(f"{question.name}.{uuid4().hex}")
    try:
        if question.read_text(encoding="utf-8") != token:
            return "", "another file is there"
        answer.write_text(token, encoding="utf-8")
    except OSError as error:
        return "", error.strerror or type(error).__name__
    return answer.name, ""
