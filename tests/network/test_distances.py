"""Distances against differences in float64, on clouds that break the usual shortcuts."""

import pytest
import torch

from lightning_topolip.network.distances import distance_matrix


def reference(cloud: torch.Tensor) -> torch.Tensor:
    points = cloud.to(torch.complex128) if cloud.is_complex() else cloud.double()
    return torch.stack([(points - point).abs().square().sum(dim=1).sqrt() for point in points])


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
    "complex": lambda g: torch.randn(20, 30, generator=g, dtype=torch.complex64) + (1e3 + 1e3j),
    "conjugated": lambda g: torch.randn(20, 30, generator=g, dtype=torch.complex128).conj(),
    "imaginary": lambda g: 1j * torch.randn(20, 30, generator=g),
    "near the largest float32": lambda g: 1e37 * torch.rand(20, 30, generator=g),
    "near the smallest float32": lambda g: 1e-36 * torch.rand(20, 30, generator=g),
    "tiny beside a huge constant": lambda g: torch.cat(
        [torch.full((10, 3), 1e200, dtype=torch.float64), 1e-20 * torch.randn(10, 30, generator=g)], dim=1
    ),
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


@pytest.mark.parametrize("n", [1, 2, 3, 31, 63, 64, 65, 127, 128, 129, 255, 257, 300, 513])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_size_is_exact_to_five_digits_and_symmetric_to_the_bit(
    n: int, dtype: torch.dtype, generator: torch.Generator
) -> None:
    cloud = torch.randn(n, 20, generator=generator, dtype=dtype) + 100
    cloud[-1] = cloud[0] + 1e-3
    distances = distance_matrix(cloud)
    assert distances.dtype == torch.float32
    assert torch.equal(distances, distances.T)
    assert torch.allclose(distances.double(), reference(cloud), rtol=1e-5, atol=0)


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


@pytest.mark.skipif(not hasattr(torch.backends.mkldnn, "matmul"), reason="torch >= 2.9 sets precisions by backend")
def test_low_precision_of_one_backend_does_not_reach_the_distances(generator: torch.Generator) -> None:
    cloud = torch.randn(30, 512, generator=generator)
    products = torch.backends.mkldnn.matmul
    precision = products.fp32_precision
    try:
        products.fp32_precision = "bf16"
        assert relative_error(cloud) < 1e-6
    finally:
        products.fp32_precision = precision


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


@pytest.mark.parametrize("exponent", [-1050, -600, -200, 200, 600, 900])
def test_a_diameter_that_float32_cannot_hold_is_refused_not_zero(exponent: int, generator: torch.Generator) -> None:
    cloud = (
        torch.randn(10, 4, generator=generator, dtype=torch.float64) * 2.0 ** (exponent // 2) * 2.0 ** (exponent // 2)
    )
    with pytest.raises(ValueError, match="beyond float32" if exponent > 0 else r"must have .* a diameter of \d"):
        distance_matrix(cloud)


@pytest.mark.parametrize("value", [0.0, 3.3, -1e300, 1e-320])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_equal_points_of_any_size_have_distance_zero(value: float, dtype: torch.dtype) -> None:
    assert not distance_matrix(torch.full((7, 5), value, dtype=dtype)).any()


@pytest.mark.parametrize("exponent", [-80, -8, 8, 80])
def test_a_power_of_two_scales_the_distances_exactly(exponent: int, generator: torch.Generator) -> None:
    cloud = torch.randn(20, 30, generator=generator, dtype=torch.float64)
    assert torch.equal(distance_matrix(cloud * 2.0**exponent), distance_matrix(cloud) * 2.0**exponent)


def test_a_cloud_with_gradients_has_distances_without() -> None:
    assert not distance_matrix(torch.eye(3, requires_grad=True)).requires_grad


def test_points_without_coordinates_coincide() -> None:
    assert not distance_matrix(torch.zeros(4, 0)).any()
