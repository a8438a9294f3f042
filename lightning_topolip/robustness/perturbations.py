"""Perturbations with a strength: noise, corruptions and attacks, and the probe at increasing strengths."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from lightning_topolip.notices import Notices
from lightning_topolip.robustness.attacks import Attack
from lightning_topolip.robustness.corruptions.corrupt import SEVERITIES, corrupt_tensor
from lightning_topolip.robustness.masking import masked_gradients
from lightning_topolip.robustness.predictor import Predict
from lightning_topolip.robustness.square import square

Perturbation = Callable[[Tensor, float], Tensor]


def perturbed(images: Tensor, perturbation: Perturbation, strengths: Sequence[float]) -> Iterator[tuple[float, Tensor]]:
    """Perturb a probe with increasing strength: the clean probe first, then each strength.

    Args:
        images: The probe, pixels in [0, 1], shape ``(n, C, H, W)``.
        perturbation: Maps the probe and a strength to the perturbed probe: from `noise_family`, `corruption_family` or
            `attack_family`, or any function.
        strengths: Positive and increasing. Strength 0, the clean probe, is added in front.

    Yields:
        Strength and probe.

    Raises:
        ValueError: If ``strengths`` is not positive and increasing.

    Example:
        >>> import torch
        >>> path = perturbed(torch.rand(4, 3, 32, 32), corruption_family("fog"), strengths=[1, 3, 5])
        >>> [(strength, tuple(probe.shape)) for strength, probe in path]
        [(0.0, (4, 3, 32, 32)), (1, (4, 3, 32, 32)), (3, (4, 3, 32, 32)), (5, (4, 3, 32, 32))]
    """
    if not strengths or not all(low < high for low, high in itertools.pairwise([0, *strengths])):
        raise ValueError(
            f"Argument `strengths` must hold positive, increasing numbers, got {list(strengths)}; leave out strength "
            "0, the clean probe is added in front."
        )
    return itertools.chain([(0.0, images)], ((strength, perturbation(images, strength)) for strength in strengths))


def noise_family(seed: int = 0) -> Perturbation:
    """Add normal noise, clipped to [0, 1]; the strength is its standard deviation in pixel units.

    Each image has the same noise at every strength, only scaled, so that the path is continuous.

    Args:
        seed: Seed of the noise. No global generator is used.

    Returns:
        The perturbation, a function of images and strength.

    Example:
        >>> import torch
        >>> noise_family()(torch.full((50, 3, 8, 8), 0.5), 0.1).std().round(decimals=2)
        tensor(0.1000)
    """

    def perturb(images: Tensor, strength: float) -> Tensor:
        noise = torch.from_numpy(np.random.default_rng(seed).normal(size=tuple(images.shape))).to(images)
        return (images + strength * noise).clamp(0, 1)

    return perturb


def corruption_family(name: str, seed: int = 0) -> Perturbation:
    """Corrupt images as CIFAR-10-C does; the strength is the severity, a whole number from 1 to 5.

    Args:
        name: One of `CORRUPTIONS`.
        seed: Seed of the corruption's random numbers.

    Returns:
        The perturbation. As in CIFAR-10-C, each severity draws new random numbers.
    """

    def perturb(images: Tensor, strength: float) -> Tensor:
        if strength not in SEVERITIES:
            raise ValueError(f"Argument `strengths` must hold severities from {SEVERITIES}, got {strength!r}.")
        return corrupt_tensor(images, name, int(strength), seed=seed)

    return perturb


def attack_family(method: Attack, predict: Predict, labels: Tensor) -> Perturbation:
    """Attack a model; the strength is epsilon in 255ths of the pixel range.

    Args:
        method: `fgsm`, `pgd` or any function with the same signature.
        predict: Maps pixels to logits; see `predictor`.
        labels: True classes of the probe, shape ``(n,)``.

    Returns:
        The perturbation, a function of images and strength. It warns once of images whose gradient is zero, where the
        attack leaves the probe as it is or moves it at random.
    """
    notices, by_gradients = Notices(), getattr(method, "func", method)

    def perturb(images: Tensor, strength: float) -> Tensor:
        masked = 0 if by_gradients is square else int(masked_gradients(predict, images, labels).sum())
        if masked:
            notices.warn(
                f"The gradient of {masked} of {len(images)} images is exactly zero: an attack by gradients does not "
                "see how to move them; use the method `square`, which needs none.",
                "masked",
            )
        return method(predict, images, labels, strength / 255)

    return perturb
