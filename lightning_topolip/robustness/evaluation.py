"""The accuracy of a classifier on clean images, under corruptions and under attacks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from lightning_topolip.arguments import require_whole_number
from lightning_topolip.robustness.accuracy import Accuracy, Kind
from lightning_topolip.robustness.attacks import ATTACKS, Attack, check_labels
from lightning_topolip.robustness.corruptions.corrupt import CORRUPTIONS, SEVERITIES, corrupt, levels, unit_tensor
from lightning_topolip.robustness.corruptions.pixels import Pixels
from lightning_topolip.robustness.logits import LogitsFn
from lightning_topolip.robustness.masking import attacked_beyond_masking, masked_gradients
from lightning_topolip.robustness.predictor import Predict, finite, predictor

Progress = Callable[[Accuracy, int, int], object]


@dataclass(frozen=True)
class RobustnessReport:
    """Accuracies of one classifier on one set of images.

    Attributes:
        accuracies: On clean images first, then under corruptions by severity, then under attacks by epsilon.
    """

    accuracies: tuple[Accuracy, ...]

    @property
    def clean(self) -> Accuracy:
        """The accuracy on clean images."""
        return self.accuracies[0]

    def drop(self, accuracy: Accuracy) -> float:
        """Return the drop in accuracy, clean - perturbed; NaN if either could not be measured."""
        return self.clean.value - accuracy.value

    def to_rows(self, confidence: float = 0.95, **labels: Any) -> list[dict[str, Any]]:
        """Return one row per condition, each with the same columns, ready for `csv.DictWriter`.

        Args:
            confidence: Confidence level of the Wilson interval in ``low`` and ``high``.
            **labels: Columns that identify the evaluation, such as ``model="vit", seed=0``; they come first.

        Returns:
            The rows: labels, kind, name, strength, total, correct, accuracy, low, high, drop, masked.
        """
        rows = []
        for accuracy in self.accuracies:
            low, high = accuracy.interval(confidence)
            rows.append(
                {
                    **labels,
                    "kind": accuracy.kind,
                    "name": accuracy.name,
                    "strength": accuracy.strength,
                    "total": accuracy.total,
                    "correct": accuracy.correct,
                    "accuracy": accuracy.value,
                    "low": low,
                    "high": high,
                    "drop": self.drop(accuracy),
                    "masked": accuracy.masked,
                }
            )
        return rows


def evaluate_robustness(
    model: nn.Module | Callable[[Tensor], Any],
    images: Tensor,
    labels: Tensor,
    *,
    corruptions: Sequence[str] = CORRUPTIONS,
    severities: Sequence[int] = SEVERITIES,
    attacks: Mapping[str, Attack] | None = None,
    epsilons: Sequence[float] = (1, 2, 4, 8),
    corrupted: Callable[[str, int], Pixels] | None = None,
    batch_size: int = 256,
    seed: int = 0,
    progress: Progress = lambda accuracy, done, total: None,
    logits_fn: LogitsFn | None = None,
) -> RobustnessReport:
    """Measure the accuracy of a classifier on clean images, under corruptions and under attacks.

    The model is borrowed: it runs in evaluation mode and comes back exactly as it was, gradients and random generators
    included. The same arguments give the same report. If the model returns a logit that is not finite, the accuracy
    under that condition is NaN, with a warning.

    An attack by gradients cannot move an image whose gradient is exactly zero, as behind rounded pixels or a saturated
    softmax: that it stays right is no robustness. Such images are counted, warned of once, and attacked by `square`,
    which needs no gradient.

    Args:
        model: A module or function from pixels in [0, 1], before normalisation, to logits, see `predictor`. A module
            must normalise its input itself, as the models of this package do.
        images: Pixels in [0, 1], shape ``(n, 3, H, W)`` or ``(n, 1, H, W)``, floating point. Corruptions round them to
            256 levels.
        labels: True classes, shape ``(n,)``, whole numbers.
        corruptions: Names from `CORRUPTIONS`; empty for none.
        severities: Whole numbers from 1 to 5.
        attacks: Attacks by name, called as ``attack(predict, images, labels, epsilon)``. `ATTACKS` (FGSM, and PGD with
            10 steps) by default, empty for none. Set options with `functools.partial`, such as
            ``{"pgd-50": partial(pgd, steps=50, restarts=5)}``.
        epsilons: Radii of the attacks in 255ths of the pixel range.
        corrupted: Source of the corrupted images, called as ``corrupted(name, severity)``; returns uint8 images of
            shape ``(n, H, W, C)`` in the order of ``labels``. Use ``lambda *key: read_cifar10_c(folder, *key)[0]`` for
            the official files. By default, `corrupt` creates them from ``images``.
        batch_size: Number of images per forward pass.
        seed: Seed of the corruptions and of the model's own random numbers; attacks have their own.
        progress: Called after each condition with its accuracy, the number of conditions done and the total.
        logits_fn: Called with what the model returns; returns the logits. By default they are found, see `predictor`.

    Returns:
        The accuracies.

    Raises:
        ValueError: If an argument is invalid, or the output of the model does not show which are its logits.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10))
        >>> images, labels = torch.rand(8, 3, 32, 32), torch.arange(8)
        >>> report = evaluate_robustness(model, images, labels, corruptions=["fog"], severities=[1, 5], epsilons=[8])
        >>> [(accuracy.name, accuracy.strength) for accuracy in report.accuracies]
        [('clean', 0), ('fog', 1), ('fog', 5), ('fgsm', 8), ('pgd', 8)]
    """
    _check_images(images, labels, batch_size)
    _check_epsilons(epsilons)
    if corrupted is None:
        _check_corruptions(corruptions, severities)
    source = corrupted or (lambda name, severity: corrupt(levels(images), name, severity, seed=seed))
    attacks = ATTACKS if attacks is None else attacks
    weight = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    images, labels = images.detach(), labels.detach().long()
    data = _Data(images, labels, images.device if weight is None else weight.device, batch_size)
    total = 1 + len(corruptions) * len(severities) + len(attacks) * len(epsilons)
    accuracies: list[Accuracy] = []

    def add(kind: Kind, name: str, strength: float, batches: Iterator[Tensor]) -> None:
        masks.count = 0
        correct = _correct(predict, batches, data, f"{name} at strength {strength:g}")
        accuracies.append(Accuracy(kind, name, strength, correct, len(labels), masks.count))
        progress(accuracies[-1], len(accuracies), total)

    masks = _Masks()
    with predictor(model, seed, logits_fn=logits_fn, labels=labels) as predict:
        add("clean", "clean", 0, data.clean())
        for name, severity in product(corruptions, severities):
            add("corruption", name, severity, data.corrupted(source, name, severity))
        for (name, attack), epsilon in product(attacks.items(), epsilons):
            add("attack", name, epsilon, data.attacked(attack, predict, epsilon, masks))
    _warn_of_masked(accuracies)
    return RobustnessReport(tuple(accuracies))


class _Masks:
    """The images without a gradient: found once per batch, counted under every attack."""

    def __init__(self) -> None:
        self.count = 0
        self._found: dict[int, Tensor] = {}

    def attacked(
        self, attack: Attack, predict: Predict, images: Tensor, labels: Tensor, epsilon: float, batch: int
    ) -> Tensor:
        """Attack a batch; see `attacked_beyond_masking`."""
        if batch not in self._found:
            self._found[batch] = masked_gradients(predict, images, labels)
        attacked, count = attacked_beyond_masking(attack, predict, images, labels, epsilon, self._found[batch])
        self.count += count
        return attacked


@dataclass(frozen=True)
class _Data:
    """Images and labels, served in batches on the model's device."""

    images: Tensor
    labels: Tensor
    device: torch.device
    batch_size: int

    def batches(self) -> Iterator[slice]:
        """Yield the slice of each batch."""
        for first in range(0, len(self.labels), self.batch_size):
            yield slice(first, first + self.batch_size)

    def clean(self) -> Iterator[Tensor]:
        """Yield the clean images."""
        for batch in self.batches():
            yield self.images[batch].to(self.device, torch.float32)

    def targets(self) -> Iterator[Tensor]:
        """Yield the labels."""
        for batch in self.batches():
            yield self.labels[batch].to(self.device)

    def corrupted(self, source: Callable[[str, int], Pixels], name: str, severity: int) -> Iterator[Tensor]:
        """Yield the images under one corruption and severity."""
        images = source(name, severity)
        if len(images) != len(self.labels):
            raise ValueError(
                f"Argument `corrupted` must return one image for each of {len(self.labels)} labels, "
                f"got {len(images)} for {name} at severity {severity}."
            )
        for batch in self.batches():
            yield unit_tensor(images[batch]).to(self.device)

    def attacked(self, attack: Attack, predict: Predict, epsilon: float, masks: _Masks) -> Iterator[Tensor]:
        """Yield the images under one attack, epsilon in 255ths."""
        for batch, (images, labels) in enumerate(zip(self.clean(), self.targets(), strict=True)):
            yield masks.attacked(attack, predict, images, labels, epsilon / 255, batch)


