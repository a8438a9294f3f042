"""Accuracy on validation images, and on clean, corrupted and attacked test images."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torch import Tensor, nn

from lightning_topolip.robustness import autoattack, evaluate_robustness, fgsm, pgd
from lightning_topolip.robustness.attacks import Attack
from lightning_topolip.study.config import Robustness
from lightning_topolip.study.measures.quantity import Quantity


def validation_accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> Iterator[Quantity]:
    """Yield the ``accuracy`` under the condition ``validation``."""
    clean = evaluate_robustness(model, images, labels, corruptions=(), attacks={}).clean
    yield Quantity("accuracy", clean.value, "", "", "validation")


def robustness_accuracies(model: nn.Module, images: Tensor, labels: Tensor, options: Robustness) -> Iterator[Quantity]:
    """Yield the number of ``images``, then the ``accuracy`` by condition and strength.

    With each attack comes ``masked_gradients``, the number of images whose gradient is exactly zero.
    """
    attacks: dict[str, Attack] = {"fgsm": fgsm, "pgd": partial(pgd, steps=options.pgd_steps), "autoattack": autoattack}
    report = evaluate_robustness(
        model,
        images,
        labels,
        corruptions=options.corruptions,
        severities=options.severities,
        attacks={name: attacks[name] for name in options.attacks},
        epsilons=options.epsilons,
    )
    yield Quantity("images", len(labels), "", "", "clean")
    for accuracy in report.accuracies:
        yield Quantity("accuracy", accuracy.value, "", "", accuracy.name, accuracy.strength)
        if accuracy.kind == "attack":
            yield Quantity("masked_gradients", accuracy.masked, "", "", accuracy.name, accuracy.strength)
