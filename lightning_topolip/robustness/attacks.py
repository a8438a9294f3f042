"""White-box attacks within an L-infinity ball of pixels: FGSM and PGD."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from lightning_topolip.robustness.predictor import Predict, finite

Attack = Callable[[Predict, Tensor, Tensor, float], Tensor]


def fgsm(predict: Predict, images: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """Move every pixel once by epsilon, in the direction that raises the loss (fast gradient sign method).

    The loss is the cross-entropy; its gradient is taken of ``log(1 / p - 1)``, p the probability of the true class,
    which has the same direction and does not vanish where the model is certain.

    Args:
        predict: Maps pixels to logits, shape ``(n, K)``; see `predictor` for a module.
        images: Pixels in [0, 1], shape ``(n, ...)``, float32 or float64, before normalisation.
        labels: True classes, shape ``(n,)``, whole numbers.
        epsilon: Radius in pixel units, such as ``8 / 255``.

    Returns:
        Pixels in [0, 1], shape ``(n, ...)``, none further than epsilon from its image.

    Raises:
        ValueError: If an argument is not allowed or no gradient reaches the pixels.
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
    """Climb the loss from random points of the ball in signed steps, each projected back onto ball and [0, 1].

    Of all points seen, the clean image included, the strongest is kept for every image: the one with the largest
    margin of another class over the true one. So the accuracy is never above the clean one, and more restarts are
    never weaker. The random start depends on ``seed``, restart and the image itself, not on the batch around it.

    Args:
        predict: Maps pixels to logits, shape ``(n, K)``; see `predictor` for a module.
        images: Pixels in [0, 1], shape ``(n, ...)``, float32 or float64, before normalisation.
        labels: True classes, shape ``(n,)``, whole numbers.
        epsilon: Radius in pixel units, such as ``8 / 255``.
        steps: Steps from every start, at least 1.
        step_size: Length of a step in pixel units; 2.5 epsilon / steps by default, enough to cross the ball.
        restarts: Number of random starts, at least 1.
        seed: Seed of the starts. No global generator is used.

    Returns:
        Pixels in [0, 1], shape ``(n, ...)``, none further than epsilon from its image.

    Raises:
        ValueError: If an argument is not allowed or no gradient reaches the pixels.
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
    for name, value in (("steps", steps), ("restarts", restarts)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"Argument `{name}` must be a whole number >= 1, got {value!r}.")
    if step_size is not None and not step_size > 0:
        raise ValueError(f"Argument `step_size` must be positive, got {step_size!r}; None takes 2.5 epsilon / steps.")
    length = 2.5 * epsilon / steps if step_size is None else step_size
    with torch.inference_mode(False), torch.enable_grad():
        images = images.clone()
        lowest, highest = (images - epsilon).clamp(min=0), (images + epsilon).clamp(max=1)
        strongest, best = images, _margin(finite(predict(images)), labels)
        for restart in range(restarts):
            point = (images + epsilon * _starts(images, seed, restart)).clamp(lowest, highest)
            for _ in range(steps):
                logits, direction = _ascent(predict, point, labels)
                strongest, best = _stronger(strongest, best, point, _margin(logits, labels))
                point = (point + length * direction).clamp(lowest, highest)
            strongest, best = _stronger(strongest, best, point, _margin(finite(predict(point)), labels))
    return strongest.detach()


ATTACKS: Mapping[str, Attack] = MappingProxyType({"fgsm": fgsm, "pgd": pgd})


def checked(images: Tensor, labels: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Check what every attack takes.

    Args:
        images: Pixels in [0, 1], shape ``(n, ...)``, float32 or float64.
        labels: True classes, shape ``(n,)``, whole numbers.
        epsilon: Radius in pixel units.

    Returns:
        Images and labels without a history, labels as int64.

    Raises:
        ValueError: If an argument is not allowed.
    """
    if images.dtype not in (torch.float32, torch.float64) or images.ndim < 2:
        raise ValueError(
            "Argument `images` must be float32 or float64 of shape (n, ...), got "
            f"{images.dtype} of shape {tuple(images.shape)}; `predictor` casts to the model's precision."
        )
    if images.numel() and not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"Argument `images` must hold pixels in [0, 1], got values from {images.min():g} to {images.max():g}; "
            "give them before normalisation and let `predict` normalise."
        )
    if labels.shape != images.shape[:1] or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(
            f"Argument `labels` must hold one whole number for each of {len(images)} images, got {labels.dtype} of "
            f"shape {tuple(labels.shape)}."
        )
    if not 0 <= epsilon <= 1:
        raise ValueError(f"Argument `epsilon` must lie in [0, 1], in pixel units such as 8 / 255, got {epsilon!r}.")
    return images.detach(), labels.detach().long()


def _ascent(predict: Predict, point: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Give the logits at a point and the sign of the gradient of the cross-entropy there."""
    point = point.detach().requires_grad_()
    logits = finite(predict(point))
    if not logits.requires_grad:
        raise ValueError("Argument `predict` must be differentiable, got logits that no gradient leads back from.")
    true, others = _true_and_others(logits, labels)
    (gradient,) = torch.autograd.grad((others.logsumexp(1) - true).sum(), point)
    return logits.detach(), gradient.sign()


def _stronger(strongest: Tensor, best: Tensor, point: Tensor, margin: Tensor) -> tuple[Tensor, Tensor]:
    wins = margin > best
    return torch.where(wins.view(-1, *[1] * (point.ndim - 1)), point, strongest), torch.where(wins, margin, best)


def _margin(logits: Tensor, labels: Tensor) -> Tensor:
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
    """Draw uniform directions in [-1, 1] for every image, seeded by its own content."""
    drawn = []
    for image in images.cpu().numpy():
        own = np.random.SeedSequence(seed, spawn_key=(restart, zlib.crc32(image.tobytes())))
        drawn.append(torch.from_numpy(np.random.default_rng(own).uniform(-1, 1, image.shape)))
    return torch.stack(drawn).to(images) if drawn else torch.zeros_like(images)
