"""Cost known beforehand, and a budget that is kept."""

from __future__ import annotations

import contextlib
import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.trainings import Tiny, fit, trainer
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, TensorDataset

from lightning_topolip import TopoLipCallback
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.settings import Settings
from lightning_topolip.trainer import cost
from lightning_topolip.trainer.budget import Overhead, fitting_size, read_share
from lightning_topolip.trainer.cost import CostModel


class Clock:
    """Time that passes only when something is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(cost.time, "perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def cost_model(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A forward of 1 ms per sample, persistence of a layer in n^2.5 microseconds, 9 layers."""

    def measure(n: int) -> Measurement:
        clock.now += 1e-3 * n
        return Measurement({str(layer): np.zeros((n, n), np.float32) for layer in range(9)})

    def report(measurement: Measurement, settings: Settings) -> None:
        clock.now += sum(measurement.points**2.5 for _ in measurement.layers) * 1e-6

    monkeypatch.setattr(cost, "smoothness_report", report)
    return lambda points, ranks=1, size=None: CostModel(measure, Settings(subset_size=size), points, ranks)


def test_the_prediction_follows_the_powers_of_the_small_probes(cost_model: Any) -> None:
    for points in (256, 1024):
        predicted = cost_model(points).cost(points)
        assert predicted.seconds == pytest.approx(1e-3 * points + 9 * points**2.5 * 1e-6)
        assert predicted.memory == points**2 * (4 * 9 + 64)
    assert cost_model(256, 3).cost(256).seconds == pytest.approx(0.256 + 3 * 256**2.5 * 1e-6)
    assert cost_model(40).cost(40).seconds == pytest.approx(0.04 + 9 * 40**2.5 * 1e-6)


def test_subsets_cost_in_proportion_to_their_number(cost_model: Any) -> None:
    whole_of_all = 1 / (1 + 2 * 4 * 0.5**2.5)
    for count in (2, 3, 8):
        predicted = cost_model(256 * count, size=256).cost(256 * count)
        expected = 0.256 * count + count * whole_of_all * 9 * 256**2.5 * 1e-6
        assert predicted.seconds == pytest.approx(expected)


def test_the_largest_probe_that_fits_is_chosen(cost_model: Any) -> None:
    small = cost_model(1024)
    for size in (1024, 512, 256, 128, 64):
        enough = small.cost(size).seconds * 0.95 / (0.05 * 3e-3)
        assert fitting_size(small, 0.05, 1024, enough * 1.001) == size
        assert fitting_size(small, 0.05, 1024, enough * 0.999) == max(size // 2, 64)
    assert fitting_size(small, 0.05, 300, math.nan) == 300
    assert fitting_size(small, 0.05, 300, math.inf) == 300


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
    assert line.endswith("and 0.032 MB in addition to the forward.")


def test_a_budget_that_shrinks_the_probe_says_by_how_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("lightning_topolip.trainer.analyst.rank_zero_info", said.append)
    for share in (1e-6, 0.999999):
        trainer(tmp_path, TopoLipCallback(budget=share, figures=False), max_epochs=1).fit(Tiny(), many(), many())
    shrunk, whole = said
    sentence = " The budget of 1e-06 of the training time shrinks the probe from 256 to 64 samples: 256 would "
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
