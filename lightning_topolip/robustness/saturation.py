"""The logits behind a softmax or sigmoid, whose own gradient vanishes where the model is certain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_SOFTMAX = ("softmax", "log_softmax", "special_softmax", "special_log_softmax")
_SIGMOID = ("sigmoid", "sigmoid_", "special_expit", "expit")
_HALF = (torch.float16, torch.bfloat16)


class _Call(NamedTuple):
    """A softmax or sigmoid and its operand."""

    sums_to_one: bool
    operand: Tensor

    def explains(self, output: Tensor) -> bool:
        """Whether probabilities, or their logarithms, are those of the operand."""
        if self.operand.shape != output.shape:
            return False
        operand = self.operand.detach().float()
        own = operand.softmax(1) if self.sums_to_one else operand.sigmoid()
        probabilities = output.detach().float()
        return any(torch.allclose(own, other, rtol=0, atol=1e-2) for other in (probabilities, probabilities.exp()))


class _Recording(TorchFunctionMode):
    """Keeps the operands of every softmax and sigmoid of one row per sample."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[_Call] = []

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        operand = args[0] if args else kwargs.get("input")
        if name in (*_SOFTMAX, *_SIGMOID) and isinstance(operand, Tensor) and operand.ndim == 2:
            in_place = name.endswith("_")
            self.calls.append(_Call(name in _SOFTMAX, operand.clone() if in_place else operand))
        return function(*args, **kwargs)


def unsaturated(run: Callable[[], Tensor]) -> Tensor:
    """Return the logits of a forward pass, also if it ends in a softmax, log-softmax or sigmoid.

    Where the output lies in [0, 1], or is the logarithm of probabilities, the pass is repeated and every softmax and
    sigmoid is watched; the operand of the last one that explains the output takes its place. Probabilities without one,
    such as those of a compiled module, become their logarithms. Any other output is returned unchanged.

    Args:
        run: The forward pass; returns logits or probabilities, shape ``(n, K)``.

    Example:
        >>> weight = torch.tensor([[30.0, 0.0], [0.0, 30.0]])
        >>> unsaturated(lambda: (torch.eye(2) @ weight).softmax(1))
        tensor([[30.,  0.],
                [ 0., 30.]])
    """
    output = run()
    if not (_in_unit_interval(output) or _sums_to_one(output.detach().double().exp(), output.dtype)):
        return output
    recording = _Recording()
    with recording:
        output = run()
    for call in reversed(recording.calls):
        if call.explains(output):
            return call.operand
    if _in_unit_interval(output) and _sums_to_one(output.detach().double(), output.dtype):
        return torch.log(output.clamp_min(torch.finfo(output.dtype).tiny))
    return output


def _in_unit_interval(output: Tensor) -> bool:
    return bool(output.numel() and output.min() >= 0 and output.max() <= 1)


def _sums_to_one(probabilities: Tensor, precision: torch.dtype) -> bool:
    tolerance = 2e-2 if precision in _HALF else 1e-4
    return bool(probabilities.numel() and ((probabilities.sum(1) - 1).abs() <= tolerance).all())
