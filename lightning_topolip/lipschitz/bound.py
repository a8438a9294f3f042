"""An upper bound on the Lipschitz constant of any composition of known functions, carried along one forward."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from lightning_topolip.lipschitz.combinations import COMBINATIONS
from lightning_topolip.lipschitz.extended import product
from lightning_topolip.lipschitz.region import Region
from lightning_topolip.lipschitz.spectral import nonnegative_norm
from lightning_topolip.lipschitz.stretches import METADATA, NONNEGATIVE, STRETCHES
from lightning_topolip.network.borrowing import first_floating_tensor, observe
from lightning_topolip.randomness import kept_random_numbers

_LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class LipschitzBound:
    """An upper bound on a Lipschitz constant.

    Attributes:
        value: The bound; infinite where a function has none.
        everywhere: Whether it bounds the Lipschitz constant on the whole input space. If not, it bounds the norm of the
            Jacobian at every point at which the quantities that were read off the probe stay within their range there,
            so at every sample of the probe.
    """

    value: float
    everywhere: bool


def lipschitz_bound(
    function: Callable[[Tensor], Any] | nn.Module, inputs: Tensor, *, everywhere: bool = False, seed: int = 0
) -> LipschitzBound:
    """Bound the Lipschitz constant of a module from above.

    The module runs once, and every tensor carries the constant with which it depends on the input: a function
    multiplies it by its own (composition), a sum adds those of its terms (residual connections), a concatenation adds
    their squares. So blocks, branches and whole networks need no rule of their own; linear layers count with their
    operator norm on the real input shape, see `convolution_norm`. Euclidean norms of whole samples throughout.

    Some functions have no useful constant on the whole space. Those hold on the region around the probe in which

    - the standard deviation (for RMS the root mean square) before a layer, group, instance or RMS normalisation is at
      least the smallest on the probe: it stretches by at most ``max |weight| / sqrt(s^2 + eps)``;
    - queries, keys and values of dot-product attention, or the tokens before `MultiheadAttention`, lie in the balls
      that hold the probe's, see `attention_bound`;
    - the factors of a product that both depend on the input are no larger than on the probe.

    The bound is a product over layers, so it grows exponentially with depth and says more about a block than about a
    network. Samples must not influence each other.

    Args:
        function: Module or function of one tensor. A module is borrowed as by `observe`.
        inputs: The probe, shape ``(n, ...)``, floating point.
        everywhere: Whether the bound has to hold on the whole space: normalisations count with s = 0, and attention and
            products of varying factors are infinite.
        seed: Seed of what a module draws.

    Returns:
        The bound for the output's first floating-point tensor.

    Raises:
        NotImplementedError: If the forward uses a function without a rule; the message names it.
        ValueError: If ``inputs`` or the output is not a floating-point tensor.

    Example:
        >>> import torch
        >>> block = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Sigmoid())
        >>> _ = block[0].weight.data.copy_(2 * torch.eye(4))
        >>> lipschitz_bound(block, torch.randn(3, 4))
        LipschitzBound(value=0.5, everywhere=True)
        >>> lipschitz_bound(lambda x: x + block(x), torch.randn(3, 4)).value
        1.5
    """
    if not inputs.is_floating_point():
        raise ValueError(f"Argument `inputs` must be floating point, got {inputs.dtype}; start behind the embedding.")
    region = Region(everywhere)
    propagation = _Propagation(region)
    with ExitStack() as stack:
        if isinstance(function, nn.Module):
            stack.enter_context(observe(function, (), lambda name, output: None, seed))
        else:
            stack.enter_context(kept_random_numbers(seed))
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        start = propagation.start(inputs)
        with propagation:
            output = function(start)
    end = first_floating_tensor(output)
    if end is None:
        raise ValueError(
            "Argument `function` must give a floating-point tensor, "
            f"got {type(output).__name__}; wrap it so that it does."
        )
    try:
        return LipschitzBound(propagation.constant_of(end), everywhere=not region.read)
    except NotImplementedError as reason:
        raise _refusal("the output", str(reason)) from None


def chained(bounds: list[LipschitzBound]) -> LipschitzBound:
    """The bound of a composition: the product of the bounds of its steps."""
    return LipschitzBound(product(*(bound.value for bound in bounds)), all(bound.everywhere for bound in bounds))


def operator_norm(layer: nn.Module, input_shape: Sequence[int]) -> float:
    """Bound the operator norm of a linear layer on its real input shape from above.

    Dense layers and small convolutions are exact, up to the rounding of float64; larger convolutions are bounded by
    their symbol, see `convolution_norm`. With a padding mode other than zeros the norm of the padding multiplies that
    of the convolution without padding.

    Args:
        layer: `Linear`, `Conv1d` to `Conv3d` or `ConvTranspose1d` to `ConvTranspose3d`; its bias does not matter.
        input_shape: Shape of one sample, without the batch: ``(..., in_features)`` or ``(channels, *positions)``.

    Returns:
        A number not below the largest singular value of the layer.

    Raises:
        TypeError: If the layer is of another kind; `lipschitz_bound` knows more.
        ValueError: If the layer does not take the shape.

    Example:
        >>> import math
        >>> import torch
        >>> box = torch.nn.Conv1d(1, 1, 3, padding=1, bias=False)
        >>> _ = box.weight.data.fill_(1.0)
        >>> round(operator_norm(box, (1, 5)), 4), round(1 + 2 * math.cos(math.pi / 6), 4)
        (2.7321, 2.7321)
    """
    if not isinstance(layer, _LINEAR):
        raise TypeError(
            f"Argument `layer` must be a dense or convolution layer, got {type(layer).__name__}; use `lipschitz_bound`."
        )
    try:
        return lipschitz_bound(layer, layer.weight.new_zeros(1, *input_shape)).value
    except RuntimeError as error:
        if isinstance(error, NotImplementedError):
            raise
        raise ValueError(
            f"Argument `input_shape` must be the shape of one sample, without the batch, got {tuple(input_shape)}; "
            f"{type(layer).__name__} says: {error}."
        ) from None


class _Propagation(TorchFunctionMode):
    """Sees every torch function of a forward and gives its result the constant that follows from its operands."""

    def __init__(self, region: Region) -> None:
        super().__init__()
        self._region = region
        self._records: Any = WeakTensorKeyDictionary()
        self._leaf = torch.empty(0)

    def start(self, inputs: Tensor) -> Tensor:
        """Copy the probe, so that all that follows from it is known by its record or by its graph."""
        self._leaf = inputs.detach().clone().requires_grad_()
        start = self._leaf.clone()
        self.record(start, 1.0)
        return start

    def record(self, tensor: Tensor, constant: float) -> None:
        self._records[tensor] = (constant, tensor._version)

    def constant_of(self, value: Any) -> float:
        if not isinstance(value, Tensor):
            return 0.0
        if value not in self._records:
            if value.is_inference() or self._follows_unseen(value):
                raise NotImplementedError(
                    "an operand depends on the input through something that torch functions do not show, such as "
                    "TorchScript or vmap"
                )
            return 0.0
        constant, version = self._records[value]
        if version != value._version:
            raise NotImplementedError("an operand was changed in place through another view of it")
        return float(constant)

    def _follows_unseen(self, value: Tensor) -> bool:
        """Whether a tensor without a record has the probe in its graph."""
        waiting, seen = [value.grad_fn], set()
        while waiting:
            node = waiting.pop()
            if node is None or node in seen:
                continue
            if getattr(node, "variable", None) is self._leaf:
                return True
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
        return False

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = _name(function)
        if name == "_set_grad_enabled" and not any(args):
            return None  # within `torch.no_grad` the graph has to go on
        operands = [*_tensors((args, kwargs))]
        if any(tensor.is_nested for tensor in operands):
            raise _refusal(name, "a nested tensor does not show what it was made of")
        if not any(tensor in self._records for tensor in operands):
            with torch.set_grad_enabled(torch.is_grad_enabled() and not _writes_weights(name, operands)):
                return function(*args, **kwargs)
        if name in METADATA:
            return function(*args, **kwargs)
        with torch.no_grad():
            constant = self._constant(name, function, args, kwargs)
        result = args[0].view_as(args[0]) if name == "detach" else function(*args, **kwargs)
        constants = constant if isinstance(constant, tuple) else itertools.repeat(constant)
        for tensor, own in zip(_tensors(result), constants, strict=False):
            if not tensor.is_floating_point():
                raise _refusal(name, f"its result is {tensor.dtype}")
            if tensor.is_inference():
                raise _refusal(name, "it runs in inference mode")
            self.record(tensor, own)
        return result

    def _constant(self, name: str, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        in_place = _in_place(name)
        kind = name[:-1] if in_place else name
        if not args and "input" in kwargs:
            args, kwargs = (kwargs["input"],), {key: value for key, value in kwargs.items() if key != "input"}
        try:
            if in_place and args[0] not in self._records:
                raise NotImplementedError("it writes into a tensor that did not depend on the input before")
            if kind in COMBINATIONS:
                return COMBINATIONS[kind](self._region, self.constant_of, *args, **kwargs)
            if any(tensor in self._records for tensor in _tensors((args[1:], kwargs))):
                raise NotImplementedError("an operand other than the first depends on the input")
            constant = self.constant_of(args[0])
            if kind in NONNEGATIVE:
                if any(isinstance(option, str) and option == "bicubic" for option in (*args, *kwargs.values())):
                    raise NotImplementedError("a bicubic interpolation has negative coefficients")
                norm = nonnegative_norm(lambda x: function(x, *args[1:], **kwargs), args[0].shape, args[0].device)
                return product(constant, norm)
            if kind in STRETCHES:
                return product(constant, STRETCHES[kind](self._region, *args, **kwargs))
            raise NotImplementedError("it has no rule")
        except (NotImplementedError, TypeError, IndexError, ZeroDivisionError) as reason:
            raise _refusal(name, str(reason)) from None


def _refusal(name: str, reason: str) -> NotImplementedError:
    return NotImplementedError(
        f"lipschitz_bound cannot bound `{name}` as it is used here: {reason}; "
        "bound the parts before and after it, see `layer_bounds`."
    )


def _in_place(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__")


def _writes_weights(name: str, operands: list[Tensor]) -> bool:
    """Whether it may run without gradients alone, as in a model that clips its own weights."""
    weights = any(tensor.is_leaf and tensor.requires_grad for tensor in operands)
    return weights and (_in_place(name) or name == "__setitem__")


def _name(function: Any) -> str:
    name: str = getattr(function, "__name__", repr(function))
    return str(function.__self__.__name__) if name == "__get__" else name  # the getter of a property, such as `T`


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