def _correct(predict: Predict, batches: Iterator[Tensor], data: _Data, condition: str) -> int | None:
    """Count the images classified correctly; None with a warning if a logit is not finite."""
    correct = 0
    try:
        for images, labels in zip(batches, data.targets(), strict=True):
            predictions = finite(predict(images)).argmax(1)
            correct += int((predictions == labels.to(predictions.device)).sum())
    except FloatingPointError:
        warnings.warn(f"The accuracy under {condition} is NaN: the model's logits are not finite.", stacklevel=4)
        return None
    return correct


def _warn_of_masked(accuracies: Sequence[Accuracy]) -> None:
    most = max(accuracies, key=lambda accuracy: accuracy.masked)
    if most.masked:
        warnings.warn(
            f"The gradient of {most.masked} of {most.total} images is exactly zero under {most.name} at strength "
            f"{most.strength:g}: attacks by gradients cannot see how to move them, and their accuracy is that under "
            "the black-box attack `square`, an upper bound. Look for rounded or detached pixels, or return logits "
            "instead of probabilities.",
            stacklevel=3,
        )


def _check_images(images: Tensor, labels: Tensor, batch_size: int) -> None:
    if not images.is_floating_point() or not len(images) or not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            "Argument `images` must hold floating-point pixels in [0, 1] of at least one image, before normalisation, "
            f"got {images.dtype} of shape {tuple(images.shape)}"
            + (f" from {images.min():g} to {images.max():g}." if images.numel() else ".")
        )
    check_labels(labels, images)
    require_whole_number("batch_size", batch_size, 1)


def _check_epsilons(epsilons: Sequence[float]) -> None:
    if not all(0 <= epsilon <= 255 for epsilon in epsilons):
        raise ValueError(f"Argument `epsilons` must hold 255ths of the pixel range, 0 to 255, got {list(epsilons)}.")


def _check_corruptions(corruptions: Sequence[str], severities: Sequence[int]) -> None:
    unknown = [name for name in corruptions if name not in CORRUPTIONS]
    if unknown:
        raise ValueError(f"Argument `corruptions` must hold names from {CORRUPTIONS}, got {unknown}.")
    if not set(severities) <= set(SEVERITIES):
        raise ValueError(f"Argument `severities` must hold whole numbers from 1 to 5, got {list(severities)}.")
