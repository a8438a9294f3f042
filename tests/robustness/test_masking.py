"""Attacks on networks whose gradient is zero: what is counted, said, and left by a black-box attack."""

import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from helpers.digits import trained_on_digits
from torch import Tensor, nn

from lightning_topolip.robustness import (
    Accuracy,
    attack_family,
    evaluate_robustness,
    fgsm,
    masked_gradients,
    perturbed,
    pgd,
    predictor,
    square,
)

EPSILON = 24


@pytest.fixture(scope="module")
def digits() -> tuple[nn.Module, Tensor, Tensor]:
    """A small classifier trained on digits, and digits that it was not trained on."""
    model, images, labels = trained_on_digits()
    return model, images[-40:], labels[-40:]


def through_numpy(images: Tensor) -> Tensor:
    return torch.from_numpy(np.round(images.detach().numpy() * 255) / 255)


HIDDEN: dict[str, Callable[[Tensor], Tensor]] = {
    "rounds": lambda x: (x * 255).round() / 255,
    "bytes": lambda x: (x * 255).byte().float() / 255,
    "detaches": lambda x: x.detach(),
    "numpy": through_numpy,
    "sign of a threshold": lambda x: torch.floor(x * 64) / 64,
}


@pytest.mark.parametrize("name", HIDDEN)
def test_a_hidden_gradient_is_counted_warned_of_and_got_around(
    name: str, digits: tuple[nn.Module, Tensor, Tensor]
) -> None:
    model, images, labels = digits
    evaluate = partial(
        evaluate_robustness, images=images, labels=labels, corruptions=[], epsilons=[EPSILON], batch_size=25,
    )  # fmt: skip
    plain = evaluate(model, attacks={"pgd": partial(pgd, steps=20)})
    with pytest.warns(UserWarning, match="gradient of 40 of 40 images is exactly zero under .* `square`") as told:
        report = evaluate(lambda x: model(HIDDEN[name](x)), attacks={"fgsm": fgsm, "pgd": pgd})
    assert len(told) == 1
    assert [accuracy.masked for accuracy in report.accuracies] == [0, 40, 40]
    assert report.clean.value > 0.85
    for accuracy in report.accuracies[1:]:
        assert accuracy.value <= plain.accuracies[-1].value + 0.1
    assert [row["masked"] for row in report.to_rows()] == [0, 40, 40]


def test_only_images_without_a_gradient_are_searched(digits: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, images, labels = digits
    half = torch.arange(40) < 20

    def partly(pixels: Tensor) -> Tensor:
        hidden = (pixels[:, 0, 0, 0] > 0.5)[:, None, None, None]
        return model(torch.where(hidden, (pixels * 255).round() / 255, pixels))

    images = images.clone()
    images[:, 0, 0, 0] = half.float()
    assert torch.equal(masked_gradients(partly, images, labels), half)
    with pytest.warns(UserWarning, match="gradient of 20 of 40 images"):
        report = evaluate_robustness(partly, images, labels, corruptions=[], attacks={"fgsm": fgsm}, epsilons=[8])
    right = partly(fgsm(partly, images, labels, 8 / 255)).argmax(1) == labels
    searched = images[half & right]
    left = partly(square(partly, searched, labels[half & right], 8 / 255)).argmax(1) == labels[half & right]
    assert report.accuracies[1].correct == int((right & ~half).sum() + left.sum())


def test_a_saturated_network_is_counted_where_its_gradient_underflows(
    digits: tuple[nn.Module, Tensor, Tensor],
) -> None:
    model, images, labels = digits

    def saturated(pixels: Tensor) -> Tensor:
        return torch.tanh(30 * model(pixels))

    masked = masked_gradients(saturated, images, labels)
    certain = (model(images).abs() > 1).all(1)  # the derivative of tanh is zero in float32 beyond 10
    assert certain.any()
    assert masked[certain].all()
    assert not masked_gradients(model, images, labels).any()


def test_an_ordinary_network_has_no_masked_image_and_keeps_its_numbers(
    digits: tuple[nn.Module, Tensor, Tensor],
) -> None:
    model, images, labels = digits
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = evaluate_robustness(model, images, labels, corruptions=[], epsilons=[EPSILON])
    for accuracy, attack in zip(report.accuracies[1:], (fgsm, pgd), strict=True):
        assert accuracy.masked == 0
        assert accuracy.correct == int((model(attack(model, images, labels, EPSILON / 255)).argmax(1) == labels).sum())


def test_square_stays_in_the_ball_repeats_and_does_not_depend_on_the_batch(
    digits: tuple[nn.Module, Tensor, Tensor],
) -> None:
    model, images, labels = digits
    attacked = square(model, images, labels, 0.1, queries=60)
    assert (attacked - images).abs().max() <= 0.1 + 6e-8
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    assert torch.equal(square(model, images, labels, 0.1, queries=60), attacked)
    assert torch.allclose(square(model, images[7:9], labels[7:9], 0.1, queries=60), attacked[7:9])
    assert not torch.equal(square(model, images, labels, 0.1, queries=60, seed=1), attacked)
    assert torch.equal(square(model, images, labels, 0.0, queries=5), images)
    with pytest.raises(ValueError, match="`queries` must be a whole number >= 1, got 0"):
        square(model, images, labels, 0.1, queries=0)


def test_square_reaches_the_optimum_of_two_linear_classes(generator: torch.Generator) -> None:
    weight = torch.randn(2, 12, generator=generator)
    images = 0.25 + 0.5 * torch.rand(30, 3, 2, 2, generator=generator)

    def predict(pixels: Tensor) -> Tensor:
        return (pixels.flatten(1) - 0.5) @ weight.T

    labels = predict(images).argmax(1)
    away = (weight[1 - labels] - weight[labels]).sign().view_as(images)
    fooled = predict((images + 0.05 * away).clamp(0, 1)).argmax(1) != labels
    found = predict(square(predict, images, labels, 0.05)).argmax(1) != labels
    assert 0 < fooled.sum() < 30
    assert torch.equal(found, fooled)
    flat = square(predict, images.flatten(1), labels, 0.05)
    assert torch.equal(predict(flat).argmax(1) != labels, fooled)


def test_a_path_of_attacks_without_a_gradient_is_warned_of_once(digits: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, images, labels = digits

    def rounds(pixels: Tensor) -> Tensor:
        return model((pixels * 255).round() / 255)

    with predictor(rounds) as predict:
        with pytest.warns(UserWarning, match="gradient of 40 of 40 images is exactly zero") as told:
            list(perturbed(images, attack_family(fgsm, predict, labels), [1, 2, 4]))
        assert len(told) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            family = attack_family(partial(square, queries=20), predict, labels)
            probes = dict(perturbed(images, family, [8]))
    assert (probes[8] - images).abs().max() == pytest.approx(8 / 255, rel=1e-5)


def test_an_accuracy_of_older_results_has_no_masked_images() -> None:
    assert Accuracy("attack", "pgd", 8, 3, 10).masked == 0
