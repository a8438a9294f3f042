"""A classifier as a function from pixels to logits, borrowed and given back exactly as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lightning_topolip.network.borrowing import borrowed
from lightning_topolip.network.representations import first_floating_tensor
from lightning_topolip.randomness import kept_random_numbers

Predict = Callable[[Tensor], Tensor]


@contextmanager
def predictor(model: nn.Module | Callable[[Tensor], Any], seed: int = 0) -> Iterator[Predict]:
    """Within the block, call a model with pixels and get its logits.

    A module runs in evaluation mode and with its weights frozen, so that gradients reach the pixels alone. After the
    block, also after an error, modes, buffers, every ``requires_grad`` and ``.grad`` and all global random generators
    are what they were. Pixels are moved to the module's device and cast to its precision, logits come back as float32
    (float64 from a float64 module). Of another function only the random generators are put back.

    Args:
        model: Takes pixels in [0, 1], shape ``(n, ...)``, before normalisation, and gives logits, shape ``(n, K)``
            with K >= 2: a module that normalises by itself, or any function.
        seed: Seed of what the model itself draws.

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
            like = next((weight for weight in model.parameters() if weight.is_floating_point()), None)
        else:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
            stack.enter_context(kept_random_numbers(seed))
            like = None

        def predict(images: Tensor) -> Tensor:
            return _logits(model(images if like is None else images.to(like.device, like.dtype)), len(images))

        yield predict


def finite(logits: Tensor) -> Tensor:
    """Give logits back as they are, if they are numbers.

    Args:
        logits: Any shape.

    Returns:
        The same tensor.

    Raises:
        FloatingPointError: If one is NaN or infinite.
    """
    if not logits.isfinite().all():
        raise FloatingPointError("The model gave logits that are not finite.")
    return logits


def _logits(output: Any, n: int) -> Tensor:
    logits = first_floating_tensor(output)
    if logits is None or logits.ndim != 2 or len(logits) != n or logits.shape[1] < 2:
        found = type(output).__name__ if logits is None else f"shape {tuple(logits.shape)}"
        raise ValueError(
            f"Argument `model` must give logits of shape (n, K) with K >= 2 classes, here n = {n}, got {found}."
        )
    return logits if logits.dtype == torch.float64 else logits.float()


@contextmanager
def _weights_frozen(model: nn.Module) -> Iterator[None]:
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    try:
        for weight in trained:
            weight.requires_grad_(False)
        yield
    finally:
        for weight in trained:
            weight.requires_grad_(True)
