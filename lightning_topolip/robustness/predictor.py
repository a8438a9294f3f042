"""A classifier as a function from pixels to logits; the model is borrowed and comes back exactly as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lightning_topolip.network.borrowing import borrowed
from lightning_topolip.network.sample_axis import first_floating_tensor
from lightning_topolip.randomness import kept_random_numbers

Predict = Callable[[Tensor], Tensor]


@contextmanager
def predictor(model: nn.Module | Callable[[Tensor], Any], seed: int = 0) -> Iterator[Predict]:
    """Within the block, provide a model as a function from pixels to logits.

    A module runs in evaluation mode with frozen weights, so that gradients reach only the pixels. After the block, even
    after an error, all modes, buffers, ``requires_grad`` flags, ``.grad`` and global random generators are restored.
    Pixels are moved to the module's device and cast to its precision; logits are returned as float32 (float64 for a
    float64 module). For any other function, only the random generators are restored.

    Args:
        model: Maps pixels in [0, 1], shape ``(n, ...)``, before normalisation, to logits, shape ``(n, K)`` with K >= 2:
            a module that normalises its input itself, or any function.
        seed: Seed of the model's own random numbers.

    Yields:
        The function from pixels to logits.

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

        def predict(images: Tensor) -> Tensor:
            pixels = images if reference is None else images.to(reference.device, reference.dtype)
            return _logits(model(pixels), len(images))

        yield predict


def finite(logits: Tensor) -> Tensor:
    """Return the logits unchanged, or raise a `FloatingPointError` if one is not finite."""
    if not logits.isfinite().all():
        raise FloatingPointError("The model's logits are not finite.")
    return logits


def _logits(output: Any, n: int) -> Tensor:
    logits = first_floating_tensor(output)
    if logits is None or logits.ndim != 2 or len(logits) != n or logits.shape[1] < 2:
        actual = type(output).__name__ if logits is None else f"shape {tuple(logits.shape)}"
        raise ValueError(
            f"Argument `model` must return logits of shape (n, K) with n = {n} and K >= 2 classes, got {actual}."
        )
    return logits if logits.dtype == torch.float64 else logits.float()


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
