"""A classifier as a function from pixels to logits; the model is borrowed and comes back exactly as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lightning_topolip.network.borrowing import borrowed
from lightning_topolip.randomness import kept_random_numbers
from lightning_topolip.robustness.logits import Classifier, LogitsFn

Predict = Callable[[Tensor], Tensor]


@contextmanager
def predictor(
    model: nn.Module | Callable[[Tensor], Any],
    seed: int = 0,
    *,
    logits_fn: LogitsFn | None = None,
    labels: Tensor | None = None,
) -> Iterator[Predict]:
    """Within the block, provide a model as a function from pixels to logits.

    A module runs in evaluation mode with frozen weights, so that gradients reach only the pixels. After the block, even
    after an error, all modes, buffers, ``requires_grad`` flags, ``.grad`` and global random generators are restored.
    Pixels are moved to the module's device and cast to its precision; logits are returned as float32 (float64 for a
    float64 module). For any other function, only the random generators are restored.

    Args:
        model: Maps pixels in [0, 1], shape ``(n, ...)``, before normalisation, to logits, shape ``(n, K)`` with K >= 2:
            a module that normalises its input itself, or any function. The logits may be within a tuple, mapping or
            data class, by the name ``logits``, as the only tensor of that shape, or as the one whose K is the model's
            ``num_classes`` or one more than the largest label. Those behind a final softmax, log-softmax or sigmoid are
            taken instead of its probabilities, whose gradient vanishes where the model is certain.
        seed: Seed of the model's own random numbers.
        logits_fn: Called with what the model returns; returns the logits.
        labels: True classes of the images, if known.

    Yields:
        The function from pixels to logits; raises a `ValueError` if the model's output does not show which they are.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 10), torch.nn.Dropout())
        >>> with predictor(model) as predict:
        ...     logits = predict(torch.rand(4, 3, 2, 2))
        >>> logits.shape, logits.requires_grad, model.training
        (torch.Size([4, 10]), False, True)
    """
    with ExitStack() as stack:
        if isinstance(model, nn.Module):
            stack.enter_context(borrowed(model, seed))
            stack.enter_context(_weights_frozen(model))
            reference = next((weight for weight in model.parameters() if weight.is_floating_point()), None)
        else:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
            stack.enter_context(kept_random_numbers(seed))
            reference = None

        classifier = Classifier(model, logits_fn, labels)

        def predict(images: Tensor) -> Tensor:
            return classifier(images if reference is None else images.to(reference.device, reference.dtype))

        yield predict


def finite(logits: Tensor) -> Tensor:
    """Return the logits unchanged, or raise a `FloatingPointError` if one is not finite."""
    if not logits.isfinite().all():
        raise FloatingPointError("The model's logits are not finite.")
    return logits


@contextmanager
def _weights_frozen(model: nn.Module) -> Iterator[None]:
    trainable = [weight for weight in model.parameters() if weight.requires_grad]
    try:
        for weight in trainable:
            weight.requires_grad_(False)
        yield
    finally:
        for weight in trainable:
            weight.requires_grad_(True)
