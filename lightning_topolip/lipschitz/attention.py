"""Bounds on the Lipschitz constant of dot-product attention on balls; it has no global one."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_topolip.lipschitz.bound_arithmetic import product
from lightning_topolip.lipschitz.spectral_norm import spectral_norm


class Operand(NamedTuple):
    """Size and Lipschitz constant of the queries, the keys or the values.

    Attributes:
        radius: Radius of a ball that contains all of them: around 0 for queries, around any point for keys and values.
        constant: Lipschitz constant of all of them together as a function of the input; 0 if they do not depend on it.
    """

    radius: float
    constant: float


def attention_bound(query: Operand, key: Operand, value: Operand, queries: int, scale: float) -> float:
    """Bound the Lipschitz constant of dot-product attention with queries, keys and values in balls.

    With m queries, scale c, attention weights P, radii r and Lipschitz constants L, the bound is

        ``sqrt(m) L_v  +  c r_v r_k L_q  +  sqrt(m) c r_v r_q L_k``.

    Proof. Output i is ``sum_j P_ij v_j``; its derivative has three parts.

    - ``sum_j P_ij dv_j``: the rows of P sum to 1 and its columns to at most m, so the norm of P is at most sqrt(m).
    - ``c C_i dq_i`` with C_i the covariance of values and keys under row i of P. A covariance is invariant to shifts,
      so its norm is at most ``r_v r_k`` whatever the centres of the balls.
    - ``c sum_j P_ij (v_j - mean) <q_i, dk_j>``: by Cauchy-Schwarz the square is at most
      ``c^2 r_v^2 r_q^2 sum_j P_ij |dk_j|^2``; the sum over all i is at most ``m c^2 r_v^2 r_q^2 |dk|^2``.

    The bound also holds for several heads together, since they act on disjoint parts. Masks set weights to 0.

    Every bound needs the balls (Kim, Papamakarios, Mnih, arXiv 2006.04710), and none can grow more slowly than sqrt(m)
    in general (Castin, Ablin, Peyre, arXiv 2312.14820).

    Args:
        query: The queries.
        key: The keys.
        value: The values.
        queries: Number m of queries.
        scale: Factor c of the products of queries and keys, usually 1 over the square root of their width.

    Returns:
        The bound.

    Example:
        >>> attention_bound(Operand(1.0, 1.0), Operand(1.0, 1.0), Operand(1.0, 1.0), queries=4, scale=0.5)
        3.5
    """
    root = math.sqrt(queries)
    terms = [
        (value.constant, root),
        (query.constant, product(scale, value.radius, key.radius)),
        (key.constant, product(root, scale, value.radius, query.radius)),
    ]
    return sum(product(constant, factor) for constant, factor in terms)


def self_attention_bound(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    output: Tensor | None = None,
    *,
    tokens: int,
    radius: float,
    heads: int = 1,
    query_offset: Tensor | None = None,
) -> float:
    """Bound the Lipschitz constant of multi-head self-attention on all sequences with tokens in a ball.

    For one head with matrices Q, K, V, ``A = K^T Q / sqrt(d)`` and ``a = |A| radius + |K^T offset| / sqrt(d)``, the
    bound is

        ``|V| (sqrt(n) + |A| radius^2 + sqrt(n) a radius)``:

    `attention_bound` with the tokens themselves as keys and ``K^T q / sqrt(d)`` as queries. Without an offset it is
    below ``sqrt(3) |V| sqrt(|A|^2 radius^4 (4 n + 1) + n)``, the bound of Castin, Ablin, Peyre, arXiv 2312.14820. The
    outputs of several heads are concatenated, so the root of the sum of their squared bounds, times the norm of the
    output matrix O, is a bound. So is the sum of their bounds with O V of each head in place of V. The smaller one is
    returned.

    Args:
        query: Matrix from a token to the queries of all heads, shape ``(heads * d, width)``.
        key: The same for the keys, shape ``(heads * d, width)``.
        value: The same for the values, shape ``(heads * e, width)``.
        output: Matrix applied to the concatenated outputs of the heads, shape ``(any, heads * e)``; None for none.
        tokens: Number n of tokens in a sequence.
        radius: Radius of the ball, in the unit of the tokens.
        heads: Number of heads.
        query_offset: Queries of the ball's centre, shape ``(heads * d,)``: the bias if the centre is 0. Biases of keys,
            values and output have no effect.

    Returns:
        The bound, from (n, width) to the output, both in the Euclidean norm of all entries.

    Raises:
        ValueError: If the heads do not divide the rows of the matrices.

    Example:
        >>> import torch
        >>> self_attention_bound(torch.zeros(2, 2), torch.zeros(2, 2), torch.eye(2), tokens=9, radius=1.0)
        3.0
    """
    if heads < 1 or any(len(matrix) % heads for matrix in (query, key, value)):
        raise ValueError(
            "Argument `heads` must divide the rows of `query`, `key` and `value`, "
            f"got {heads} for {len(query)}, {len(key)} and {len(value)} rows."
        )
    offset = torch.zeros(len(query)) if query_offset is None else query_offset
    matrices = [tensor.detach().double().cpu().chunk(heads) for tensor in (query, key, value, offset)]
    outputs = None if output is None else output.detach().double().cpu().chunk(heads, dim=1)
    value_bounds, output_bounds = [], []
    for head, (q, k, v, b) in enumerate(zip(*matrices, strict=True)):
        scale = 1 / math.sqrt(len(q))
        products = scale * spectral_norm(torch.linalg.qr(k.T).R @ q)
        reach = product(products, radius) + scale * float(torch.linalg.vector_norm(k.T @ b))
        unit = attention_bound(
            Operand(reach, products), Operand(radius, 1.0), Operand(radius, 1.0), queries=tokens, scale=1.0
        )
        value_bounds.append(product(unit, spectral_norm(v)))
        output_bounds.append(product(unit, spectral_norm(v if outputs is None else outputs[head] @ v)))
    if output is None:
        return math.hypot(*value_bounds)
    return min(product(spectral_norm(output), math.hypot(*value_bounds)), sum(output_bounds))
