"""Cost known beforehand, and a budget that is kept."""

from __future__ import annotations

import contextlib
import csv
import math
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.giotto import HAS_GIOTTO
from helpers.trainings import Tiny, fit, trainer
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, TensorDataset

from lightning_topolip import TopoLipCallback, distance_matrix
from lightning_topolip.notices import Notices
from lightning_topolip.topology.engine_choice import EngineChoice
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.settings import Settings
from lightning_topolip.trainer import cost
from lightning_topolip.trainer.budget import Overhead, fitting_cost, read_share, whole_cost
from lightning_topolip.trainer.cost import Pilot
from lightning_topolip.trainer.workers import Staff, Workers


class Clock:
    """Time that passes only when something is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(cost.time, "perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


ONE_PROCESS: Any = SimpleNamespace(world_size=1, strategy=SimpleNamespace(broadcast=lambda value: value))
LAYERS = 9


def on_a_sphere(points: int) -> float:
    """Seconds of a whole topology that grow 4 times from 128 to 256 points, and 60 times to 512."""
    return {64: 0.01, 128: 0.04, 256: 0.16, 512: 9.6, 1024: 600.0}[points]


@pytest.fixture
def new_pilot(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Forwards of 1 ms per sample, and topologies that take the given seconds with halves, half of them without."""

    def new(seconds_of: Callable[[int], float], *, ranks: int = 1, subset_size: int | None = None) -> Pilot:
        def measure(n: int) -> Measurement:
            clock.now += 1e-3 * n
            return Measurement({str(layer): np.zeros((n, n), np.float32) for layer in range(LAYERS)})

        def topology(measurement: Measurement, settings: Settings, *_: Any, seconds: float | None) -> dict[str, Any]:
            taken = seconds_of(measurement.points) * (1.0 if settings.halvings else 0.5)
            clock.now += min(taken, seconds or math.inf)
            if seconds is not None and taken > seconds:
                raise cost.LimitExceeded
            return {}

        monkeypatch.setattr(cost, "topology_in_trainer", topology)
        monkeypatch.setattr(cost, "report_of_topology", lambda *_: None)
        engine = EngineChoice("redzed")
        workers = Workers(engine, Staff(0, 0), Notices())
        settings = Settings(subset_size=subset_size)
        return Pilot(ONE_PROCESS, measure, settings, engine, workers, ranks=ranks)

    return new


def test_the_cost_of_a_probe_is_that_of_its_own_analysis_however_it_grows(new_pilot: Any) -> None:
    for points in (64, 256, 512):
        costs = list(new_pilot(on_a_sphere).costs(points, lambda: math.inf))
        assert [found.points for found in costs] == [n for n in (64, 128, 256, 512) if n <= points]
        for found in costs:
            assert found.seconds == pytest.approx(1e-3 * found.points + on_a_sphere(found.points))
            assert not found.is_lower_bound
            assert found.memory == found.points**2 * (4 * LAYERS + 64)
    assert whole_cost(new_pilot(lambda points: 0.5), 300).seconds == pytest.approx(0.8)
    assert whole_cost(new_pilot(lambda points: 0.5), 40).seconds == pytest.approx(0.54)
    assert whole_cost(new_pilot(on_a_sphere, ranks=3), 256).seconds == pytest.approx(0.256 + 0.16 / 3)


def test_subsets_cost_in_proportion_to_their_number_and_have_no_halves(new_pilot: Any) -> None:
    for count in (2, 4, 8):
        found = whole_cost(new_pilot(on_a_sphere, subset_size=256), 256 * count)
        assert found.seconds == pytest.approx(0.256 * count + count * 0.08)
        assert not found.is_lower_bound


def test_an_analysis_that_takes_too_long_is_stopped_and_no_larger_one_is_run(new_pilot: Any, clock: Clock) -> None:
    pilot = new_pilot(on_a_sphere)
    before = clock.now
    *_, at_256, at_512, at_1024 = pilot.costs(1024, lambda: 2.0)
    assert clock.now - before < 4.0
    assert (at_256.is_lower_bound, at_512.is_lower_bound, at_1024.is_lower_bound) == (False, True, True)
    assert 2.0 <= at_512.seconds <= at_1024.seconds < 0.512 + 9.6
    assert str(at_512).startswith("9 layers, 512 samples: an analysis takes more than 2 s and ")


def test_a_forward_that_is_too_long_is_not_run(new_pilot: Any, clock: Clock) -> None:
    pilot = new_pilot(lambda points: 0.0)
    *_, last = pilot.costs(512, lambda: 0.2)
    assert last.is_lower_bound
    assert last.seconds == pytest.approx(0.512)
    assert clock.now < 1.0


def test_the_largest_probe_that_fits_is_chosen(new_pilot: Any) -> None:
    for size, nearest in ((512, 10.112), (256, 0.416), (128, 0.168)):
        enough = nearest * 0.95 / (0.05 * 3e-3)
        chosen, larger = fitting_cost(new_pilot(on_a_sphere), 512, 0.05, enough * 1.001)
        assert chosen.points == size
        assert larger is None or larger.points == 2 * size
        chosen, larger = fitting_cost(new_pilot(on_a_sphere), 512, 0.05, enough * 0.999)
        assert larger is not None
        assert (chosen.points, larger.points) == (size // 2, size)
    assert fitting_cost(new_pilot(on_a_sphere), 512, 0.05, 1e-9)[0].points == 64


def sphere(n: int, dimension: int, seed: int) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(n, dimension))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return distance_matrix(torch.from_numpy(points)).numpy()


