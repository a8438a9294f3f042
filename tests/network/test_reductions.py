import pytest
import torch

from lightning_topolip.network.reductions import point_cloud


def test_reductions_of_an_image_like_output(generator: torch.Generator) -> None:
    output = torch.randn(5, 3, 4, 4, generator=generator)
    assert torch.equal(point_cloud(output), output.reshape(5, 48))
    assert torch.allclose(point_cloud(output, "mean"), output.mean(dim=(2, 3)))


def test_reductions_of_tokens(generator: torch.Generator) -> None:
    output = torch.randn(5, 7, 6, generator=generator)
    assert torch.equal(point_cloud(output, "cls"), output[:, 0])
    assert torch.allclose(point_cloud(output, "mean"), output.mean(dim=1))


@pytest.mark.parametrize("reduction", ["flatten", "mean"])
def test_vectors_stay_as_they_are(reduction: str, generator: torch.Generator) -> None:
    output = torch.randn(5, 7, generator=generator)
    assert torch.equal(point_cloud(output, reduction), output)


def test_flatten_copies_nothing() -> None:
    output = torch.zeros(4, 3, 2)
    assert point_cloud(output).data_ptr() == output.data_ptr()


def test_a_number_a_sample_is_a_point_on_a_line() -> None:
    assert point_cloud(torch.zeros(6)).shape == (6, 1)


def test_class_token_of_an_image_raises() -> None:
    with pytest.raises(ValueError, match=r"must hold tokens of shape \(n, T, D\) .*got \(2, 3, 4, 4\)"):
        point_cloud(torch.zeros(2, 3, 4, 4), "cls")


def test_unknown_reduction_raises() -> None:
    with pytest.raises(ValueError, match="got 'max'"):
        point_cloud(torch.zeros(2, 3), "max")


def test_scalar_raises() -> None:
    with pytest.raises(ValueError, match="one row per sample"):
        point_cloud(torch.tensor(1.0))
