"""AutoAttack, the reference ensemble of attacks; needs its package installed."""

from __future__ import annotations

import sys
from typing import Literal

from torch import Tensor

from lightning_topolip.randomness import kept_random_numbers
from lightning_topolip.robustness.attacks import checked
from lightning_topolip.robustness.predictor import Predict

_FEWEST_CLASSES = 4


def autoattack(
    predict: Predict,
    images: Tensor,
    labels: Tensor,
    epsilon: float,
    *,
    version: Literal["standard", "plus", "rand"] = "standard",
    seed: int = 0,
) -> Tensor:
    """Attack with AutoAttack: parameter-free APGD on two losses, FAB and the black-box Square attack.

    Needs the package ``pyautoattack`` (the authors' code), installed by
    ``pip install 'lightning_topolip[autoattack]'``. It is two orders of magnitude slower than `pgd`.

    Args:
        predict: Maps pixels to logits, shape ``(n, K)`` with K >= 4; use `predictor` for a module.
        images: Pixels in [0, 1], shape ``(n, C, H, W)``, float32 or float64, before normalisation.
        labels: True classes, shape ``(n,)``, whole numbers.
        epsilon: Radius in pixel units, such as ``8 / 255``.
        version: ``"standard"``, ``"plus"``, or ``"rand"`` for models that draw random numbers.
        seed: Seed of the attacks; global random generators are restored.

    Returns:
        Pixels in [0, 1], the same shape: for each image an adversarial one if the attack succeeds, else the image.

    Raises:
        ModuleNotFoundError: If ``pyautoattack`` is not installed.
        ValueError: If an argument is invalid.

    Source:
        Croce and Hein, arXiv 2003.01690.
    """
    try:
        from pyautoattack import AutoAttack
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "`autoattack` needs the package pyautoattack; install it with "
            "pip install 'lightning_topolip[autoattack]', or use `pgd` with more steps and restarts."
        ) from error
    images, labels = checked(images, labels, epsilon)
    with kept_random_numbers(seed):
        classes = predict(images[:1]).shape[-1]
    if classes < _FEWEST_CLASSES:
        raise ValueError(
            f"Argument `predict` must return logits of at least {_FEWEST_CLASSES} classes, because AutoAttack's loss "
            f"compares the four largest, got {classes}; use `pgd`."
        )
    trace = sys.gettrace()
    try:
        with kept_random_numbers(seed):
            attack = AutoAttack(predict, eps=epsilon, norm="Linf", version=version, seed=seed, device=images.device)
            for targeted in (attack.apgd_targeted, attack.fab):
                targeted.n_target_classes = min(targeted.n_target_classes, classes - 1)
            adversarial: Tensor = attack.run_standard_evaluation(images, labels, batch_size=len(images))[0]
    finally:
        sys.settrace(trace)  # AutoAttack's check for dynamic defences turns tracing off
    return adversarial.detach()
