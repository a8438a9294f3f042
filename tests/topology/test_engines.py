"""Five names of engines, one set of diagrams: equal to the bit, also where distances tie or are no metric."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from helpers.giotto import cases, needs_giotto
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_topolip import persistence_diagrams, persistence_edges
from lightning_topolip.topology.engines import ENGINES

REFERENCES = cases(ENGINES[2:])


def euclidean(points: np.ndarray) -> np.ndarray:
    differences = points[:, None] - points
    return np.sqrt((differences**2).sum(-1)).astype(np.float32)


def on_a_sphere(n: int, dimension: int) -> np.ndarray:
    points = np.random.default_rng(n).normal(size=(n, dimension))
    return euclidean(points / np.linalg.norm(points, axis=1, keepdims=True))


@st.composite
def grids(draw: Any) -> np.ndarray:
    """Points with integer coordinates, many of them twice, so that most distances tie."""
    shape = st.tuples(st.integers(1, 16), st.integers(1, 3))
    return euclidean(draw(arrays.arrays(np.float64, shape, elements=st.integers(0, 3).map(float))))


@st.composite
def dissimilarities(draw: Any) -> np.ndarray:
    """Symmetric matrices of a few values that violate the triangle inequality, zeros between points included."""
    n = draw(st.integers(1, 12))
    values = draw(arrays.arrays(np.float32, (n, n), elements=st.sampled_from([0.0, 0.25, 1.0, 1.5, 7.0])))
    upper = np.triu(values, 1)
    return np.asarray(upper + upper.T)


@st.composite
def clouds(draw: Any) -> np.ndarray:
    n, dimension = draw(st.integers(1, 30)), draw(st.integers(1, 8))
    return euclidean(np.random.default_rng(draw(st.integers(0, 999))).normal(size=(n, dimension)))


def assert_equal(matrix: np.ndarray, dimensions: tuple[int, ...], reference: Any) -> None:
    expected = persistence_diagrams(matrix, dimensions, reference)
    for engine in ("auto", "redzed"):
        diagrams = persistence_diagrams(matrix, dimensions, engine)
        assert list(diagrams) == list(expected)
        for dimension in dimensions:
            assert np.array_equal(diagrams[dimension], expected[dimension])


@pytest.mark.parametrize("reference", REFERENCES)
@settings(deadline=None, max_examples=60)
@given(matrix=grids() | dissimilarities() | clouds())
def test_all_engines_agree_to_the_bit_in_dimensions_0_to_2(reference: Any, matrix: np.ndarray) -> None:
    assert_equal(matrix, (0, 1, 2), reference)


@pytest.mark.parametrize("reference", REFERENCES)
@settings(deadline=None, max_examples=15)
@given(matrix=grids() | dissimilarities())
def test_all_engines_agree_to_the_bit_in_dimension_3(reference: Any, matrix: np.ndarray) -> None:
    assert_equal(matrix, (3,), reference)


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_all_engines_agree_on_the_smallest_clouds(reference: Any, n: int) -> None:
    for matrix in (np.zeros((n, n)), euclidean(np.arange(float(n))[:, None])):
        assert_equal(matrix, (0, 1), reference)
        assert len(persistence_diagrams(matrix, (0,))[0]) == (n - 1 if matrix.any() else 0)


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize(("n", "dimension"), [(64, 64), (96, 16), (120, 3)])
def test_all_engines_agree_on_spheres(reference: Any, n: int, dimension: int) -> None:
    assert_equal(on_a_sphere(n, dimension), (0, 1), reference)


@pytest.mark.slow
@pytest.mark.parametrize("reference", REFERENCES)
def test_all_engines_agree_on_2048_points(reference: Any) -> None:
    points = np.random.default_rng(0).normal(size=(2048, 2))
    points[::2] = np.round(points[::2], 1)
    matrix = euclidean(points)
    assert_equal(matrix if reference == "giotto" else matrix[:512, :512], (0, 1), reference)


@needs_giotto
def test_the_estimator_of_giotto_tda_gives_the_same() -> None:
    from gtda.homology import VietorisRipsPersistence

    matrix = euclidean(np.random.default_rng(0).normal(size=(60, 5)))
    rips = VietorisRipsPersistence(metric="precomputed", homology_dimensions=(0, 1))
    triples = rips.fit_transform([matrix])[0]
    for dimension, diagram in persistence_diagrams(matrix).items():
        points = triples[triples[:, 2] == dimension][:, :2]
        points = points[points[:, 0] < points[:, 1]]
        points = points[np.lexsort((points[:, 1], points[:, 0]))]
        assert np.array_equal(diagram, points.astype(np.float64))


@settings(deadline=None, max_examples=150)
@given(matrix=grids() | dissimilarities() | clouds())
def test_the_distances_at_the_edges_are_the_diagrams(matrix: np.ndarray) -> None:
    dimensions = (2, 0, 1)
    diagrams, edges = persistence_diagrams(matrix, dimensions), persistence_edges(matrix, dimensions)
    assert list(edges) == list(dimensions)
    for dimension, pairs in edges.items():
        assert pairs.shape == (len(diagrams[dimension]), 2, 2)
        assert pairs.dtype == np.int64
        assert np.array_equal(matrix[pairs[..., 0], pairs[..., 1]].astype(np.float64), diagrams[dimension])
        assert (pairs[..., 0] <= pairs[..., 1]).all()
    assert (edges[0][:, 0, 0] == edges[0][:, 0, 1]).all()


def test_the_edges_of_float64_and_tiny_distances_are_those_of_their_roundings() -> None:
    matrix = euclidean(np.random.default_rng(0).normal(size=(40, 3))).astype(np.float64) * 2.0**-200
    diagrams = persistence_diagrams(matrix)
    for dimension, pairs in persistence_edges(matrix).items():
        assert np.array_equal(matrix[pairs[..., 0], pairs[..., 1]], diagrams[dimension])
        assert len(pairs) > 3


def test_the_edges_name_the_samples_of_a_loop() -> None:
    """A square and a point far from it: the loop is born with a side and dies with a diagonal."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [9.0, 9.0]])
    ((birth, death),) = persistence_edges(euclidean(corners))[1].tolist()
    assert sorted(birth) in ([0, 1], [1, 2], [2, 3], [0, 3])
    assert sorted(death) in ([0, 2], [1, 3])


@pytest.mark.parametrize("dimensions", [(), (0, 0), (4,)])
def test_wrong_dimensions_of_edges_raise(dimensions: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="`dimensions` must be different whole numbers"):
        persistence_edges(np.zeros((3, 3)), dimensions)


def test_a_wrong_matrix_has_no_edges() -> None:
    with pytest.raises(ValueError, match="`distances` must be symmetric"):
        persistence_edges([[0.0, 1.0], [2.0, 0.0]])
