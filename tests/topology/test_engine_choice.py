"""RedZeD at work: checked against giotto-tda's engine once, and replaced by it if it errs, in every face."""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redzed_tda
import torch
from helpers.giotto import needs_giotto
from helpers.trainings import Tiny, fit, loader, trainer
from torch import nn

from lightning_topolip import TopoLipCallback, TopoLipMetric, analyze, distance_matrix, persistence_diagrams
from lightning_topolip.topology import engine_choice, slow_engines
from lightning_topolip.topology.engine_choice import EngineChoice, process_choice
from lightning_topolip.topology.engines import EngineError, compute_diagrams
from lightning_topolip.topology.epoch_drifts import epoch_drifts
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.settings import Settings
from lightning_topolip.topology.smoothness_report import smoothness_report

RIPS = redzed_tda.rips
TAKES_OVER = "TopoLip computes persistence by giotto-tda's engine from now on: redzed "


def shifted(*args: Any, **options: Any) -> Any:
    """RedZeD with the last finite death of its highest dimension one unit in the last place too large."""
    diagrams = [points.copy() for points in RIPS(*args, **options)]
    for points in reversed(diagrams):
        finite = np.flatnonzero(np.isfinite(points[:, 1])) if len(points) else []
        if len(finite):
            death = np.float32(points[finite[-1], 1])
            points[finite[-1], 1] = np.nextafter(death, np.float32(np.inf))
            break
    return diagrams


def raising(*args: Any, **options: Any) -> Any:
    raise MemoryError("out of it")


def raising_on_many(distances: Any, *args: Any, **options: Any) -> Any:
    """Fails where the check has nothing to say."""
    if len(distances) > 20:
        raise MemoryError("too many")
    return RIPS(distances, *args, **options)


BROKEN = {"one ulp": shifted, "raises": raising}


@pytest.fixture(autouse=True)
def new_process_choice() -> Any:
    process_choice.cache_clear()
    yield
    process_choice.cache_clear()


def matrix(n: int = 40, seed: int = 0) -> np.ndarray:
    cloud = np.random.default_rng(seed).normal(size=(n, 4))
    return distance_matrix(torch.from_numpy(cloud)).numpy()


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*[nn.Linear(6, 6) for _ in range(5)])


INPUTS = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))


def by_diagrams(folder: Path) -> tuple[Any, str]:
    return {k: points.tolist() for k, points in persistence_diagrams(matrix()).items()}, ""


def by_analyze(folder: Path) -> tuple[Any, str]:
    report = analyze(network(), INPUTS)
    return report.to_dict()["drifts"], f"{report.settings.engine}, {report.engine_check}"


def by_metric(folder: Path) -> tuple[Any, str]:
    metric = TopoLipMetric()
    metric.update(
        {str(layer): torch.randn(40, 5, generator=torch.Generator().manual_seed(layer)) for layer in range(4)}
    )
    report = metric.report()
    return [float(metric.compute()), report.to_dict()["drifts"]], f"{report.settings.engine}, {report.engine_check}"


def by_fit(folder: Path, **options: Any) -> tuple[Any, str]:
    torch.manual_seed(0)
    callback = TopoLipCallback(probe=INPUTS, figures=False, **options)
    trainer(folder, callback, max_epochs=1).fit(Tiny(), loader(), loader())
    last = callback.history.last
    assert last is not None
    curves = [[*curve.values()] for curve in callback.history.curves]
    return curves, f"{last.settings.engine}, {last.engine_check}"


FACES: dict[str, Callable[[Path], tuple[Any, str]]] = {
    "persistence_diagrams": by_diagrams,
    "analyze": by_analyze,
    "metric": by_metric,
    "fit": by_fit,
    "fit in the background": lambda folder: by_fit(folder, background=True),
    "fit with workers": lambda folder: by_fit(folder, workers=2),
}


@needs_giotto
@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("face", FACES)
def test_a_broken_redzed_is_noticed_and_the_numbers_are_giottos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, face: str, fault: str
) -> None:
    expected, engine = FACES[face](tmp_path)
    assert engine in ("", "redzed, checked against giotto-tda's engine")
    process_choice.cache_clear()
    monkeypatch.setattr(redzed_tda, "rips", BROKEN[fault])
    with pytest.warns(UserWarning, match=TAKES_OVER) as caught:
        found, engine = FACES[face](tmp_path)
    assert sum(TAKES_OVER in str(warning.message) for warning in caught) == 1
    assert found == expected
    assert engine == "" or engine.startswith("giotto, redzed ")


@needs_giotto
def test_an_engine_that_fails_later_is_replaced_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redzed_tda, "rips", raising_on_many)
    said: list[str] = []
    choice = EngineChoice(warn=said.append)
    layers = {str(seed): matrix(seed=seed) for seed in range(3)}
    report = smoothness_report(Measurement({"a": matrix(20), "b": matrix(20, 1)}), engine=choice)
    assert (report.settings.engine, said) == ("redzed", [])
    report = smoothness_report(Measurement(layers), engine=choice)
    np.testing.assert_equal(report.curve, smoothness_report(Measurement(layers), Settings(engine="giotto")).curve)
    assert report.settings.engine == choice.name == "giotto"
    assert len(said) == 1
    assert "MemoryError('too many')" in said[0]


