"""The Lipschitz constant of every tensor in a forward pass, propagated from one torch function to the next."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from lightning_topolip.lipschitz.bound_arithmetic import product
from lightning_topolip.lipschitz.combination_rules import COMBINATION_RULES
from lightning_topolip.lipschitz.spectral_norm import nonnegative_norm
from lightning_topolip.lipschitz.unary_rules import METADATA, NONNEGATIVE, UNARY_RULES
from lightning_topolip.lipschitz.validity_region import Region


class Propagation(TorchFunctionMode):
    """Intercepts every torch function of a forward pass and records the Lipschitz constant of its result."""

    def __init__(self, region: Region) -> None:
        super().__init__()
        self._region = region
        self._records: Any = WeakTensorKeyDictionary()
        self._leaf = torch.empty(0)

    def start(self, inputs: Tensor) -> Tensor:
        """Copy the probe, so that every tensor that depends on it has a record or leads back to it in the graph."""
        self._leaf = inputs.detach().clone().requires_grad_()
        start = self._leaf.clone()
        self.record(start, 1.0)
        return start

    def record(self, tensor: Tensor, constant: float) -> None:
        """Store the constant of a tensor, with its version to detect later changes in place."""
        self._records[tensor] = (constant, tensor._version)

    def constant_of(self, value: Any) -> float:
        """The constant with which a value depends on the probe; 0 if it does not."""
        if not isinstance(value, Tensor):
            return 0.0
        if value not in self._records:
            if value.is_inference() or self._has_probe_in_graph(value):
                raise NotImplementedError(
                    "an operand depends on the input through code that torch functions do not expose, such as "
                    "TorchScript or vmap"
                )
            return 0.0
        constant, version = self._records[value]
        if version != value._version:
            raise NotImplementedError("an operand was changed in place through another view of it")
        return float(constant)

    def _has_probe_in_graph(self, value: Tensor) -> bool:
        """Whether the autograd graph of a tensor without a record leads back to the probe."""
        pending, visited = [value.grad_fn], set()
        while pending:
            node = pending.pop()
            if node is None or node in visited:
                continue
            if getattr(node, "variable", None) is self._leaf:
                return True
            visited.add(node)
            pending += [parent for parent, _ in node.next_functions]
        return False

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = _name(function)
        if name == "_set_grad_enabled" and not any(args):
            return None  # the graph must continue through `torch.no_grad`
        operands = [*_tensors((args, kwargs))]
        if any(tensor.is_nested for tensor in operands):
            raise refusal(name, "it uses a nested tensor, which does not reveal the tensors it was made from")
        if not any(tensor in self._records for tensor in operands):
            with torch.set_grad_enabled(torch.is_grad_enabled() and not _writes_weights(name, operands)):
                return function(*args, **kwargs)
        if name in METADATA:
            return function(*args, **kwargs)
        with torch.no_grad():
            constant = self._constant(name, function, args, kwargs)
        result = args[0].view_as(args[0]) if name == "detach" else function(*args, **kwargs)
        constants = constant if isinstance(constant, tuple) else itertools.repeat(constant)
        for tensor, value in zip(_tensors(result), constants, strict=False):
            if not tensor.is_floating_point():
                raise refusal(name, f"its result is {tensor.dtype}")
            if tensor.is_inference():
                raise refusal(name, "it runs in inference mode")
            self.record(tensor, value)
        return result

    def _constant(self, name: str, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The constant of a function's result, or a tuple of one per result."""
        in_place = _in_place(name)
        kind = name[:-1] if in_place else name
        if not args and "input" in kwargs:
            args, kwargs = (kwargs["input"],), {key: value for key, value in kwargs.items() if key != "input"}
        try:
            if in_place and args[0] not in self._records:
                raise NotImplementedError("it writes into a tensor that did not depend on the input before")
            if kind in COMBINATION_RULES:
                return COMBINATION_RULES[kind](self._region, self.constant_of, *args, **kwargs)
            if any(tensor in self._records for tensor in _tensors((args[1:], kwargs))):
                raise NotImplementedError("an operand other than the first depends on the input")
            constant = self.constant_of(args[0])
            if kind in NONNEGATIVE:
                if any(isinstance(option, str) and option == "bicubic" for option in (*args, *kwargs.values())):
                    raise NotImplementedError("a bicubic interpolation has negative coefficients")
                norm = nonnegative_norm(lambda x: function(x, *args[1:], **kwargs), args[0].shape, args[0].device)
                return product(constant, norm)
            if kind in UNARY_RULES:
                return product(constant, UNARY_RULES[kind](self._region, *args, **kwargs))
            raise NotImplementedError("it has no rule")
        except (NotImplementedError, TypeError, IndexError, ZeroDivisionError) as reason:
            raise refusal(name, str(reason)) from None


def refusal(name: str, reason: str) -> NotImplementedError:
    """The error for a function that has no bound."""
    return NotImplementedError(
        f"lipschitz_bound cannot bound `{name}` as it is used here: {reason}; "
        "bound the parts before and after it, see `layer_bounds`."
    )


def _in_place(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__")


def _writes_weights(name: str, operands: list[Tensor]) -> bool:
    """Whether a function changes weights in place, which autograd forbids with gradients on."""
    weights = any(tensor.is_leaf and tensor.requires_grad for tensor in operands)
    return weights and (_in_place(name) or name == "__setitem__")


def _name(function: Any) -> str:
    name: str = getattr(function, "__name__", repr(function))
    return str(function.__self__.__name__) if name == "__get__" else name  # the getter of a property like `T`


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
