"""The Lipschitz constant of a torch function of several tensors, from those of its operands: found by its name."""

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

Constant = Callable[[Any], float]


def _sum(region: Region, of: Constant, first: Any, other: Any, *, alpha: float = 1) -> float:
    return _copied(of, first, other) + product(abs(alpha), _copied(of, other, first))


def _reversed_difference(region: Region, of: Constant, first: Any, other: Any, *, alpha: float = 1) -> float:
    return _sum(region, of, other, first, alpha=alpha)


def _product(region: Region, of: Constant, first: Any, other: Any) -> float:
    """``d(ab) = b da + a db``; a factor that varies is bounded by its largest entry on the probe."""
    terms = ((first, other), (other, first))
    return sum(product(_copied(of, one, two), _extent(region, of, two, largest_entry)) for one, two in terms if of(one))


def _quotient(region: Region, of: Constant, first: Any, other: Any, *, rounding_mode: str | None = None) -> float:
    if of(other) or rounding_mode:
        raise NotImplementedError("the divisor depends on the input, or the quotient is rounded")
    return _product(region, of, first, 1 / other)


def _matrix_product(region: Region, of: Constant, first: Tensor, other: Tensor) -> float:
    """``d(AB) = dA B + A dB``; a factor that varies is bounded by its largest spectral norm on the probe."""
    batch = _broadcast(first.shape[:-2], other.shape[:-2])
    if min(first.ndim, other.ndim) < 2 or any(of(one) and one.shape[:-2] != batch for one in (first, other)):
        raise NotImplementedError("a vector, or a matrix that is used for several others")
    terms = ((first, other), (other, first))
    return sum(product(of(one), _extent(region, of, two, spectral_norm)) for one, two in terms if of(one))


def _side_by_side(region: Region, of: Constant, tensors: Sequence[Tensor], *_: Any, **__: Any) -> float:
    return math.hypot(*map(of, tensors))


def _choice(
    region: Region, of: Constant, *operands: Any, condition: Any = None, input: Any = None, other: Any = None
) -> float:
    """Each entry of the result is an entry of one operand, and no entry is used twice; a condition has none of them."""
    given = (*operands, condition, input, other)
    return math.hypot(*[_copied(of, operand, *given) for operand in given])


def _attention(
    region: Region,
    of: Constant,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> float:
    """With the balls that hold the probe's queries, keys and values of every head."""
    if enable_gqa or dropout_p > 0 or of(attn_mask):
        raise NotImplementedError("grouped queries, dropout or a mask that depends on the input")
    operands = (query, key, value)
    mask = () if attn_mask is None else attn_mask.shape[:-2]
    batch = _broadcast(mask, *(operand.shape[:-2] for operand in operands))
    if any(of(operand) and operand.shape[:-2] != batch for operand in operands):
        raise NotImplementedError("one query, key or value is used for several heads")
    return attention_bound(
        Operand(_radius_of_heads(region, query, centred=False), of(query)),
        Operand(_radius_of_heads(region, key, centred=True), of(key)),
        Operand(_radius_of_heads(region, value, centred=True), of(value)),
        queries=query.shape[-2],
        scale=1 / math.sqrt(query.shape[-1]) if scale is None else abs(scale),
    )


def _multi_head_attention(
    region: Region,
    of: Constant,
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
    """With the ball around 0 that holds the probe's tokens; the second output, the weights, is not bounded."""
    if not (query is key is value) or in_proj_weight is None or bias_k is not None or add_zero_attn:
        raise NotImplementedError("query, key and value are not one tensor, or a token is added")
    if any(map(of, (*masks, *options.values()))):
        raise NotImplementedError("a mask that depends on the input")
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
    return product(of(query), bound), math.inf


# The constant of a function of several tensors: called as ``rule(region, constant of, *args, **kwargs)``.
COMBINATIONS: dict[str, Callable[..., Any]] = {
    **{name: _sum for name in ("add", "sub", "subtract", "__add__", "__radd__", "__sub__", "__rsub__")},
    "rsub": _reversed_difference,
    **{name: _product for name in ("mul", "multiply", "__mul__", "__rmul__")},
    **{name: _quotient for name in ("div", "divide", "true_divide", "__truediv__")},
    **{name: _matrix_product for name in ("matmul", "bmm", "mm", "__matmul__")},
    **{name: _side_by_side for name in ("cat", "concat", "concatenate", "stack", "hstack", "vstack")},
    **{name: _choice for name in ("where", "maximum", "minimum")},
    "scaled_dot_product_attention": _attention,
    "multi_head_attention_forward": _multi_head_attention,
}


def _extent(region: Region, of: Constant, factor: Any, size: Callable[[Any], float]) -> float:
    return region.largest(torch.tensor(size(factor), dtype=torch.float64)) if of(factor) else size(factor)


def _copied(of: Constant, operand: Any, *others: Any) -> float:
    """The constant of an operand after broadcasting, which repeats every entry equally often."""
    if not of(operand):
        return 0.0
    shape = _broadcast(operand.shape, *(other.shape for other in others if isinstance(other, Tensor)))
    return float(of(operand) * math.sqrt(math.prod(shape) / operand.numel()))


def _broadcast(*shapes: Sequence[int]) -> tuple[int, ...]:
    return tuple(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]


def _radius_of_heads(region: Region, points: Tensor, *, centred: bool) -> float:
    """The largest radius over heads, each with a ball of its own: points of shape (batch, heads, tokens, width)."""
    heads = points.unbind(-3) if points.ndim > 3 else (points,)
    return largest(_radius(region, head, centred=centred) for head in heads)


def _radius(region: Region, points: Tensor, *, centred: bool) -> float:
    exact = in_float64(points).flatten(0, -2)
    norms = torch.linalg.vector_norm(exact, dim=-1).max()
    if centred:
        norms = torch.minimum(norms, torch.linalg.vector_norm(exact - exact.mean(dim=0), dim=-1).max())
    return region.largest(norms)
