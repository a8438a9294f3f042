"""Studies on workers of Dask's `distributed`: the same numbers, whatever happens to the workers."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import pytest
import torch
from distributed import Client, LocalCluster, Security
from helpers.forked import finish, start
from helpers.studies import tiny_study
from torch.utils.data import DataLoader, TensorDataset

from lightning_topolip.study import clients, cluster_checks
from lightning_topolip.study.clients import cluster_client, local_client
from lightning_topolip.study.cluster import run_on_cluster
from lightning_topolip.study.cluster_checks import require_gpus, require_shared_folder
from lightning_topolip.study.config import StudyConfig
from lightning_topolip.study.execution import run_study
from lightning_topolip.study.lock import FolderInUse, locked
from lightning_topolip.study.runs import Run

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Chore:
    """A job that succeeds, also by a loader with a process of its own, raises an error, kills its process or waits."""

    end: str
    run: Run

    def execute(self, device: str, on_progress: Any) -> None:
        if self.end == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.end == "broken":
            raise ValueError(f"broken on {device}")
        if self.end == "refused":
            raise ValueError("Argument `x` must be 1, got 3.")
        if self.end == "in use" and not (self.run.output / "free").exists():
            (self.run.output / "asked").touch()
            raise FolderInUse("another process")
        if self.end == "loading":
            assert len(list(DataLoader(TensorDataset(torch.zeros(4)), num_workers=1))) == 4
        if self.end == "long":
            time.sleep(1)
        (self.run.output / f"{self.end} {self.run.seed}").touch()
        on_progress("measuring", 1, 1)


def chores(output: Path, *ends: str) -> list[Any]:
    return [Chore(end, Run("data", end, seed, output)) for seed, end in enumerate(ends)]


def two_seeds() -> StudyConfig:
    return tiny_study(seeds=[0, 1])


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with local_client(1, ["cpu"]) as client:
        yield client


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The table of the study in one process."""
    folder = tmp_path_factory.mktemp("one process")
    run_study(two_seeds(), folder)
    return (folder / "results.csv").read_bytes()


def test_a_killed_worker_costs_its_current_run_only(client: Client, tmp_path: Path) -> None:
    messages: list[tuple[Any, ...]] = []
    jobs = chores(tmp_path, "killed", "loading", "broken", "refused", "well")
    killed, *others = run_on_cluster(client, jobs, ["cpu"], lambda *message: messages.append(message))
    assert "was killed time and again" in str(killed)
    assert str(others[1]).startswith("ValueError: broken on cpu (")
    assert (others[0], *others[2:]) == (None, "Argument `x` must be 1, got 3.", None)
    assert sorted((run.model, *stage) for run, *stage in messages) == [
        ("broken", "failed", 1, 1),
        ("killed", "failed", 1, 1),
        ("loading", "measuring", 1, 1),
        ("refused", "failed", 1, 1),
        ("well", "measuring", 1, 1),
    ]


def test_memory_of_workers_is_not_given_back_after_every_tensor(client: Client) -> None:
    assert list(client.run(os.environ.get, "MALLOC_TRIM_THRESHOLD_").values()) == [None]


def test_a_run_that_another_process_does_is_waited_for(client: Client, tmp_path: Path) -> None:
    def free_it() -> None:
        wait_until((tmp_path / "well 1").exists)
        (tmp_path / "free").touch()

    threading.Thread(target=free_it).start()
    assert run_on_cluster(client, chores(tmp_path, "in use", "well"), ["cpu"], ignored) == [None, None]
    assert (tmp_path / "asked").exists()
    assert (tmp_path / "in use 0").exists()


