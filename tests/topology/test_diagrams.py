"""Persistence diagrams against closed forms, invariances, and one engine against the others."""

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from helpers.giotto import cases
from scipy.sparse.csgraph import minimum_spanning_tree

from lightning_topolip import activation_drift, wasserstein_distance
from lightning_topolip.network.distances import distance_matrix
from lightning_topolip.topology.diagrams import persistence_diagrams, scaled
from lightning_topolip.topology.engines import ENGINES, Engine, require_engine
from lightning_topolip.topology.geometry import total_variance
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.settings import Settings
from lightning_topolip.topology.smoothness_report import smoothness_report


def distances_of(points: np.ndarray) -> np.ndarray:
    return distance_matrix(torch.from_numpy(points)).numpy()


def cloud(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


def polygon(corners: int) -> np.ndarray:
    angles = 2 * np.pi * np.arange(corners) / corners
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@pytest.mark.parametrize("engine", cases(ENGINES))
@pytest.mark.parametrize("corners", [4, 5, 6, 9, 12, 30])
def test_regular_polygon_in_closed_form(engine: str, corners: int) -> None:
    """H1 of n points on a circle is born with the side and dies with the first chord that spans a third of it."""
    diagrams = persistence_diagrams(distances_of(polygon(corners)), engine=engine)
    side = 2 * math.sin(math.pi / corners)
    death = 2 * math.sin(math.pi * math.ceil(corners / 3) / corners)
    assert diagrams[1] == pytest.approx(np.array([[side, death]]), rel=1e-6)
    assert diagrams[0] == pytest.approx(np.array([[0.0, side]] * (corners - 1)), rel=1e-6)


def test_deaths_in_dimension_zero_are_the_edges_of_the_minimum_spanning_tree() -> None:
    matrix = distances_of(cloud(60, 5))
    tree = np.sort(minimum_spanning_tree(matrix).data)
    assert np.sort(persistence_diagrams(matrix, (0,))[0][:, 1]) == pytest.approx(tree)


@pytest.mark.parametrize("engine", cases(ENGINES))
def test_octahedron_has_one_void(engine: str) -> None:
    points = np.concatenate([np.eye(3), -np.eye(3)])
    assert persistence_diagrams(distances_of(points), (2,), engine)[2] == pytest.approx(np.array([[2**0.5, 2.0]]))


def test_invariant_under_isometry_and_permutation() -> None:
    points = cloud(50, 3)
    rotation, _ = np.linalg.qr(cloud(3, 3, seed=1))
    moved = (points @ rotation + 7.0)[np.random.default_rng(2).permutation(50)]
    before, after = persistence_diagrams(distances_of(points)), persistence_diagrams(distances_of(moved))
    for dimension in (0, 1):
        assert before[dimension] == pytest.approx(after[dimension], rel=1e-4, abs=1e-5)


def test_scaling_the_distances_scales_the_diagrams() -> None:
    matrix = distances_of(cloud(50, 3))
    for dimension, points in persistence_diagrams(4 * matrix).items():
        assert np.array_equal(points, scaled(persistence_diagrams(matrix), 4.0)[dimension])


@pytest.mark.parametrize("engine", cases(ENGINES))
@pytest.mark.parametrize("exponent", [-1060, -166, -140, 120, 127, 900])
def test_a_matrix_beyond_float32_keeps_its_points(engine: Engine, exponent: int) -> None:
    matrix = np.round(distances_of(cloud(30, 3)).astype(np.float64), 4)
    matrix = np.ldexp(np.round(np.ldexp(matrix, 10)), -10)
    for dimension, points in persistence_diagrams(np.ldexp(matrix, exponent), engine=engine).items():
        assert len(points) > 3
        assert np.array_equal(points, np.ldexp(persistence_diagrams(matrix, engine=engine)[dimension], exponent))


def test_a_tiny_cluster_beside_a_large_one_keeps_its_points() -> None:
    line = np.array([0.0, 1e-50, 3e-50, 1.0])
    deaths = persistence_diagrams(np.abs(np.subtract.outer(line, line)), (0,))[0][:, 1]
    assert deaths == pytest.approx([1e-50, 2e-50, 1.0], rel=1e-6, abs=0)


def test_the_drifts_of_tiny_matrices_are_those_of_their_shape() -> None:
    layers = {str(index): distances_of(cloud(24, 3, seed=index)).astype(np.float64) for index in range(4)}
    report, tiny = (
        smoothness_report(Measurement({name: size * matrix for name, matrix in layers.items()}), Settings())
        for size in (1.0, 2.0**-166)
    )
    assert tiny.score == pytest.approx(report.score, rel=1e-12)


@pytest.mark.parametrize(
    "convert",
    [
        lambda matrix: torch.tensor(matrix, dtype=torch.bfloat16),
        lambda matrix: torch.tensor(matrix).half(),
        lambda matrix: torch.tensor(matrix, requires_grad=True),
        lambda matrix: torch.nn.Parameter(torch.tensor(matrix).bfloat16()),
        lambda matrix: matrix.tolist(),
    ],
    ids=["bfloat16", "float16", "gradient", "both", "list"],
)
def test_tensors_are_read_whatever_their_precision_and_gradient(convert: Callable[[np.ndarray], Any]) -> None:
    matrix = np.round(8 * distances_of(cloud(20, 3)))
    expected = persistence_diagrams(matrix)
    for dimension, points in persistence_diagrams(convert(matrix)).items():
        assert np.array_equal(points, expected[dimension])
    assert wasserstein_distance(convert(expected[1]), expected[0]) == wasserstein_distance(expected[1], expected[0])
    assert activation_drift(convert(matrix), convert(matrix)) == 0
    assert total_variance(convert(matrix)) == total_variance(matrix)


@pytest.mark.parametrize(
    "matrix", [np.zeros((3, 3), complex), torch.zeros(3, 3, dtype=torch.complex64), "abc", [[0], []]]
)
def test_anything_but_real_numbers_is_refused_by_name(matrix: Any) -> None:
    with pytest.raises(ValueError, match=r"`distances` must be a distance matrix, got .*; pass real numbers"):
        persistence_diagrams(matrix)


def test_the_drift_of_complex_clouds_is_that_of_pairs_of_reals() -> None:
    first, second = (cloud(8, 3, seed) + 1j * cloud(8, 3, seed + 10) for seed in (0, 1))
    pairs = [np.concatenate([points.real, points.imag], axis=1) for points in (first, second)]
    assert activation_drift(first, torch.from_numpy(second)) == pytest.approx(activation_drift(*pairs), rel=1e-12)


def test_contract_of_the_result() -> None:
    points = cloud(30, 2)
    points[5] = points[6]
    matrix = distances_of(points)
    before = matrix.copy()
    diagrams = persistence_diagrams(matrix, (1, 0))
    assert list(diagrams) == [1, 0]
    for diagram in diagrams.values():
        assert diagram.dtype == np.float64
        assert np.isfinite(diagram).all()
        assert (diagram[:, 0] < diagram[:, 1]).all()
    assert len(diagrams[0]) == 28
    assert np.array_equal(matrix, before)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((2, 3)), r"shape \(n, n\)"),
        (np.zeros((0, 0)), r"shape \(n, n\)"),
        (np.array([[0.0, math.nan], [math.nan, 0.0]]), ">= 0 and finite"),
        (np.array([[0.0, -1.0], [-1.0, 0.0]]), ">= 0 and finite with a zero diagonal"),
        (np.array([[1.0, 1.0], [1.0, 0.0]]), ">= 0 and finite with a zero diagonal"),
        (np.array([[0.0, 1.0], [2.0, 0.0]]), "symmetric"),
    ],
)
def test_a_wrong_distance_matrix_raises(matrix: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        persistence_diagrams(matrix)


@pytest.mark.parametrize("dimensions", [(), (0, 0), (-1,), (4,), (0.5,)])
def test_wrong_dimensions_raise(dimensions: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="`dimensions` must be different whole numbers"):
        persistence_diagrams(np.zeros((3, 3)), dimensions)


def test_unknown_engine_raises() -> None:
    with pytest.raises(ValueError, match=r"one of \('auto', 'redzed', 'giotto', 'ripser', 'gudhi'\), got 'dionysus'"):
        require_engine("dionysus")


def test_the_error_for_a_missing_engine_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ripser", None)
    with pytest.raises(ModuleNotFoundError, match="pip install ripser"):
        persistence_diagrams(np.zeros((3, 3)), engine="ripser")


def test_importing_the_package_loads_no_engine() -> None:
    code = (
        "import sys, lightning_topolip; "
        "sys.exit(','.join({'gph', 'gtda', 'gudhi', 'ripser', 'ot', 'timm', 'sklearn'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stderr.strip() == ""