@needs_giotto
def test_the_first_analysis_of_every_fit_is_checked_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[int] = []

    def counted(matrix: Any, dimensions: Any, engine: str) -> Any:
        checked.extend([len(matrix)] * (engine == "giotto"))
        return compute_diagrams(matrix, dimensions, engine)

    monkeypatch.setattr(engine_choice, "compute_diagrams", counted)
    callback = TopoLipCallback(probe=INPUTS, figures=False)
    for _ in range(2):
        trainer(tmp_path, callback, max_epochs=2).fit(Tiny(), loader(), loader())
    assert checked == [40, 40]
    for _ in range(2):
        analyze(network(), torch.randn(200, 6))
    assert checked == [40, 40, 96]


def test_without_giotto_tda_the_report_says_that_nothing_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gph", None)
    report = analyze(network(), INPUTS)
    assert (report.settings.engine, report.engine_check) == ("redzed", "not checked: giotto-tda is not installed")
    monkeypatch.setattr(redzed_tda, "rips", raising)
    with pytest.raises(EngineError, match=r"got 'redzed', which raised MemoryError.* one of \['giotto', 'ripser', 'gu"):
        analyze(network(), INPUTS)


def test_a_named_engine_is_neither_checked_nor_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    report = analyze(network(), INPUTS, engine="redzed")
    assert (report.settings.engine, report.engine_check) == ("redzed", "")
    monkeypatch.setattr(redzed_tda, "rips", raising)
    with pytest.raises(EngineError, match=r"`engine` .* got 'redzed', which raised MemoryError\('out of it'\); choose"):
        analyze(network(), INPUTS, engine="redzed")


def test_settings_that_differ_in_the_engine_are_the_same(tmp_path: Path) -> None:
    assert Settings() == Settings(engine="redzed") == Settings(engine="ripser")
    first, second = (analyze(network(), INPUTS, engine=engine) for engine in ("auto", "ripser"))
    assert {float(drift.value) for drift in epoch_drifts(first, second).values()} == {0.0}
    run = fit(tmp_path, TopoLipCallback(probe_size=16, figures=False), max_epochs=1)
    run.save_checkpoint(tmp_path / "first.ckpt")
    callback = TopoLipCallback(probe_size=16, figures=False, engine="ripser")
    trainer(tmp_path, callback, max_epochs=2).fit(Tiny(), loader(), loader(), ckpt_path=tmp_path / "first.ckpt")
    assert callback.history.epochs == [0, 1, 2]
    state = callback.state_dict()["last"]["report"]
    assert (state["engine"], state["engine_check"]) == ("ripser", "")


def test_a_choice_is_the_same_in_another_process() -> None:
    choice = EngineChoice(warn=lambda message: None)
    choice.follow("giotto", "redzed differed on another process")
    sent = pickle.loads(pickle.dumps(choice))
    assert str(sent) == "giotto, redzed differed on another process"
    named = EngineChoice("ripser")
    named.follow("giotto", "redzed differed on another process")
    assert str(named) == "ripser"


@needs_giotto
def test_threads_that_share_a_choice_check_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    choice = EngineChoice(warn=said.append)
    monkeypatch.setattr(redzed_tda, "rips", shifted)
    start, found = threading.Barrier(4), []

    def run() -> None:
        start.wait()
        found.append(smoothness_report(Measurement({"a": matrix(), "b": matrix(seed=1)}), engine=choice))

    in_four_threads(run)
    assert len(said) == 1
    assert {report.settings.engine for report in found} == {"giotto"}


def in_four_threads(run: Callable[[], None]) -> None:
    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@needs_giotto
def test_threads_that_fail_at_the_same_time_fall_back_once_and_together() -> None:
    said: list[str] = []
    choice = EngineChoice(warn=said.append)
    choice.run(str, [matrix()], (0, 1), 40)
    all_there, found = threading.Barrier(4), []

    def fail(engine: str) -> str:
        if engine == "redzed":
            all_there.wait()
            raise EngineError("broken")
        return engine

    in_four_threads(lambda: found.append(choice.run(fail, [matrix()], (0, 1), 40)))
    assert found == ["giotto"] * 4
    assert len(said) == 1


@pytest.mark.parametrize(("dimension", "warned"), [(512, True), (1, False)], ids=["sphere", "line"])
def test_a_slow_engine_on_a_sphere_is_warned_of_before(
    monkeypatch: pytest.MonkeyPatch, dimension: int, warned: bool
) -> None:
    """The pilot takes 0.1 s by the clock of the test, so that 600 points take 2,000 times as long for a layer."""
    clock = iter(np.arange(0.0, 1e6, 0.1))
    monkeypatch.setattr(slow_engines.time, "perf_counter", lambda: next(clock))
    cloud = np.random.default_rng(0).normal(size=(600, dimension))
    cloud /= np.linalg.norm(cloud, axis=1, keepdims=True) if dimension > 1 else 1.0
    layers = [distance_matrix(torch.from_numpy(cloud)).numpy()] * 3
    said: list[str] = []
    choice = EngineChoice("ripser", warn=said.append)
    assert choice.run(str.upper, layers, (0, 1), 600) == choice.run(str.upper, layers, (0, 1), 600) == "RIPSER"
    assert len(said) == int(warned)
    assert not warned or "expects engine 'ripser' to take about 11 minutes or more for one analysis" in said[0]
    fast = EngineChoice("redzed", warn=said.append)
    assert fast.run(str.upper, layers, (0, 1), 600) == "REDZED"
    assert len(said) == int(warned)
