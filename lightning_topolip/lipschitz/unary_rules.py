"""The Lipschitz constants of torch functions of one tensor: one rule per function, looked up by its name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_topolip.lipschitz.bound_arithmetic import largest, product
from lightning_topolip.lipschitz.convolution import convolution_norm, transposed_convolution_norm
from lightning_topolip.lipschitz.spectral_norm import in_float64, largest_entry, spectral_norm
from lightning_topolip.lipschitz.validity_region import Region

Rule = Callable[..., float]

# Attributes and checks of a tensor that do not read its values.
METADATA = frozenset(
    (
        *("shape", "ndim", "dim", "size", "numel", "nelement", "stride", "__len__", "dtype", "device", "get_device"),
        *("layout", "requires_grad", "is_leaf", "is_nested", "is_sparse", "is_quantized", "is_contiguous"),
        *("is_complex", "is_floating_point", "is_cuda", "is_cpu", "is_mps", "is_meta", "_assert"),
    )
)

# Linear maps without negative coefficients, bounded by `nonnegative_norm`.
NONNEGATIVE = frozenset(
    (
        *("mean", "sum", "expand", "expand_as", "repeat", "repeat_interleave", "broadcast_to", "pad", "interpolate"),
        *("index_select", "__getitem__", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
        *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
    )
)

# Rearrangements and selections of entries, and elementwise functions whose slope is at most 1.
_NONEXPANSIVE = (
    *("reshape", "view_as", "flatten", "unflatten", "permute", "transpose", "swapaxes", "movedim", "squeeze"),
    *("unsqueeze", "T", "mT", "t", "chunk", "split", "unbind", "select", "narrow", "flip", "roll", "tril", "triu"),
    *("pixel_shuffle", "pixel_unshuffle", "contiguous", "clone", "detach", "amax", "amin"),
    *("to", "type", "type_as", "float", "double", "half", "bfloat16", "cpu", "cuda"),
    *("relu", "relu6", "hardtanh", "softplus", "logsigmoid", "log_sigmoid", "softsign", "celu", "tanh", "sin", "cos"),
    *("abs", "neg"),
)
_REPLACING = ("masked_fill", "clamp", "clamp_min", "clamp_max")
_CONSTANT = ("zeros_like", "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_full", "new_empty")
_DROPOUT = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")

# The largest slope of elementwise functions: the closed form, or rounded up from a fine grid.
_SLOPES = {
    "sigmoid": 0.25,
    "hardsigmoid": 0.1666667,
    "silu": 1.09984,
    "mish": 1.08850,
    "hardswish": 1.5,
    "selu": 1.7580993408473769,
}
_GELU_SLOPES = {"none": (1 + math.erf(1)) / 2 + math.exp(-1) / math.sqrt(math.pi), "tanh": 1.12900}
_SOFTMAX_SLOPE = 0.5  # the variance of any vector u under any weights is at most |u|^2 / 2


def _layer_norm(
    region: Region, x: Tensor, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> float:
    return _standardisation(region, x.flatten(-len(normalized_shape)), weight, eps)


def _group_norm(
    region: Region, x: Tensor, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> float:
    return _standardisation(region, x.reshape(len(x), num_groups, -1), weight, eps)


def _standardisation(region: Region, groups: Tensor, weight: Tensor | None, eps: float) -> float:
    """The Jacobian is ``diag(weight) (I - mean - u u^T) / sqrt(variance + eps)`` with ``|u| <= 1``."""
    return _gain(region.least(in_float64(groups).var(dim=-1, correction=0)) + eps, weight)


def _rms_norm(
    region: Region, x: Tensor, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None
) -> float:
    squares = in_float64(x.flatten(-len(normalized_shape))).square().mean(dim=-1)
    return _gain(region.least(squares) + (torch.finfo(x.dtype).eps if eps is None else eps), weight)


def _gain(variance: float, weight: Tensor | None) -> float:
    scale = largest_entry(weight)
    return product(scale, math.inf) if variance == 0 else scale / math.sqrt(variance)


def _batch_norm(
    region: Region,
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> float:
    if training or running_var is None:
        raise NotImplementedError("batch normalisation without running statistics mixes the samples")
    gains = (in_float64(running_var) + eps).rsqrt()
    return largest_entry(gains if weight is None else gains * in_float64(weight))


def _instance_norm(
    region: Region,
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> float:
    if use_input_stats:
        return _group_norm(region, x, x.shape[1], weight, bias, eps)
    return _batch_norm(region, x, running_mean, running_var, weight, bias, False, momentum, eps)


def _linear(region: Region, x: Tensor, weight: Tensor, bias: Any = None) -> float:
    return spectral_norm(weight)


def _convolution(
    region: Region,
    x: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> float:
    positions = x.shape[2 - weight.ndim :]
    return convolution_norm(weight, positions, stride=stride, padding=padding, dilation=dilation, groups=groups)


def _transposed_convolution(
    region: Region,
    x: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> float:
    positions = x.shape[2 - weight.ndim :]
    options = {"stride": stride, "padding": padding, "output_padding": output_padding, "dilation": dilation}
    return transposed_convolution_norm(weight, positions, groups=groups, **options)


def _max_pool(dimensions: int) -> Rule:
    """The root of the number of windows that contain an entry, since each maximum follows one entry."""

    def rule(
        region: Region,
        x: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        *_: Any,
        **__: Any,
    ) -> float:
        sizes, strides, dilations = (
            [value] * dimensions if isinstance(value, int) else value
            for value in (kernel_size, stride or kernel_size, dilation)
        )
        windows = [math.ceil(k * math.gcd(s, d) / s) for k, s, d in zip(sizes, strides, dilations, strict=True)]
        return math.sqrt(math.prod(windows))

    return rule


def _adaptive_max_pool(dimensions: int) -> Rule:
    """Neighbouring windows share at most one position per dimension, and none if they divide it evenly."""

    def rule(region: Region, x: Tensor, output_size: Any, *_: Any, **__: Any) -> float:
        inputs = x.shape[-dimensions:]
        sizes = [output_size] * dimensions if isinstance(output_size, int) else output_size
        outputs = [before if after is None else after for before, after in zip(inputs, sizes, strict=True)]
        if any(after > before for before, after in zip(inputs, outputs, strict=True)):
            raise NotImplementedError("it has more outputs than inputs")
        return math.sqrt(math.prod(2 if n % m else 1 for n, m in zip(inputs, outputs, strict=True)))

    return rule


def _dropout(region: Region, x: Tensor, p: float = 0.5, training: bool = True, *_: Any, **__: Any) -> float:
    if training and p > 0:
        raise NotImplementedError("it draws random numbers in training mode")
    return 1.0


def _gelu(region: Region, x: Tensor, approximate: str = "none") -> float:
    return _GELU_SLOPES[approximate]


def _leaky_relu(region: Region, x: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> float:
    return largest((1.0, abs(negative_slope)))


def _prelu(region: Region, x: Tensor, weight: Tensor) -> float:
    return largest((1.0, largest_entry(weight)))


def _elu(region: Region, x: Tensor, alpha: float = 1.0, inplace: bool = False) -> float:
    return largest((1.0, abs(alpha)))


def _replacing(region: Region, x: Tensor, *args: Any, **kwargs: Any) -> float:
    """Each entry is kept or replaced by a constant; masks and limits of a larger shape repeat the entries."""
    shapes = [operand.shape for operand in (*args, *kwargs.values()) if isinstance(operand, Tensor)]
    shape = torch.broadcast_shapes(x.shape, *shapes)  # type: ignore[no-untyped-call]
    return math.sqrt(math.prod(shape) / x.numel())


def _view(region: Region, x: Tensor, *args: Any, **kwargs: Any) -> float:
    if any(isinstance(option, torch.dtype) for option in (*args, *kwargs.values())):
        raise NotImplementedError("it reinterprets the bits as another type")
    return 1.0


def _fixed(slope: float) -> Rule:
    return lambda region, x, *_, **__: slope


# By function name, its Lipschitz constant: called as ``rule(region, *args, **kwargs)``.
UNARY_RULES: dict[str, Rule] = {
    **{name: _fixed(1.0) for name in _NONEXPANSIVE},
    **{name: _fixed(slope) for name, slope in _SLOPES.items()},
    **{name: _fixed(0.0) for name in _CONSTANT},
    **{name: _replacing for name in _REPLACING},
    "view": _view,
    "softmax": _fixed(_SOFTMAX_SLOPE),
    "gelu": _gelu,
    "leaky_relu": _leaky_relu,
    "prelu": _prelu,
    "elu": _elu,
    **{name: _dropout for name in _DROPOUT},
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "batch_norm": _batch_norm,
    "rms_norm": _rms_norm,
    "linear": _linear,
    **{f"conv{d}d": _convolution for d in (1, 2, 3)},
    **{f"conv_transpose{d}d": _transposed_convolution for d in (1, 2, 3)},
    **{f"max_pool{d}d": _max_pool(d) for d in (1, 2, 3)},
    **{f"adaptive_max_pool{d}d": _adaptive_max_pool(d) for d in (1, 2, 3)},
}
