"""Images whose gradient is hidden from an attack, and what a black-box attack does to them."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_topolip.randomness import kept_random_numbers
from lightning_topolip.robustness.attacks import Attack, logit_loss
from lightning_topolip.robustness.predictor import Predict
from lightning_topolip.robustness.square import square


def masked_gradients(predict: Predict, images: Tensor, labels: Tensor) -> Tensor:
    """Find the images at which the gradient of the loss is exactly zero, or does not exist.

    Args:
        predict: Maps pixels to logits, shape ``(n, K)``; use `predictor` for a module.
        images: Pixels in [0, 1], shape ``(n, ...)``.
        labels: True classes, shape ``(n,)``.

    Returns:
        Whether the image has none, shape ``(n,)``, on the device of the images. A gradient that is not finite counts as
        one.

    Source:
        Athalye, Carlini, Wagner, arXiv 1802.00420, on gradients that are masked instead of small.

    Example:
        >>> rounded = lambda images: torch.stack([images.sum(1), -images.sum(1)], dim=1).round()
        >>> masked_gradients(rounded, torch.rand(3, 4), torch.zeros(3, dtype=torch.long))
        tensor([True, True, True])
    """
    gradient = _gradient(predict, images, labels)
    if gradient is None:
        return torch.ones(len(images), dtype=torch.bool, device=images.device)
    return (gradient.flatten(1) == 0).all(1)


def attacked_beyond_masking(
    attack: Attack, predict: Predict, images: Tensor, labels: Tensor, epsilon: float, masked: Tensor
) -> tuple[Tensor, int]:
    """Attack images; those whose gradient is zero at the start and where the attack ends by `square` instead.

    Args:
        attack: The attack.
        predict: Maps pixels to logits.
        images: Pixels in [0, 1], shape ``(n, ...)``.
        labels: True classes, shape ``(n,)``.
        epsilon: Radius in pixel units.
        masked: Whether the gradient is zero at the image, from `masked_gradients`.

    Returns:
        The attacked images, and the number of those whose gradient is hidden.
    """
    if not masked.any():
        return attack(predict, images, labels, epsilon), 0
    differentiable = not masked.all() or _gradient(predict, images[:1], labels[:1]) is not None
    attacked = attack(predict, images, labels, epsilon) if differentiable else images.clone()
    rows = torch.nonzero(masked)[:, 0]
    rows = rows[masked_gradients(predict, attacked[rows], labels[rows])]
    with torch.no_grad():
        right = predict(attacked[rows]).argmax(1).to(rows.device) == labels[rows] if len(rows) else rows.bool()
    resisting = rows[right]
    if len(resisting):
        attacked[resisting] = square(predict, images[resisting], labels[resisting], epsilon).to(attacked)
    return attacked, len(rows)


def _gradient(predict: Predict, images: Tensor, labels: Tensor) -> Tensor | None:
    """The gradient of the loss; None if the logits do not depend on the pixels for autograd."""
    with torch.inference_mode(False), torch.enable_grad(), kept_random_numbers(0):
        point = images.detach().clone().requires_grad_()
        loss = logit_loss(predict(point), labels)
        return torch.autograd.grad(loss.sum(), point, allow_unused=True)[0] if loss.requires_grad else None
