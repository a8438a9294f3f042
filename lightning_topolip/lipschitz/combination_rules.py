"""The Lipschitz constants of torch functions of several tensors, given those of the operands; looked up by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_topolip.lipschitz.attention import Operand, attention_bound, self_attention_bound
from lightning_topolip.lipschitz.bound_arithmetic import largest, product
from lightning_topolip.lipschitz.spectral_norm import in_float64, largest_entry, spectral_norm
from lightning_topolip.lipschitz.validity_region import Region

ConstantOf = Callable[[Any], float]


def _sum(region: Region, constant_of: ConstantOf, first: Any, other: Any, *, alpha: float = 1) -> float:
    return _copied(constant_of, first, other) + product(abs(alpha), _copied(constant_of, other, first))


def _reversed_difference(region: Region, constant_of: ConstantOf, first: Any, other: Any, *, alpha: float = 1) -> float:
    return _sum(region, constant_of, other, first, alpha=alpha)


def _product(region: Region, constant_of: ConstantOf, first: Any, other: Any) -> float:
    """``d(ab) = b da + a db``; a factor that depends on the input is bounded by its largest entry on the probe."""
    terms = ((first, other), (other, first))
    return sum(
        product(_copied(constant_of, a, b), _size(region, constant_of, b, largest_entry))
        for a, b in terms
        if constant_of(a)
    )


def _quotient(
    region: Region, constant_of: ConstantOf, first: Any, other: Any, *, rounding_mode: str | None = None
) -> float:
    if constant_of(other) or rounding_mode:
        raise NotImplementedError("the divisor depends on the input, or the quotient is rounded")
    return _product(region, constant_of, first, 1 / other)


def _matrix_product(region: Region, constant_of: ConstantOf, first: Tensor, other: Tensor) -> float:
    """``d(AB) = dA B + A dB``; a factor that depends on the input is bounded by its spectral norm on the probe."""
    batch = _broadcast(first.shape[:-2], other.shape[:-2])
    if min(first.ndim, other.ndim) < 2 or any(
        constant_of(matrix) and matrix.shape[:-2] != batch for matrix in (first, other)
    ):
        raise NotImplementedError("an operand is a vector, or a matrix that is multiplied with several others")
    terms = ((first, other), (other, first))
    return sum(
        product(constant_of(a), _size(region, constant_of, b, spectral_norm)) for a, b in terms if constant_of(a)
    )


def _concatenation(region: Region, constant_of: ConstantOf, tensors: Sequence[Tensor], *_: Any, **__: Any) -> float:
    return math.hypot(*map(constant_of, tensors))


def _choice(
    region: Region, constant_of: ConstantOf, *operands: Any, condition: Any = None, input: Any = None, other: Any = None
) -> float:
    """Each entry of the result is an entry of one operand, and no entry is used twice."""
    arguments = (*operands, condition, input, other)
    return math.hypot(*[_copied(constant_of, operand, *arguments) for operand in arguments])


def _attention(
    region: Region,
    constant_of: ConstantOf,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> float:
    """`attention_bound` with the balls that contain the queries, keys and values of every head on the probe."""
    if enable_gqa or dropout_p > 0 or constant_of(attn_mask):
        raise NotImplementedError("it uses grouped queries, dropout or a mask that depends on the input")
    operands = (query, key, value)
    mask = () if attn_mask is None else attn_mask.shape[:-2]
    batch = _broadcast(mask, *(operand.shape[:-2] for operand in operands))
    if any(constant_of(operand) and operand.shape[:-2] != batch for operand in operands):
        raise NotImplementedError("one query, key or value is used for several heads")
    return attention_bound(
        Operand(_radius_of_heads(region, query, centred=False), constant_of(query)),
        Operand(_radius_of_heads(region, key, centred=True), constant_of(key)),
        Operand(_radius_of_heads(region, value, centred=True), constant_of(value)),
        queries=query.shape[-2],
        scale=1 / math.sqrt(query.shape[-1]) if scale is None else abs(scale),
    )


def _multi_head_attention(
    region: Region,
    constant_of: ConstantOf,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None = None,
    training: bool = True,
    *masks: Any,
    **options: Any,
) -> tuple[float, float]:
    """`self_attention_bound` with the ball around 0 that contains the probe's tokens; infinity for the weights."""
    if not (query is key is value) or in_proj_weight is None or bias_k is not None or add_zero_attn:
        raise NotImplementedError("query, key and value are not the same tensor, or a token is added")
    if any(map(constant_of, (*masks, *options.values()))):
        raise NotImplementedError("it uses a mask that depends on the input")
    if training and dropout_p > 0:
        raise NotImplementedError("it draws random numbers in training mode")
    query_weight, key_weight, value_weight = in_proj_weight.chunk(3)
    bound = self_attention_bound(
        query_weight,
        key_weight,
        value_weight,
        out_proj_weight,
        tokens=len(query),
        radius=_radius(region, query, centred=False),
        heads=num_heads,
        query_offset=None if in_proj_bias is None else in_proj_bias.chunk(3)[0],
    )
    return product(constant_of(query), bound), math.inf


# By function name, the constant of its result: called as ``rule(region, constant_of, *args, **kwargs)``.
COMBINATION_RULES: dict[str, Callable[..., Any]] = {
    **{name: _sum for name in ("add", "sub", "subtract", "__add__", "__radd__", "__sub__", "__rsub__")},
    "rsub": _reversed_difference,
    **{name: _product for name in ("mul", "multiply", "__mul__", "__rmul__")},
    **{name: _quotient for name in ("div", "divide", "true_divide", "__truediv__")},
    **{name: _matrix_product for name in ("matmul", "bmm", "mm", "__matmul__")},
    **{name: _concatenation for name in ("cat", "concat", "concatenate", "stack", "hstack", "vstack")},
    **{name: _choice for name in ("where", "maximum", "minimum")},
    "scaled_dot_product_attention": _attention,
    "multi_head_attention_forward": _multi_head_attention,
}


def _size(region: Region, constant_of: ConstantOf, factor: Any, norm: Callable[[Any], float]) -> float:
    """The norm of a factor: the largest on the region if the factor depends on the input."""
    return region.largest(torch.tensor(norm(factor), dtype=torch.float64)) if constant_of(factor) else norm(factor)


def _copied(constant_of: ConstantOf, operand: Any, *others: Any) -> float:
    """The constant of an operand after broadcasting, which repeats every entry equally often."""
    if not constant_of(operand):
        return 0.0
    shape = _broadcast(operand.shape, *(other.shape for other in others if isinstance(other, Tensor)))
    return float(constant_of(operand) * math.sqrt(math.prod(shape) / operand.numel()))


def _broadcast(*shapes: Sequence[int]) -> tuple[int, ...]:
    return tuple(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]


def _radius_of_heads(region: Region, points: Tensor, *, centred: bool) -> float:
    """The largest radius over the heads, each with its own ball: points of shape (batch, heads, tokens, width)."""
    heads = points.unbind(-3) if points.ndim > 3 else (points,)
    return largest(_radius(region, head, centred=centred) for head in heads)


def _radius(region: Region, points: Tensor, *, centred: bool) -> float:
    """The radius of a ball that contains the points: around 0, or around 0 or their mean if ``centred``."""
    exact = in_float64(points).flatten(0, -2)
    norms = torch.linalg.vector_norm(exact, dim=-1).max()
    if centred:
        norms = torch.minimum(norms, torch.linalg.vector_norm(exact - exact.mean(dim=0), dim=-1).max())
    return region.largest(norms)
