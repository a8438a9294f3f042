"""Large probes are cut into subsets: means, and standard errors from the spread of the subsets."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.trainings import fit, loader

from lightning_topolip import TopoLipCallback, analyze, distance_matrix
from lightning_topolip.network.probe import take_probe
from lightning_topolip.topology.cuts import disjoint_subsets
from lightning_topolip.topology.epoch_drifts import epoch_drifts
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.scores import topolip
from lightning_topolip.topology.settings import Settings
from lightning_topolip.topology.smoothness_report import smoothness_report
from lightning_topolip.trainer.state import history_from_state, history_state

SETTINGS = Settings(subset_size=20, halvings=2, seed=5)


def matrices(seed: int, n: int = 90) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    return {name: distance_matrix(torch.randn(n, 5, generator=generator)).numpy() for name in "abcd"}


def restricted(layers: dict[str, Any], chosen: Any, **settings: Any) -> Any:
    own = {name: matrix[np.ix_(chosen, chosen)] for name, matrix in layers.items()}
    return smoothness_report(Measurement(own), Settings(subset_size=None, halvings=0, **settings))


def test_the_curve_is_the_mean_over_subsets_with_its_standard_error() -> None:
    layers = matrices(0)
    subsets = disjoint_subsets(90, SETTINGS)
    assert [len(subset) for subset in subsets] == [20] * 4
    assert len(set(np.concatenate(subsets).tolist())) == 80
    report = smoothness_report(Measurement(layers), SETTINGS)
    for view in ("scaled", "raw"):
        alone = [restricted(layers, subset).drifts[view]["all"] for subset in subsets]
        assert report.drifts[view]["all"] == pytest.approx(np.mean(alone, axis=0))
    scaled = [restricted(layers, subset).curve for subset in subsets]
    assert report.curve_error == pytest.approx(np.std(scaled, axis=0, ddof=1) / 2)
    scores = [topolip(curve) for curve in scaled]
    assert report.score_error == pytest.approx(np.std(scores, ddof=1) / 2)
    assert report.wasserstein_curve == pytest.approx(report.curve * math.sqrt(20))
    assert report.sample == "4 subsets of 20 samples"


def test_two_subsets_are_the_halves_of_one_cut() -> None:
    layers = matrices(0, n=40)
    report = smoothness_report(Measurement(layers), SETTINGS)
    first, second = (restricted(layers, subset) for subset in disjoint_subsets(40, SETTINGS))
    assert report.score_error == pytest.approx(abs(first.score - second.score) / 2)
    assert report.noise == pytest.approx(topolip((first.curve - second.curve) / 2))


def test_epoch_drifts_are_means_over_the_same_subsets() -> None:
    before, after = matrices(0), matrices(1)
    moved = epoch_drifts(
        smoothness_report(Measurement(before), SETTINGS), smoothness_report(Measurement(after), SETTINGS), 2.0
    )
    alone = [
        epoch_drifts(restricted(before, subset), restricted(after, subset)) for subset in disjoint_subsets(90, SETTINGS)
    ]
    for name in "abcd":
        drifts = [float(drift[name].value) / 2 for drift in alone]
        assert moved[name].value == pytest.approx(np.mean(drifts))
        assert moved[name].error == pytest.approx(np.std(drifts, ddof=1) / 2)


@pytest.mark.parametrize(("points", "size"), [(20, 20), (5, 3), (400, None)])
def test_a_small_probe_is_taken_as_a_whole(points: int, size: int | None) -> None:
    assert disjoint_subsets(points, Settings(subset_size=size)) == []


@pytest.mark.parametrize(("points", "size", "sizes"), [(39, 20, [19, 19]), (21, 20, [10, 10]), (65, 20, [20] * 3)])
def test_no_subset_is_larger_than_its_size_and_there_are_two_or_more(points: int, size: int, sizes: list[int]) -> None:
    subsets = disjoint_subsets(points, Settings(subset_size=size))
    assert [len(subset) for subset in subsets] == sizes
    assert len(set(np.concatenate(subsets))) == sum(sizes)


def test_a_layer_that_could_not_be_measured_is_nan() -> None:
    report = smoothness_report(Measurement(matrices(0) | {"b": None}), SETTINGS)
    assert [math.isnan(drift) for drift in report.curve] == [True, True, False]
    assert [math.isnan(error) for error in report.curve_error] == [True, True, False]


@pytest.mark.parametrize("wrong", [2, 0, True, 8.0])
def test_a_wrong_size_raises(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"`subset_size` must be a whole number >= 3 or None, got"):
        Settings(subset_size=wrong)


def test_a_callback_draws_logs_and_resumes_with_subsets(tmp_path: Path) -> None:
    callback = TopoLipCallback(probe_size=48, subset_size=12)
    run = fit(tmp_path, callback, max_epochs=2)
    report = analyze(run.lightning_module, take_probe(loader(), 48), subset_size=12)
    last = callback.history.last
    assert last is not None
    assert last.curve == pytest.approx(report.curve)
    assert last.curve_error == pytest.approx(report.curve_error)
    again = history_from_state(history_state(callback.history), callback.subject.settings).last
    assert again is not None
    still = epoch_drifts(again, report)
    assert list(still) == list(callback.history.epoch_drifts[-1])
    assert [float(drift.value) for drift in still.values()] == pytest.approx([0.0] * len(still))
