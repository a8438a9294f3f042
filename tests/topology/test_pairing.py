"""The paired drift against another spanning tree, and what it keeps and forgets."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.trainings import fit
from scipy.sparse.csgraph import minimum_spanning_tree
from torch import nn

from lightning_topolip import TopoLipCallback, analyze, distance_matrix, persistence_diagrams, wasserstein_distance
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.pairing import paired_drift, paired_drifts
from lightning_topolip.topology.settings import Settings


def matrix(seed: int, n: int = 30, d: int = 4) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return distance_matrix(torch.randn(n, d, generator=generator)).numpy()


@pytest.mark.parametrize("view", ["scaled", "raw"])
def test_the_number_is_that_of_spanning_trees(view: Any) -> None:
    one, other = matrix(0).astype(np.float64), matrix(1).astype(np.float64)
    n = len(one)
    if view == "scaled":
        one, other = (part / (part.sum() / (n * (n - 1))) for part in (one, other))
    first, second, smaller = (minimum_spanning_tree(part).sum() for part in (one, other, np.minimum(one, other)))
    assert paired_drift(matrix(0), matrix(1), view) == pytest.approx(((first + second) / 2 - smaller) / n, rel=1e-6)


def test_it_is_symmetric_and_zero_for_scaled_copies() -> None:
    assert paired_drift(matrix(0), matrix(1)) == pytest.approx(paired_drift(matrix(1), matrix(0)))
    assert paired_drift(matrix(0), matrix(0)) == 0.0
    assert paired_drift(matrix(0), 4 * matrix(0)) == pytest.approx(0.0, abs=1e-12)
    assert paired_drift(matrix(0), 4 * matrix(0), "raw") > 0.1


def test_it_sees_exchanged_samples_which_diagrams_do_not() -> None:
    order = np.random.default_rng(0).permutation(30)
    exchanged = matrix(0)[np.ix_(order, order)]
    first, second = (persistence_diagrams(part)[0] for part in (matrix(0), exchanged))
    assert wasserstein_distance(first, second) == 0.0
    assert paired_drift(matrix(0), exchanged) > 0.05
    both = [part[np.ix_(order, order)] for part in (matrix(0), matrix(1))]
    assert paired_drift(*both) == pytest.approx(paired_drift(matrix(0), matrix(1)))


def test_coincident_points_count() -> None:
    doubled = np.repeat(np.repeat(matrix(0, 10), 2, axis=0), 2, axis=1)
    assert paired_drift(doubled, matrix(1, 20)) > 0
    assert paired_drift(doubled, doubled) == 0.0
    assert math.isnan(paired_drift(np.zeros((20, 20)), matrix(1, 20)))


def test_every_step_with_its_parts() -> None:
    settings = Settings(pairing=True, halvings=3)
    layers = {str(seed): matrix(seed) for seed in range(3)} | {"3": None}
    drifts = paired_drifts(Measurement(layers), settings)
    assert drifts.parts.shape == (3, 2, 3)
    assert drifts.value[:2] == pytest.approx([paired_drift(matrix(0), matrix(1)), paired_drift(matrix(1), matrix(2))])
    assert math.isnan(drifts.value[2])
    assert (drifts.error[:2] > 0).all()
    subsets = paired_drifts(Measurement(layers), Settings(pairing=True, subset_size=10))
    assert subsets.parts.shape == (1, 3, 3)
    assert subsets.value[0] == pytest.approx(subsets.parts[0, :, 0].mean())


def test_the_report_has_it_on_request() -> None:
    model, batch = nn.Sequential(*[nn.Linear(4, 4) for _ in range(5)]), torch.randn(24, 4)
    report = analyze(model, batch, pairing=True)
    assert report.paired_drifts is not None
    assert report.paired_drifts.value.shape == (len(report.layers) - 1,)
    assert float(report.paired_speed.value) == pytest.approx(report.paired_drifts.value[1:].mean())
    assert report.to_dict()["paired_drifts"] == report.paired_drifts.value.tolist()
    without = analyze(model, batch)
    assert without.paired_drifts is None
    assert math.isnan(float(without.paired_speed.value))
    assert np.array_equal(without.curve, report.curve)


@pytest.mark.parametrize("options", [{}, {"background": True}, {"workers": 2}])
def test_the_callback_measures_it(tmp_path: Path, options: dict[str, Any]) -> None:
    callback = TopoLipCallback(probe_size=16, figures=False, pairing=True, **options)
    fit(tmp_path, callback, max_epochs=1)
    report = callback.history.last
    assert report is not None
    assert report.paired_drifts is not None
    assert (report.paired_drifts.value > 0).all()


def test_the_callback_logs_it(tmp_path: Path) -> None:
    run = fit(tmp_path, TopoLipCallback(probe_size=16, figures=False, pairing=True), max_epochs=1)
    keys = {key for key in run.callback_metrics if "paired" in key}
    assert {"topolip/paired_speed", "topolip/paired_speed_error"} < keys
    assert all(float(run.callback_metrics[key]) > 0 for key in keys)
    assert any(key.startswith("topolip_paired/layers") for key in keys)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="Argument `second` must be of the samples of `first`, got 5 instead of 6"):
        paired_drift(matrix(0, 6), matrix(1, 5))
    with pytest.raises(ValueError, match="Argument `first` must be symmetric"):
        paired_drift(np.triu(matrix(0, 6)), matrix(1, 6))
    with pytest.raises(ValueError, match="Argument `pairing` must be True or False"):
        Settings(pairing="yes")  # type: ignore[arg-type]
