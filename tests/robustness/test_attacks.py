"""Attacks against closed forms on linear models; bounds, restarts, and a model that comes back unchanged."""

import copy
import math
import random
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from helpers.digits import trained_on_digits
from torch import Tensor, nn

from lightning_topolip.models import ResNetClassifier
from lightning_topolip.robustness import ATTACKS, autoattack, fgsm, pgd, predictor

EPSILON = 8 / 255


@pytest.fixture(scope="module")
def digits() -> tuple[nn.Module, Tensor, Tensor]:
    """A small classifier trained on digits, and digits that it was not trained on."""
    model, images, labels = trained_on_digits()
    return model, images[-150:], labels[-150:]


def linear(classes: int, inputs: int, generator: torch.Generator) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    weight = torch.randn(classes, inputs, generator=generator, dtype=torch.float64)
    return lambda images: (images.flatten(1) - 0.5) @ weight.T, weight


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    others = logits.scatter(1, labels[:, None], -math.inf)
    return others.amax(1) - logits.gather(1, labels[:, None])[:, 0]


@pytest.mark.parametrize("attack", [fgsm, pgd, partial(pgd, steps=3, restarts=2)])
def test_two_linear_classes_are_attacked_optimally(generator: torch.Generator, attack: Callable[..., Tensor]) -> None:
    predict, weight = linear(2, 48, generator)
    images = torch.rand(20, 3, 4, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(2, (20,), generator=generator)
    away = (weight[1 - labels] - weight[labels]).sign().view_as(images)
    optimum = (images + EPSILON * away).clamp(0, 1)
    assert torch.allclose(attack(predict, images, labels, EPSILON), optimum, rtol=0, atol=1e-12)


def test_pgd_reaches_the_exact_robust_accuracy_of_a_linear_model(generator: torch.Generator) -> None:
    predict, weight = linear(5, 30, generator)
    images = torch.rand(300, 30, generator=generator, dtype=torch.float64)
    labels = predict(images).argmax(1)
    margins = margin(predict(pgd(predict, images, labels, 0.05, steps=20, restarts=3)), labels)
    towards = weight[None] - weight[labels][:, None]  # (n, 5, 30): of each class over the true one
    reach = torch.where(towards > 0, (images + 0.05).clamp(max=1)[:, None], (images - 0.05).clamp(min=0)[:, None])
    best = (towards * (reach - 0.5)).sum(2).scatter(1, labels[:, None], -math.inf).amax(1)
    assert (margins <= best + 1e-12).all()
    assert 0.2 < (best > 0).double().mean() < 0.8
    assert ((margins > 0) == (best > 0)).double().mean() > 0.95


def test_the_direction_is_that_of_the_cross_entropy(digits: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, images, labels = copy.deepcopy(digits[0]).double(), digits[1].double(), digits[2]
    point = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(model(point), labels), point)
    inside = (images > EPSILON) & (images < 1 - EPSILON)
    moved = fgsm(model, images, labels, EPSILON) - images
    assert torch.equal(moved.sign()[inside], gradient.sign()[inside])


def test_a_certain_model_is_attacked_despite_vanishing_gradients(generator: torch.Generator) -> None:
    _, weight = linear(3, 16, generator)
    images = torch.rand(50, 16, generator=generator) * 0.5 + 0.25
    labels = (images @ weight.float().T).argmax(1)

    def certain(pixels: Tensor) -> Tensor:
        return 1e4 * pixels @ weight.float().T

    point = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(certain(point), labels, reduction="sum"), point)
    vanished = (gradient == 0).all(1)
    assert vanished.sum() > 10
    for attack in (fgsm, pgd):
        moved = attack(certain, images, labels, 0.1) - images
        assert (moved[vanished].abs().amax(1) > 0.0999).all()


@pytest.mark.parametrize("attack", [fgsm, pgd, partial(pgd, steps=2, step_size=0.5, restarts=2)])
@pytest.mark.parametrize("epsilon", [1 / 255, EPSILON, 0.5])
def test_the_bound_is_reached_and_never_exceeded(
    digits: tuple[nn.Module, Tensor, Tensor], attack: Callable[..., Tensor], epsilon: float
) -> None:
    model, images, labels = digits
    attacked = attack(model, images, labels, epsilon)
    assert (attacked.shape, attacked.dtype, attacked.requires_grad) == (images.shape, images.dtype, False)
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    moved = (attacked.double() - images.double()).abs()
    assert moved.max() <= epsilon + 6e-8
    assert (moved.flatten(1).amax(1) > epsilon - 6e-8).double().mean() > 0.9