def test_a_slow_engine_on_a_sphere_is_stopped_in_its_process() -> None:
    """Ripser takes minutes for 512 points on a sphere in 512 dimensions; 64 of them take milliseconds."""
    layers = {str(layer): sphere(512, 512, seed=layer) for layer in range(3)}
    choice = EngineChoice("ripser", warn=lambda message: None)
    workers = Workers(choice, Staff(0, 0).beside_this_thread(), Notices())
    pilot = Pilot(
        ONE_PROCESS,
        lambda n: Measurement({name: matrix[:n, :n] for name, matrix in layers.items()}),
        Settings(engine="ripser", halvings=0),
        choice,
        workers,
    )
    try:
        *_, smallest, whole = [found for found in pilot.costs(512, lambda: 3.0) if found.points in (64, 512)]
        assert not smallest.is_lower_bound
        assert whole.is_lower_bound
        assert whole.seconds >= 3.0
    finally:
        workers.stop()
    left = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "LokyProcess"], capture_output=True, check=False)
    assert left.stdout == b""


def test_the_overhead_stays_below_the_share(clock: Clock) -> None:
    overhead = Overhead()
    assert overhead.allows(0.1)
    with overhead.counted():
        clock.now += 2.0
    assert math.isnan(overhead.share)
    overhead.start_training()
    clock.now += 20.0
    assert overhead.share == pytest.approx(2 / 22)
    assert not overhead.allows(0.1)
    clock.now += 15.9
    assert not overhead.allows(0.1)
    clock.now += 0.2
    assert overhead.allows(0.1)
    with overhead.counted():
        clock.now += 2.0
    assert overhead.share == pytest.approx(4 / 40.1)
    assert not overhead.allows(0.1)
    with contextlib.suppress(RuntimeError), overhead.counted():
        clock.now += 1.0
        raise RuntimeError
    assert overhead.seconds == pytest.approx(5.0)


@pytest.mark.parametrize("wrong", ["5 percent", 0, 1, "100%", "-5%", True, [], math.nan])
def test_a_wrong_budget_raises(wrong: Any) -> None:
    with pytest.raises(ValueError, match="Argument `budget` must be a share of training time such as '5%'"):
        TopoLipCallback(budget=wrong)


def test_a_share_is_read() -> None:
    assert [read_share(text) for text in ("5%", "0.5 %", 0.05, None)] == [0.05, 0.005, 0.05, None]


def many(n: int = 256) -> DataLoader[Any]:
    inputs = torch.randn(n, 6, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(inputs, (inputs.sum(1) > 0).long()), batch_size=64)


def test_one_line_says_the_cost_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("lightning_topolip.trainer.analyst.rank_zero_info", said.append)
    fit(tmp_path, TopoLipCallback(probe_size=20, figures=False), max_epochs=1)
    (line,) = said
    assert line.startswith("TopoLip, layers.0 to layers.5: 4 layers, 20 samples: an analysis takes about ")
    assert " and 0.032 MB in addition to the forward; persistence by redzed, " in line
    assert ("checked against giotto-tda's engine" if HAS_GIOTTO else "giotto-tda is not installed") in line


def test_a_budget_that_shrinks_the_probe_says_by_how_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("lightning_topolip.trainer.analyst.rank_zero_info", said.append)
    for share in (1e-6, 0.999999):
        trainer(tmp_path, TopoLipCallback(budget=share, figures=False), max_epochs=1).fit(Tiny(), many(), many())
    shrunk, whole = said
    sentence = " The budget of 1e-06 of the training time shrinks the probe from 256 to 64 samples: 128 would "
    assert "4 layers, 64 samples" in shrunk
    assert sentence in shrunk
    assert "shrinks" not in whole


@pytest.mark.parametrize("options", [{}, {"background": True}, {"every_n_steps": 1}])
def test_the_overhead_is_a_share(tmp_path: Path, options: dict[str, Any]) -> None:
    logger = CSVLogger(tmp_path)
    callback = TopoLipCallback(probe_size=64, figures=False, **options)
    trainer(tmp_path, callback, logger=logger, max_epochs=2).fit(Tiny(), many(), many())
    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        shares = [float(row["topolip/overhead"]) for row in csv.DictReader(file) if row.get("topolip/overhead")]
    assert shares
    assert all(0 < share < 1 for share in shares)


def test_a_small_budget_takes_a_small_probe_and_leaves_analyses_out(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    frugal, lavish = (TopoLipCallback(budget=share, figures=False) for share in (1e-6, None))
    for callback in (frugal, lavish):
        trainer(tmp_path, callback, logger=logger, max_epochs=3).fit(Tiny(), many(), many())
    assert frugal.history.last is not None
    assert lavish.history.last is not None
    assert (frugal.history.last.points, lavish.history.last.points) == (64, 256)
    assert (frugal.history.epochs, lavish.history.epochs) == ([0], [0, 1, 2, 3])