def test_an_interruption_cancels_what_has_not_begun(client: Client, tmp_path: Path) -> None:
    def interrupt(*message: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_on_cluster(client, chores(tmp_path, *["long"] * 5), ["cpu"], interrupt)
    time.sleep(3)
    assert (tmp_path / "long 0").exists()
    assert len(list(tmp_path.iterdir())) < 5


def test_three_workers_of_which_one_is_killed_write_the_same_file(tmp_path: Path, expected: bytes) -> None:
    killed: list[Run] = []

    def kill_the_first(run: Run, stage: str, done: int, total: int) -> None:
        if stage == "training" and not killed:
            with suppress(FileNotFoundError):  # the run was faster than the news of it
                os.kill(json.loads((run.folder / "lock").read_text())["process"], signal.SIGKILL)
                killed.append(run)

    results = run_study(two_seeds(), tmp_path, workers=3, on_progress=kill_the_first)
    assert killed
    assert (tmp_path / "results.csv").read_bytes() == expected
    assert [run["failure"] for run in json.loads((tmp_path / "about.json").read_text())["runs"]] == [None] * 4
    assert not list(tmp_path.rglob("lock*"))
    messages: list[tuple[Any, ...]] = []
    again = run_study(two_seeds(), tmp_path, on_progress=lambda *message: messages.append(message))
    assert again.rows == results.rows
    assert [stage for _, stage, _, _ in messages] == ["measuring"] * 4


def test_commands_that_join_share_the_runs(tmp_path: Path, expected: bytes) -> None:
    output = tmp_path / "study"
    processes = [
        start(join, output, tmp_path / f"trained {name}", output=tmp_path / f"log {name}") for name in ("a", "b")
    ]
    for process, name in zip(processes, ("a", "b"), strict=True):
        finish(process, tmp_path / f"log {name}")
    trained = [json.loads((tmp_path / f"trained {name}").read_text()) for name in ("a", "b")]
    assert sorted(trained[0] + trained[1]) == sorted(
        f"{model} on digits, seed {seed}" for model in ("convolution", "attention") for seed in (0, 1)
    )
    assert all(trained)
    assert (output / "results.csv").read_bytes() == expected


def join(output: Path, trained: Path) -> None:
    runs: dict[str, None] = {}

    def note(run: Run, stage: str, done: int, total: int) -> None:
        if stage == "training":
            runs[run.name] = None

    run_study(two_seeds(), output, join=True, on_progress=note)
    trained.write_text(json.dumps(list(runs)))


def test_a_second_command_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(ValueError, match=r"`output` must .* in use by process .*`--join true`"):
        run_study(tiny_study(), tmp_path)


def test_a_scheduler_of_the_user(tmp_path: Path, expected: bytes) -> None:
    file = tmp_path / "scheduler.json"
    with daemon(
        "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)
    ) as scheduler:
        wait_until(file.exists)
        with daemon("worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-dashboard"):
            run_study(two_seeds(), tmp_path / "study", cluster=str(file))
            assert (tmp_path / "study/results.csv").read_bytes() == expected
            with cluster_client(file) as client:
                with pytest.raises(ValueError, match="`cluster` must have workers with the resource GPU"):
                    require_gpus(client, ["cuda:0"])

                def lose_the_scheduler(*message: Any) -> None:
                    scheduler.kill()

                with pytest.raises(ConnectionError, match=r"the scheduler is lost; finished runs .* are kept"):
                    run_on_cluster(client, chores(tmp_path, *["long"] * 30), ["cpu"], lose_the_scheduler)


def test_a_scheduler_that_encrypts(tmp_path: Path, expected: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Security.temporary()
    certificates = {"ca-file": keys.tls_ca_file, "cert": keys.tls_client_cert, "key": keys.tls_client_key}
    for name, text in certificates.items():
        (tmp_path / name).write_text(str(text))
    options = [word for name in certificates for word in (f"--tls-{name}", str(tmp_path / name))]
    file = tmp_path / "scheduler.json"
    with daemon("scheduler", "--host", "tls://127.0.0.1", "--port", "0", "--no-dashboard", *options,
                "--scheduler-file", str(file)):  # fmt: skip
        wait_until(file.exists)
        address = json.loads(file.read_text())["address"]
        assert address.startswith("tls://")
        with daemon("worker", address, "--nthreads", "1", "--no-dashboard", *options):
            monkeypatch.setattr(clients, "PATIENCE", 2)
            with pytest.raises(ValueError, match=r"`cluster` must .* got 'tls://"), cluster_client(address):
                pass
            monkeypatch.undo()
            configured = {
                "distributed.comm.tls.ca-file": str(tmp_path / "ca-file"),
                "distributed.comm.tls.client.cert": str(tmp_path / "cert"),
                "distributed.comm.tls.client.key": str(tmp_path / "key"),
            }
            with dask.config.set(configured):
                run_study(two_seeds(), tmp_path / "study", cluster=address)
    assert (tmp_path / "study/results.csv").read_bytes() == expected


def test_a_scheduler_file_that_does_not_exist_is_not_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    with (
        pytest.raises(ValueError, match=r"`cluster` must .*scheduler\.json': there is no such file"),
        cluster_client(file),
    ):
        pass


def test_a_cluster_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "PATIENCE", 1)
    with pytest.raises(ValueError, match=r"`cluster` must .* got '127\.0\.0\.1:1'"), cluster_client("127.0.0.1:1"):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere://127.0.0.1:1"])
def test_a_client_that_cannot_start_is_not_left_to_the_garbage_collector(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "PATIENCE", 1)
    with pytest.raises(ValueError, match="`cluster` must") as refused, cluster_client(address):
        pass
    statuses = {each.status for each in gc.get_objects() if issubclass(type(each), Client)}
    assert "closed" in statuses, refused  # its traceback keeps the client alive
    assert statuses <= {"running", "closed"}


def test_a_folder_that_a_worker_does_not_see_is_refused(client: Client, tmp_path: Path) -> None:
    require_shared_folder(client, tmp_path / "study")
    assert not list((tmp_path / "study").iterdir())

    @dataclass
    class Elsewhere:
        """A worker whose file system has other contents under the same path."""

        own: Path

        def wait_for_workers(self, count: int, timeout: float) -> None:
            pass

        def run(self, function: Callable[..., Any], question: Path, token: str) -> dict[str, Any]:
            return {"tcp://elsewhere:1": function(self.own / question.name, token)}

    elsewhere: Any = Elsewhere(tmp_path / "missing")
    message = r"`output` must .* not shared with tcp://elsewhere:1 \(No such file or directory\); choose one on a file"
    with pytest.raises(ValueError, match=message):
        require_shared_folder(elsewhere, tmp_path / "study")
    assert not list((tmp_path / "study").iterdir())


def test_a_cluster_without_a_worker_is_waited_for_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_checks, "PATIENCE", 0.5)
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        threading.Timer(1.5, cluster.scale, [1]).start()
        with pytest.warns(UserWarning, match=r"no worker for 0\.5 seconds; the study begins when one comes"):
            require_shared_folder(client, tmp_path)
        assert len(client.scheduler_info()["workers"]) == 1


def ignored(*message: Any) -> None:
    pass


@contextmanager
def daemon(kind: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            yield process
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
