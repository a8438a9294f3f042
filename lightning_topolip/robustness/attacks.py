"""White-box attacks within an L-infinity ball of pixels: FGSM and PGD."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_topolip.arguments import require_whole_number
from lightning_topolip.robustness.predictor import Predict, finite

Attack = Callable[[Predict, Tensor, Tensor, float], Tensor]


def fgsm(predict: Predict, images: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """Move every pixel once by epsilon in the direction that increases the loss (fast gradient sign method).

    The direction is that of the gradient of the cross-entropy. It is computed from ``log(1 / p - 1)``, with p the
    probability of the true class, whose gradient has the same sign and does not vanish if the model is certain.

    Args:
        predict: Maps pixels to logits, shape ``(n, K)``; use `predictor` for a module.
        images: Pixels in [0, 1], shape ``(n, ...)``, float32 or float64, before normalisation.
        labels: True classes, shape ``(n,)``, whole numbers.
        epsilon: Radius in pixel units, such as ``8 / 255``.

    Returns:
        Pixels in [0, 1], shape ``(n, ...)``, none more than epsilon from the original.

    Raises:
        ValueError: If an argument is invalid or no gradient reaches the pixels.
        FloatingPointError: If a logit is not finite.

    Source:
        Goodfellow, Shlens, Szegedy, arXiv 1412.6572.

    Example:
        >>> import torch
        >>> predict = lambda images: torch.stack([images.sum(1), -images.sum(1)], dim=1)
        >>> fgsm(predict, torch.tensor([[0.5, 0.0]]), torch.tensor([0]), epsilon=0.25)
        tensor([[0.2500, 0.0000]])
    """
    images, labels = checked(images, labels, epsilon)
    with torch.inference_mode(False), torch.enable_grad():
        images = images.clone()
        _, direction = _ascent(predict, images, labels)
        return (images + epsilon * direction).clamp(0, 1)


def pgd(
    predict: Predict,
    images: Tensor,
    labels: Tensor,
    epsilon: float,
    *,
    steps: int = 10,
    step_size: float | None = None,
    restarts: int = 1,
    seed: int = 0,
) -> Tensor:
    """Increase the loss in signed gradient steps from random points of the ball, each projected back (PGD).

    Every step is projected onto the ball and onto [0, 1]. For each image, the strongest of all points visited is kept,
    including the clean image: the one with the largest margin of another class over the true one. So the accuracy is
    never above the clean accuracy, and more restarts are never weaker. The random start depends on ``seed``, the
    restart and the image, not on the rest of the batch.

    Args:
        predict: Maps pixels to logits, shape ``(n, K)``; use `predictor` for a module.
        images: Pixels in [0, 1], shape ``(n, ...)``, float32 or float64, before normalisation.
        labels: True classes, shape ``(n,)``, whole numbers.
        epsilon: Radius in pixel units, such as ``8 / 255``.
        steps: Number of steps from each start, at least 1.
        step_size: Length of a step in pixel units; 2.5 epsilon / steps by default, enough to cross the ball.
        restarts: Number of random starts, at least 1.
        seed: Seed of the random starts. No global generator is used.

    Returns:
        Pixels in [0, 1], shape ``(n, ...)``, none more than epsilon from the original.

    Raises:
        ValueError: If an argument is invalid or no gradient reaches the pixels.
        FloatingPointError: If a logit is not finite.

    Source:
        Madry, Makelov, Schmidt, Tsipras, Vladu, arXiv 1706.06083.

    Example:
        >>> import torch
        >>> predict = lambda images: torch.stack([images.sum(1), -images.sum(1)], dim=1)
        >>> pgd(predict, torch.tensor([[0.5, 0.0]]), torch.tensor([0]), epsilon=0.25)
        tensor([[0.2500, 0.0000]])
    """
    images, labels = checked(images, labels, epsilon)
    require_whole_number("steps", steps, 1)
    require_whole_number("restarts", restarts, 1)
    if step_size is not None and not step_size > 0:
        raise ValueError(
            f"Argument `step_size` must be positive, got {step_size!r}; leave it None for 2.5 epsilon / steps."
        )
    length = 2.5 * epsilon / steps if step_size is None else step_size
    with torch.inference_mode(False), torch.enable_grad():
        images = images.clone()
        lowest, highest = (images - epsilon).clamp(min=0), (images + epsilon).clamp(max=1)
        strongest, best = images, margin(finite(predict(images)), labels)
        for restart in range(restarts):
            point = (images + epsilon * _starts(images, seed, restart)).clamp(lowest, highest)
            for _ in range(steps):
                logits, direction = _ascent(predict, point, labels)
                strongest, best = stronger(strongest, best, point, margin(logits, labels))
                point = (point + length * direction).clamp(lowest, highest)
            strongest, best = stronger(strongest, best, point, margin(finite(predict(point)), labels))
    return strongest.detach()


ATTACKS: Mapping[str, Attack] = MappingProxyType({"fgsm": fgsm, "pgd": pgd})


def checked(images: Tensor, labels: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Validate the arguments of an attack and return images and labels detached, labels as int64."""
    if images.dtype not in (torch.float32, torch.float64) or images.ndim < 2:
        raise ValueError(
            "Argument `images` must be float32 or float64 of shape (n, ...), got "
            f"{images.dtype} of shape {tuple(images.shape)}; `predictor` casts them to the model's precision."
        )
    if images.numel() and not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"Argument `images` must hold pixels in [0, 1], got values from {images.min():g} to {images.max():g}; "
            "pass them before normalisation and let `predict` normalise."
        )
    check_labels(labels, images)
    if not 0 <= epsilon <= 1:
        raise ValueError(f"Argument `epsilon` must be in [0, 1], got {epsilon!r}; use pixel units such as 8 / 255.")
    return images.detach(), labels.detach().long()


