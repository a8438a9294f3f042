"""Distances against differences in float64, on clouds that break the usual shortcuts."""

import pytest
import torch

from lightning_topolip.network.distances import distance_matrix


def reference(cloud: torch.Tensor) -> torch.Tensor:
    points = cloud.double()
    return torch.stack([(points - point).square().sum(dim=1).sqrt() for point in points])


def relative_error(cloud: torch.Tensor) -> float:
    expected = reference(cloud)
    return float((distance_matrix(cloud).double() - expected).abs().max() / expected.max())


CLOUDS = {
    "spread": lambda g: torch.randn(40, 300, generator=g),
    "wide": lambda g: torch.randn(8, 65_536, generator=g),
    "offset": lambda g: torch.randn(40, 300, generator=g) + 1e4,
    "one far point": lambda g: torch.cat([torch.randn(30, 50, generator=g), torch.full((1, 50), 1e6)]),
    "tight clusters": lambda g: (
        torch.randn(4, 500, generator=g).repeat_interleave(10, 0) + 1e-4 * torch.randn(40, 500, generator=g)
    ),
    "tiny": lambda g: 1e-25 * torch.randn(20, 30, generator=g),
    "huge": lambda g: 1e30 * torch.randn(20, 30, generator=g),
    "line": lambda g: torch.rand(50, 1, generator=g),
    "bfloat16": lambda g: torch.randn(20, 100, generator=g).bfloat16(),
    "float64": lambda g: torch.randn(20, 100, generator=g, dtype=torch.float64) + 1e7,
    "integers": lambda g: torch.randint(0, 9, (20, 30), generator=g),
}


@pytest.mark.parametrize("name", CLOUDS)
def test_error_is_below_a_hundred_thousandth_of_the_diameter(name: str, generator: torch.Generator) -> None:
    assert relative_error(CLOUDS[name](generator)) < 1e-5


def test_each_distance_within_tight_clusters_is_exact_to_five_digits(generator: torch.Generator) -> None:
    cloud = CLOUDS["tight clusters"](generator)
    expected = reference(cloud)
    off_diagonal = ~torch.eye(len(cloud), dtype=torch.bool)
    ratio = distance_matrix(cloud).double()[off_diagonal] / expected[off_diagonal]
    assert torch.allclose(ratio, torch.ones_like(ratio), rtol=1e-5)


def test_symmetric_with_zero_diagonal_and_float32(generator: torch.Generator) -> None:
    distances = distance_matrix(torch.randn(30, 7, generator=generator) + 100)
    assert distances.dtype == torch.float32
    assert torch.equal(distances, distances.T)
    assert not distances.diagonal().any()


def test_equal_points_have_distance_zero(generator: torch.Generator) -> None:
    cloud = torch.randn(20, 64, generator=generator) + 5
    cloud[7] = cloud[3]
    assert distance_matrix(cloud)[3, 7] == 0


def test_constant_cloud_is_all_zero() -> None:
    assert not distance_matrix(torch.full((10, 5), 3.3)).any()


def test_input_is_not_modified_and_order_of_columns_does_not_matter(generator: torch.Generator) -> None:
    cloud = torch.randn(20, 30, generator=generator)
    before = cloud.clone()
    permuted = cloud[:, torch.randperm(30, generator=generator)]
    assert torch.allclose(distance_matrix(cloud), distance_matrix(permuted), rtol=1e-5)
    assert torch.equal(cloud, before)


def test_low_precision_settings_of_the_user_do_not_reach_the_distances(generator: torch.Generator) -> None:
    cloud = torch.randn(30, 512, generator=generator)
    precision = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", torch.bfloat16):
            assert relative_error(cloud) < 1e-6
    finally:
        torch.set_float32_matmul_precision(precision)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("rows", [1, 6])
def test_values_that_are_not_finite_raise(bad: float, rows: int) -> None:
    cloud = torch.zeros(rows, 3)
    cloud[0, 1] = bad
    with pytest.raises(ValueError, match=f"1 of {rows} points with a NaN or infinite value"):
        distance_matrix(cloud)


@pytest.mark.parametrize("shape", [(3,), (0, 4), (2, 3, 4)])
def test_wrong_shape_raises(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"`cloud` must have shape \(n, d\)"):
        distance_matrix(torch.zeros(shape))


def test_distances_beyond_float32_raise() -> None:
    with pytest.raises(ValueError, match="got distances beyond float32"):
        distance_matrix(torch.tensor([[0.0], [3e38], [-3e38]]))
    with pytest.raises(ValueError, match="got distances beyond float32"):
        distance_matrix(torch.tensor([[0.0], [1e200]], dtype=torch.float64))
