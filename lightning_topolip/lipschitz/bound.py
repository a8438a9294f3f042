"""Upper bounds on the Lipschitz constant of modules, computed in one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_topolip.lipschitz.bound_arithmetic import product
from lightning_topolip.lipschitz.propagation import Propagation, refusal
from lightning_topolip.lipschitz.validity_region import Region
from lightning_topolip.network.borrowing import borrowed
from lightning_topolip.network.sample_axis import first_floating_tensor
from lightning_topolip.randomness import kept_random_numbers

_LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class LipschitzBound:
    """An upper bound on a Lipschitz constant.

    Attributes:
        value: The bound; infinite if a function has none.
        everywhere: Whether it bounds the Lipschitz constant on the whole input space. If not, it bounds the norm of the
            Jacobian wherever the quantities read off the probe stay within their range on the probe, so in particular
            at every sample of the probe.
    """

    value: float
    everywhere: bool


def lipschitz_bound(
    function: Callable[[Tensor], Any] | nn.Module, inputs: Tensor, *, everywhere: bool = False, seed: int = 0
) -> LipschitzBound:
    """Bound the Lipschitz constant of a module from above.

    The module runs once, and every tensor carries the Lipschitz constant with which it depends on the input. A function
    multiplies it by its own constant (composition), a sum adds the constants of its terms (residual connections), and a
    concatenation takes the root of the sum of their squares. So blocks, branches and networks need no rules of their
    own. A linear layer contributes its operator norm on the actual input shape, see `convolution_norm`. All norms are
    Euclidean norms of entire samples.

    Some functions have no useful constant on the whole space. Their bounds hold on the region around the probe in which

    - the standard deviation s (for RMS the root mean square) before a layer, group, instance or RMS normalisation is at
      least the smallest on the probe: the normalisation stretches by at most ``max |weight| / sqrt(s^2 + eps)``;
    - the queries, keys and values of dot-product attention, or the tokens before `MultiheadAttention`, lie in the balls
      that contain those of the probe, see `attention_bound`;
    - the factors of a product are no larger than on the probe, if both depend on the input.

    The bound is a product over layers, so it grows exponentially with depth and says more about a block than about a
    network. Samples must not influence each other.

    Args:
        function: Module or function of one tensor. A module is borrowed: it comes back exactly as it was.
        inputs: The probe, shape ``(n, ...)``, floating point.
        everywhere: Whether the bound must hold on the whole space. Normalisations then use s = 0, and the bounds of
            attention and of products of two varying factors are infinite.
        seed: Seed of the module's own random numbers.

    Returns:
        The bound for the first floating-point tensor of the output.

    Raises:
        NotImplementedError: If the forward pass uses a function without a rule; the message names it.
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
        raise ValueError(f"Argument `inputs` must be floating point, got {inputs.dtype}; start after the embedding.")
    region = Region(everywhere)
    propagation = Propagation(region)
    with ExitStack() as stack:
        if isinstance(function, nn.Module):
            stack.enter_context(borrowed(function, seed))
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
            "Argument `function` must return a floating-point tensor, "
            f"got {type(output).__name__}; wrap it in a function that does."
        )
    try:
        return LipschitzBound(propagation.constant_of(end), everywhere=not region.read)
    except NotImplementedError as reason:
        raise refusal("the output", str(reason)) from None


def chained(bounds: list[LipschitzBound]) -> LipschitzBound:
    """The bound of a composition: the product of the bounds of its steps."""
    return LipschitzBound(product(*(bound.value for bound in bounds)), all(bound.everywhere for bound in bounds))


def operator_norm(layer: nn.Module, input_shape: Sequence[int]) -> float:
    """Bound the operator norm of a linear layer on its actual input shape from above.

    The norm of dense layers and small convolutions is exact up to float64 rounding; larger convolutions are bounded by
    their symbol, see `convolution_norm`. If the padding mode is not zeros, the norm of the padding times the norm of
    the convolution without padding is returned.

    Args:
        layer: `Linear`, `Conv1d` to `Conv3d` or `ConvTranspose1d` to `ConvTranspose3d`; its bias has no effect.
        input_shape: Shape of one sample, without the batch: ``(..., in_features)`` or ``(channels, *positions)``.

    Returns:
        A number that is at least the largest singular value of the layer.

    Raises:
        TypeError: If the layer is of another kind; `lipschitz_bound` supports more.
        ValueError: If the layer does not accept the shape.

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
            f"{type(layer).__name__} raised: {error}."
        ) from None