def check_labels(labels: Tensor, images: Tensor) -> None:
    """Raise a `ValueError` unless there is one whole number per image."""
    if labels.shape != images.shape[:1] or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(
            f"Argument `labels` must hold one whole number for each of {len(images)} images, got {labels.dtype} of "
            f"shape {tuple(labels.shape)}."
        )


def _ascent(predict: Predict, point: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits at a point and the sign of the gradient of the cross-entropy there."""
    point = point.detach().requires_grad_()
    logits = finite(predict(point))
    loss, gradient = logit_loss(logits, labels), None
    if loss.requires_grad:
        (gradient,) = torch.autograd.grad(loss.sum(), point, allow_unused=True)
    if gradient is None:
        raise ValueError("Argument `predict` must be differentiable, got logits that do not depend on the pixels.")
    return logits.detach(), gradient.sign()


def logit_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return ``log(1 / p - 1)`` of every image, with p the probability of the true class."""
    true, others = _true_and_others(logits, labels)
    return others.logsumexp(1) - true


def stronger(
    strongest: Tensor, best: Tensor, point: Tensor, gained: Tensor, *, ties: bool = False
) -> tuple[Tensor, Tensor]:
    """Keep for each image the point of the larger margin, and that margin."""
    wins = gained >= best if ties else gained > best
    chosen = wins.view(-1, *[1] * (point.ndim - 1)).to(point.device)
    return torch.where(chosen, point, strongest), torch.where(wins, gained, best)


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Return how far the largest logit of another class is above that of the true one."""
    true, others = _true_and_others(logits.detach(), labels)
    return others.amax(1) - true


def _true_and_others(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    column = labels.to(logits.device)[:, None]
    if len(column) and not (column.min() >= 0 and column.max() < logits.shape[1]):
        raise ValueError(
            f"Argument `labels` must hold classes from 0 to {logits.shape[1] - 1}, "
            f"got {int(column.min())} to {int(column.max())}."
        )
    return logits.gather(1, column)[:, 0], logits.scatter(1, column, -torch.inf)


def _starts(images: Tensor, seed: int, restart: int) -> Tensor:
    """Draw the starting direction of every image uniformly from [-1, 1], seeded by the image's content."""
    directions = [
        torch.from_numpy(generator_of(image, seed, restart).uniform(-1, 1, image.shape))
        for image in images.cpu().numpy()
    ]
    return torch.stack(directions).to(images) if directions else torch.zeros_like(images)


def generator_of(image: npt.NDArray[Any], seed: int, stream: int) -> np.random.Generator:
    """Return a random generator seeded by the content of an image and the number of the stream."""
    seeds = np.random.SeedSequence(seed, spawn_key=(stream, zlib.crc32(image.tobytes())))
    return np.random.default_rng(seeds)
