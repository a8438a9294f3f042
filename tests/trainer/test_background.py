"""Analyses in a thread or process of their own: the same numbers, in order, bounded, and no part of training."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.trainings import Tiny, events, fit, loader, trainer
from lightning import seed_everything
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from lightning_topolip import SmoothnessReport, TopoLipCallback
from lightning_topolip.notices import Notices
from lightning_topolip.topology.engine_choice import EngineChoice
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.settings import Settings
from lightning_topolip.topology.smoothness_report import smoothness_report
from lightning_topolip.trainer.background import Background
from lightning_topolip.trainer.placement import Placement
from lightning_topolip.trainer.processes import Processes
from lightning_topolip.trainer.threads import Threads
from lightning_topolip.trainer.workers import Workers

SETTINGS = Settings(halvings=1)
IN_PROCESS = Settings(halvings=1, engine="ripser")  # it holds the interpreter's lock


def matrices(n: int = 30, layers: int = 3, seed: int = 0) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    clouds = generator.normal(size=(layers, n, 4))
    return {str(i): np.sqrt(((c[:, None] - c) ** 2).sum(-1)).astype(np.float32) for i, c in enumerate(clouds)}


def worker_of(background: Background[Any]) -> int:
    children = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "-f", "LokyProcess"], capture_output=True, text=True, check=False
    )
    (pid,) = children.stdout.split()
    return int(pid)


def new_background(engine: Any, capacity: int = 2) -> Background[int]:
    choice = EngineChoice(engine)
    return Background(Workers(choice, Placement(background=True).staff(1), Notices()), choice, capacity)


@pytest.fixture(params=["auto", "ripser"], ids=["thread", "process"])
def background(request: pytest.FixtureRequest) -> Any:
    queue = new_background(request.param)
    yield queue
    queue.stop()


@pytest.fixture
def process() -> Any:
    queue = new_background("ripser")
    yield queue
    queue.stop()


def test_results_are_those_of_this_process_and_in_order(background: Background[int]) -> None:
    jobs = [matrices(60, 4), matrices(10, 2, seed=1)]
    for key, job in enumerate(jobs):
        background.submit(key, Measurement(job, {"x": "skipped"}), SETTINGS)
    found = background.finished(wait_for=2)
    assert [finished.key for finished in found] == [0, 1]
    for finished, job in zip(found, jobs, strict=True):
        assert isinstance(finished.outcome, SmoothnessReport)
        expected = smoothness_report(Measurement(job, {"x": "skipped"}), SETTINGS)
        assert finished.outcome.settings.engine == background._engine.name
        np.testing.assert_equal(
            {**finished.outcome.to_dict(), "engine": "", "engine_check": ""},
            {**expected.to_dict(), "engine": "", "engine_check": ""},
        )
        assert finished.seconds > 0
    assert background.finished() == []


def test_an_exception_comes_back_with_its_layer_and_the_worker_lives(background: Background[int]) -> None:
    broken = matrices() | {"bad": np.full((30, 30), -1, np.float32)}
    background.submit(0, Measurement(broken), SETTINGS)
    background.submit(1, Measurement(matrices()), SETTINGS)
    first, second = background.finished(wait_for=2)
    assert isinstance(first.outcome, ValueError)
    assert "Layer 'bad': Argument `distances` must be >= 0" in str(first.outcome)
    assert isinstance(second.outcome, SmoothnessReport)


def test_a_killed_worker_is_a_failure_and_the_next_one_works(process: Background[int]) -> None:
    process.submit(0, Measurement(matrices()), IN_PROCESS)
    process.finished(wait_for=1)
    process.submit(1, Measurement(matrices(400, 8)), IN_PROCESS)
    os.kill(worker_of(process), signal.SIGKILL)
    (killed,) = process.finished(wait_for=1)
    assert "terminated" in str(killed.outcome)
    process.submit(2, Measurement(matrices()), IN_PROCESS)
    (next_one,) = process.finished(wait_for=1)
    assert isinstance(next_one.outcome, SmoothnessReport)


def test_a_worker_that_dies_while_idle_is_replaced(process: Background[int]) -> None:
    process.submit(0, Measurement(matrices()), IN_PROCESS)
    process.finished(wait_for=1)
    os.kill(worker_of(process), signal.SIGKILL)
    outcomes: list[object] = []
    while not outcomes or (isinstance(outcomes[-1], BrokenProcessPool) and len(outcomes) < 50):  # until it is noticed
        time.sleep(0.2)
        process.submit(1, Measurement(matrices()), IN_PROCESS)
        (found,) = process.finished(wait_for=1)
        outcomes.append(found.outcome)
    assert isinstance(outcomes[-1], SmoothnessReport)


def test_the_process_stands_back_and_needs_no_torch(process: Background[int]) -> None:
    process.submit(0, Measurement(matrices()), IN_PROCESS)
    process.finished(wait_for=1)
    worker = Path("/proc") / str(worker_of(process))
    assert niceness(worker) == 19
    assert "libtorch" not in (worker / "maps").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a niceness of their own on Linux alone")
def test_the_thread_stands_back() -> None:
    threads = Threads(1, niceness=19)
    try:
        assert threads.submit(lambda: niceness(Path("/proc/thread-self"))).result() == 19
    finally:
        threads.stop()
    assert niceness(Path("/proc/thread-self")) < 19


def niceness(process: Path) -> int:
    return int((process / "stat").read_text().rsplit(")", 1)[1].split()[16])


def test_an_engine_that_holds_the_lock_gets_a_process_when_it_takes_over() -> None:
    """The same queue serves RedZeD in a thread, and then another engine in a process."""
    queue = new_background("auto")
    try:
        queue.submit(0, Measurement(matrices()), SETTINGS)
        queue.finished(wait_for=1)
        with pytest.raises(ValueError, match="not enough values"):
            worker_of(queue)
        queue._engine.name = "ripser"
        queue.submit(1, Measurement(matrices()), SETTINGS)
        (found,) = queue.finished(wait_for=1)
        assert isinstance(found.outcome, SmoothnessReport)
        assert found.outcome.settings.engine == "ripser"
        assert worker_of(queue) != os.getpid()
    finally:
        queue.stop()


def test_analyses_that_wait_are_lost_when_the_queue_stops() -> None:
    queue, gate = new_background("auto"), threading.Event()
    busy = queue._workers.submit(gate.wait)
    queue.submit(0, Measurement(matrices()), SETTINGS)
    waiting = queue._waiting[0].future
    queue.stop()
    assert waiting.cancelled()
    assert queue.under_way == 0
    assert not busy.done()
    gate.set()


class Watcher(Callback):
    """Notes the largest number of analyses under way after a batch."""

    def __init__(self, callback: TopoLipCallback) -> None:
        self.callback, self.most = callback, 0

    def on_train_batch_end(self, *args: Any) -> None:
        watch = self.callback._watch
        assert watch is not None
        assert watch.analyst._background is not None
        self.most = max(self.most, watch.analyst._background.under_way)


def test_a_run_logs_the_same_at_the_same_steps(tmp_path: Path) -> None:
    def run(**options: Any) -> tuple[dict[str, Any], Any, TopoLipCallback]:
        seed_everything(0, verbose=False)
        logger = TensorBoardLogger(tmp_path / str(options))
        callback = TopoLipCallback(probe_size=20, **options)
        model = Tiny()
        trainer(tmp_path, callback, Watcher(callback) if options else Callback(), logger=logger).fit(
            model, loader(shuffle=True), loader()
        )
        found = events(logger)
        tags = [tag for tag in found.Tags()["scalars"] if tag.startswith("topolip") and tag[8:] not in TIMED]
        return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in tags}, model.state_dict(), callback

    inline, weights, _ = run()
    for engine in ("auto", "ripser"):
        apart, same_weights, callback = run(background=True, engine=engine)
        assert inline == apart
        torch.testing.assert_close(weights, same_weights, rtol=0, atol=0)
        assert callback.history.epochs == [0, 1, 2, 3]


TIMED = ("seconds", "overhead")


def test_the_queue_is_bounded_by_waiting(tmp_path: Path) -> None:
    callback = TopoLipCallback(probe_size=48, background=True, queue_size=1, every_n_steps=1, figures=False)
    watcher = Watcher(callback)
    trainer(tmp_path, callback, watcher, max_epochs=2).fit(Tiny(), loader(), loader())
    assert len(callback.history.epochs) == 7
    assert 0 < watcher.most <= 1


def test_a_full_queue_may_skip_and_says_how_often(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    callback = TopoLipCallback(
        probe_size=48, background=True, queue_size=1, every_n_steps=1, when_full="skip", figures=False
    )
    fit(tmp_path, callback, logger=logger, max_epochs=3)
    assert len(callback.history.epochs) < 10
    assert len(callback.history.epochs) + logged(logger, "topolip/skipped") == 10


def logged(logger: CSVLogger, key: str) -> int:
    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        return int(max(float(row[key] or 0) for row in csv.DictReader(file)))


def test_checkpoints_wait_for_analyses_under_way(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, save_top_k=-1, filename="{epoch}")
    callback = TopoLipCallback(probe_size=48, background=True, figures=False)
    trainer(tmp_path, callback, keep, max_epochs=2).fit(Tiny(), loader(), loader())
    saved = torch.load(tmp_path / "epoch=0.ckpt", weights_only=True)["callbacks"][callback.state_key]
    assert saved["epochs"] == [0, 1]


def test_monitors_are_not_late(tmp_path: Path) -> None:
    class Seen(EarlyStopping):
        def __init__(self) -> None:
            super().__init__("topolip/score", patience=99, check_finite=False)
            self.values: list[float] = []

        def on_validation_end(self, run: Any, module: Any) -> None:
            super().on_validation_end(run, module)
            if not run.sanity_checking:
                self.values.append(float(run.callback_metrics["topolip/score"]))

    def seen(**options: Any) -> list[float]:
        seed_everything(0, verbose=False)
        watcher = Seen()
        trainer(tmp_path, watcher, TopoLipCallback(probe_size=20, figures=False, **options)).fit(
            Tiny(), loader(), loader()
        )
        return watcher.values

    assert seen(background=True) == seen()


@pytest.mark.filterwarnings("ignore:.* TopoLip analyses failed")
def test_a_worker_killed_in_training_is_said_once_and_training_ends_as_without(tmp_path: Path) -> None:
    class Killer(Callback):
        def __init__(self, callback: TopoLipCallback) -> None:
            self.callback = callback

        def on_train_epoch_start(self, run: Any, module: Any) -> None:
            if run.current_epoch == 1:
                assert self.callback._watch is not None
                os.kill(worker_of(self.callback._watch.analyst._background), signal.SIGKILL)

    def weights(*callbacks: Callback) -> Any:
        seed_everything(0, verbose=False)
        model = Tiny()
        trainer(tmp_path, *callbacks).fit(model, loader(shuffle=True), loader())
        return model.state_dict()

    callback = TopoLipCallback(probe_size=48, background=True, figures=False, halvings=30, engine="ripser")
    with pytest.warns(UserWarning, match="TopoLip analysis failed: TerminatedWorkerError") as caught:
        killed = weights(callback, Killer(callback))
    assert sum(str(warning.message).startswith("A TopoLip") for warning in caught) == 1
    torch.testing.assert_close(killed, weights(), rtol=0, atol=0)
    assert callback.history.epochs[-1] == 3


@pytest.mark.parametrize("engine", ["auto", "ripser"])
def test_an_interrupt_ends_the_worker(tmp_path: Path, engine: Any) -> None:
    class Interrupt(Callback):
        def on_train_batch_end(self, *args: Any) -> None:
            raise RuntimeError("stop")

    callback = TopoLipCallback(probe_size=48, background=True, figures=False, engine=engine)
    with pytest.raises(RuntimeError, match="stop"):
        trainer(tmp_path, callback, Interrupt()).fit(Tiny(), loader(), loader())
    deadline = time.perf_counter() + 10
    while any(thread.name.startswith("topolip") for thread in threading.enumerate()):
        assert time.perf_counter() < deadline
        time.sleep(0.01)
    left = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "LokyProcess"], capture_output=True, check=False)
    assert left.stdout == b""


def test_several_workers_give_the_numbers_of_one(tmp_path: Path) -> None:
    def curves(**options: Any) -> tuple[Any, ...]:
        seed_everything(0, verbose=False)
        callback = TopoLipCallback(probe_size=20, figures=False, **options)
        trainer(tmp_path, callback, max_epochs=2).fit(Tiny(), loader(), loader())
        return callback.history.curves, callback.history.epoch_drifts

    alone = curves(workers=0)
    assert alone == curves(workers=2) == curves() == curves(workers=2, engine="ripser") == curves(engine="ripser")


def test_a_process_loads_the_engine_of_its_fit_and_no_other() -> None:
    pool = Processes(1, "ripser")
    engines = {"redzed_tda", "gph", "ripser", "gudhi"}
    try:
        assert pool.submit(lambda: engines & set(sys.modules)).result(timeout=60) == {"ripser"}
    finally:
        pool.stop()


@pytest.mark.filterwarnings("ignore:A TopoLip analysis failed.*not implemented")
@pytest.mark.filterwarnings("ignore:.* TopoLip analyses failed")
@pytest.mark.parametrize("options", [{"background": True}, {"workers": 2}])
@pytest.mark.parametrize(
    ("engine", "pool"), [("auto", "threads.ThreadPoolExecutor"), ("ripser", "processes.ProcessPoolExecutor")]
)
def test_workers_that_do_not_start_leave_training_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], engine: Any, pool: str
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(38, "not implemented")

    monkeypatch.setattr(f"lightning_topolip.trainer.{pool}", refuse)
    run = fit(tmp_path, TopoLipCallback(probe_size=16, figures=False, engine=engine, **options))
    assert run.current_epoch == 3
    assert np.isnan(float(run.callback_metrics["topolip/score"]))
