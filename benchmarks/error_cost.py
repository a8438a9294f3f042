"""Time what the errors cost: analyses with more and more halvings, and against another checkout of this package.

`errors.py` runs it. The checkouts take turns within a repeat, each in a process of one thread; times are those of the
processor, not of the clock, so that other work on the machine matters less.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

STAGES = ("matrices", "report", "epoch drifts")
HERE = Path(__file__).resolve().parent


class Checkout:
    """A process that times analyses by the package of a checkout."""

    def __init__(self, path: Path, clouds: Path) -> None:
        """Start the process."""
        one_thread = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(clouds)],
            env={**os.environ, **one_thread, "PYTHONPATH": str(path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def seconds(self, kind: str, engine: str, halvings: int) -> list[float]:
        """Seconds of each stage of one analysis that follows another."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([kind, engine, halvings]) + "\n")
        self.process.stdin.flush()
        answer: list[float] = json.loads(self.process.stdout.readline())
        return answer

    def stop(self) -> None:
        """End the process."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def cost_of_halvings(
    clouds: Mapping[str, npt.NDArray[np.float32]], engines: Sequence[str], halvings: Sequence[int], repeats: int
) -> list[dict[str, Any]]:
    """Median seconds of each stage by kind of clouds, engine and number of halvings.

    Args:
        clouds: By kind two analyses, shape ``(2, layers, n, d)``.
        engines: Engines by their own names.
        halvings: Numbers of halvings.
        repeats: Number of measurements.
    """
    jobs = [(kind, engine, cuts) for kind in clouds for engine in engines for cuts in halvings]
    seconds = _interleaved({"here": HERE.parent}, clouds, jobs, repeats)["here"]
    return [
        {"clouds": kind, "engine": engine, "halvings": cuts, "seconds": dict(zip(STAGES, row, strict=True))}
        for (kind, engine, cuts), row in zip(jobs, seconds, strict=True)
    ]


def cost_against(
    other: Path, clouds: Mapping[str, npt.NDArray[np.float32]], halvings: int, repeats: int
) -> list[dict[str, Any]]:
    """Median seconds here and by another checkout at the same number of halvings, by RedZeD."""
    jobs = [(kind, "redzed", halvings) for kind in clouds]
    seconds = _interleaved({"here": HERE.parent, "other": other}, clouds, jobs, repeats)
    return [
        {
            "clouds": kind,
            "halvings": cuts,
            **{name: dict(zip(STAGES, rows[index], strict=True)) for name, rows in seconds.items()},
            "ratio": sum(seconds["here"][index]) / sum(seconds["other"][index]),
        }
        for index, (kind, _, cuts) in enumerate(jobs)
    ]


def _interleaved(
    checkouts: Mapping[str, Path],
    clouds: Mapping[str, npt.NDArray[np.float32]],
    jobs: Sequence[tuple[str, str, int]],
    repeats: int,
) -> dict[str, list[list[float]]]:
    """Median seconds of the stages by checkout and job."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "clouds.npz")
        np.savez(file, **clouds)
        processes = {name: Checkout(path, file) for name, path in checkouts.items()}
        for process in processes.values():
            for kind, engine, _ in dict.fromkeys((kind, engine, 1) for kind, engine, _ in jobs):
                process.seconds(kind, engine, 1)
        taken: dict[str, list[list[list[float]]]] = {name: [[] for _ in jobs] for name in checkouts}
        for _ in range(repeats):
            for index, job in enumerate(jobs):
                for name, process in processes.items():
                    taken[name][index].append(process.seconds(*job))
        for process in processes.values():
            process.stop()
    return {name: [np.median(rows, axis=0).tolist() for rows in measured] for name, measured in taken.items()}


def _serve(clouds: Path) -> None:
    """Answer questions on the standard input; works with the package of either checkout."""
    import torch

    from lightning_topolip import distance_matrix
    from lightning_topolip.topology.history import History
    from lightning_topolip.topology.measurement import Measurement
    from lightning_topolip.topology.settings import Settings
    from lightning_topolip.topology.smoothness_report import smoothness_report

    torch.set_num_threads(1)
    kinds = {kind: torch.from_numpy(array) for kind, array in np.load(clouds).items()}
    option = "halvings" if hasattr(Settings(), "halvings") else "noise_splits"

    def measured(layers: torch.Tensor) -> Measurement:
        return Measurement({str(index): distance_matrix(cloud).numpy() for index, cloud in enumerate(layers)})

    for line in sys.stdin:
        kind, engine, halvings = json.loads(line)
        settings, history = Settings(engine=engine, **{option: halvings}), History()
        history.add(0, smoothness_report(measured(kinds[kind][0]), settings))
        times = [time.process_time()]
        measurement = measured(kinds[kind][1])
        times.append(time.process_time())
        report = smoothness_report(measurement, settings)
        times.append(time.process_time())
        history.add(1, report)
        times.append(time.process_time())
        sys.stdout.write(json.dumps(np.diff(times).tolist()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