def test_radius_zero_leaves_the_images_unchanged(digits: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, images, labels = digits
    for attack in ATTACKS.values():
        assert torch.equal(attack(model, images, labels, 0.0), images)


def test_accuracy_falls_with_the_radius_and_pgd_is_stronger(digits: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, images, labels = digits

    def accuracy(pixels: Tensor) -> float:
        return float((model(pixels).argmax(1) == labels).double().mean())

    radii = [0.0, 0.02, 0.05, 0.1, 0.15, 0.2]
    one_step = [accuracy(fgsm(model, images, labels, radius)) for radius in radii]
    many_steps = [accuracy(pgd(model, images, labels, radius, steps=20)) for radius in radii]
    assert one_step == sorted(one_step, reverse=True)
    assert many_steps == sorted(many_steps, reverse=True)
    assert many_steps[0] > 0.9
    assert many_steps[-1] < 0.1
    assert all(strong <= weak for strong, weak in zip(many_steps, one_step, strict=True))


def test_more_restarts_are_never_weaker(digits: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, images, labels = digits
    margins = [
        margin(model(pgd(model, images, labels, 0.1, steps=2, restarts=restarts)), labels) for restarts in (1, 2, 5)
    ]
    assert (margins[1] >= margins[0]).all()
    assert (margins[2] >= margins[1]).all()
    assert (margins[2] > margins[0]).any()
    assert (margins[0] >= margin(model(images), labels)).all()


def test_starts_depend_on_the_image_and_the_seed_not_on_the_batch(digits: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, images, labels = copy.deepcopy(digits[0]).double(), digits[1].double(), digits[2]
    attack = partial(pgd, model, epsilon=0.1, steps=2)
    attacked = attack(images=images, labels=labels)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    assert torch.allclose(attack(images=images[order], labels=labels[order]), attacked[order], atol=1e-9)
    assert torch.allclose(attack(images=images[7:8], labels=labels[7:8]), attacked[7:8], atol=1e-9)
    assert not torch.equal(attack(images=images, labels=labels, seed=1), attacked)


class Counting(nn.Module):
    """A network with all kinds of state that a forward pass may change: statistics, dropout, a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.LazyLinear(5))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return self.body(images) + 1e-3 * torch.randn(len(images), 5)


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_comes_back_as_it_was(fails: bool) -> None:
    model, images, labels = Counting(), torch.rand(6, 3, 8, 8), torch.arange(6) % 5
    model(images).sum().backward()
    model.body[0].bias.requires_grad_(False)
    model.body[1].eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    trained = {name: weight.requires_grad for name, weight in model.named_parameters()}
    modes = [module.training for module in model.modules()]
    random_states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    try:
        with predictor(model) as predict:
            assert not any(module.training for module in model.modules())
            first = pgd(predict, images, labels, EPSILON)
            fgsm(predict, images, labels, EPSILON)
            predict(images).sum()
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(weight.grad, gradients[name]) for name, weight in model.named_parameters())
    assert {name: weight.requires_grad for name, weight in model.named_parameters()} == trained
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random_states[0])
    assert np.array_equal(np.random.get_state()[1], random_states[1])
    assert random.getstate() == random_states[2]
    with predictor(model) as predict:
        assert torch.equal(pgd(predict, images, labels, EPSILON), first)


def test_an_attack_on_a_bare_module_leaves_its_gradients_alone(digits: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, images, labels = digits
    fgsm(model, images, labels, EPSILON)
    pgd(model, images, labels, EPSILON)
    assert all(weight.grad is None for weight in model.parameters())


def test_attacks_work_inside_a_validation_loop(digits: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, images, labels = digits
    expected = pgd(model, images, labels, EPSILON)
    with torch.inference_mode():
        inference_images = images.clone()
        with predictor(model) as predict:
            assert torch.allclose(pgd(predict, inference_images, labels, EPSILON), expected, atol=1e-6)
        assert torch.is_inference_mode_enabled()


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16, torch.float64])
def test_the_models_own_precision_is_kept(digits: tuple[nn.Module, Tensor, Tensor], precision: torch.dtype) -> None:
    model, images, labels = copy.deepcopy(digits[0]).to(precision), digits[1], digits[2]
    with predictor(model) as predict:
        assert predict(images).dtype == (torch.float64 if precision == torch.float64 else torch.float32)
        attacked = pgd(predict, images, labels, 0.2)
        assert (predict(attacked).argmax(1) == labels).float().mean() < 0.2
    assert attacked.dtype == torch.float32
    assert (attacked - images).abs().max() <= 0.2 + 6e-8
    assert all(weight.dtype == precision for weight in model.parameters())


def test_pixels_are_attacked_before_the_models_normalisation() -> None:
    model = ResNetClassifier(size="micro", mean=[0.5] * 3, std=[0.01] * 3)
    images, labels = torch.rand(4, 3, 32, 32), torch.arange(4)
    with predictor(model) as predict:
        attacked = fgsm(predict, images, labels, EPSILON)
    assert (attacked - images).abs().max() <= EPSILON + 6e-8
    assert model.training


def test_wrong_arguments_are_named(digits: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, images, labels = digits

    def refuse(match: str, attack: Callable[[], Tensor], kind: type[Exception] = ValueError) -> None:
        with pytest.raises(kind, match=match):
            attack()

    for attack in (fgsm, pgd):
        refuse(
            r"pixels in \[0, 1\], got values from -0.5 to 0.5; .*normal",
            lambda a=attack: a(model, images - 0.5, labels, 0.1),
        )
        refuse("must be float32 or float64 .*got torch.float16", lambda a=attack: a(model, images.half(), labels, 0.1))
        refuse(
            r"one whole number for each of 150 images, got .*\(149,\)",
            lambda a=attack: a(model, images, labels[1:], 0.1),
        )
        refuse("one whole number .*torch.float32", lambda a=attack: a(model, images, labels.float(), 0.1))
        refuse(
            r"`epsilon` must be in \[0, 1\], got 8; use pixel units",
            lambda a=attack: a(model, images, labels, 8),
        )
        refuse(
            "`labels` must hold classes from 0 to 9, got 7 to 16", lambda a=attack: a(model, images, labels + 7, 0.1)
        )
        refuse("must be differentiable", lambda a=attack: a(lambda x: model(x).detach(), images, labels, 0.1))
        refuse("not finite", lambda a=attack: a(lambda x: model(x) / 0, images, labels, 0.1), FloatingPointError)
    refuse("`steps` must be a whole number >= 1, got 0", lambda: pgd(model, images, labels, 0.1, steps=0))
    refuse("`restarts` must be a whole number >= 1, got 1.5", lambda: pgd(model, images, labels, 0.1, restarts=1.5))  # type: ignore[arg-type]
    refuse("`step_size` must be positive, got -1", lambda: pgd(model, images, labels, 0.1, step_size=-1))
    for output, actual in (
        (images, r"shape \(150, 1, 8, 8\)"),
        (None, "NoneType"),
        (images[:, 0, 0, :1], r"shape \(150, 1\)"),
    ):
        with predictor(lambda _, output=output: output) as predict:
            refuse(f"logits of shape .* n = 150 .*, got {actual}", lambda: fgsm(predict, images, labels, 0.1))


def test_without_its_package_autoattack_names_the_package_to_install(
    digits: tuple[nn.Module, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyautoattack", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'lightning_topolip\[autoattack\]', or use `pgd`"):
        autoattack(*digits, 0.1)


@pytest.mark.slow
def test_autoattack_is_at_least_as_strong_as_pgd(digits: tuple[nn.Module, Tensor, Tensor]) -> None:
    pytest.importorskip("pyautoattack")
    model, images, labels = digits[0], digits[1][:6], digits[2][:6]
    random_state = torch.get_rng_state()
    with predictor(model) as predict:
        attacked = autoattack(predict, images, labels, 0.2)
        misclassified = [predict(x).argmax(1) != labels for x in (attacked, pgd(predict, images, labels, 0.2))]
    assert (attacked - images).abs().max() <= 0.2 + 1e-6
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    assert misclassified[0].sum() >= misclassified[1].sum() >= 5
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.slow
def test_autoattack_works_for_four_classes_and_refuses_fewer(generator: torch.Generator) -> None:
    pytest.importorskip("pyautoattack")
    weight = torch.randn(4, 48, generator=generator)
    images, labels = torch.rand(8, 3, 4, 4, generator=generator), torch.randint(4, (8,), generator=generator)

    def predict(pixels: Tensor) -> Tensor:
        return (pixels.flatten(1) - 0.5) @ weight.T

    attacked = autoattack(predict, images, predict(images).argmax(1), 0.05)
    assert (attacked - images).abs().max() <= 0.05 + 1e-6
    assert (predict(attacked).argmax(1) == predict(images).argmax(1)).any()
    with pytest.raises(ValueError, match=r"`predict` must return logits of at least 4 classes, .* got 3; use `pgd`"):
        autoattack(lambda pixels: predict(pixels)[:, :3], images, labels.clamp(max=2), 0.05)


def test_autoattack_restores_the_random_generator_even_after_an_error() -> None:
    pytest.importorskip("pyautoattack")
    random_state = torch.get_rng_state()
    images, labels = torch.full((3, 3, 4, 4), 0.5), torch.tensor([0, 1, 0])
    with pytest.raises(ValueError, match=r"`predict` must return logits of at least 4 classes, .* got 2; use `pgd`"):
        autoattack(lambda pixels: torch.rand(len(pixels), 2), images, labels, 0.05)
    assert torch.equal(torch.get_rng_state(), random_state)
