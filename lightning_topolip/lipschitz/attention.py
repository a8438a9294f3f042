"""Dot-product attention has no global Lipschitz constant; these are its bounds on balls."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_topolip.lipschitz.bound_arithmetic import product
from lightning_topolip.lipschitz.spectral_norm import spectral_norm


class Operand(NamedTuple):
    """What is known of the queries, the keys or the values.

    Attributes:
        radius: Radius of a ball that holds every one of them: around 0 for queries, around any point for keys and
            values.
        constant: Lipschitz constant of all of them together as a function of the input; 0 if they do not depend on it.
    """

    radius: float
    constant: float


def attention_bound(query: Operand, key: Operand, value: Operand, queries: int, scale: float) -> float:
    """Bound the Lipschitz constant of dot-product attention while queries, keys and values stay in balls.

    With m queries, scale c, attention weights P, radii r and Lipschitz constants L the bound is

        ``sqrt(m) L_v  +  c r_v r_k L_q  +  sqrt(m) c r_v r_q L_k``.

    Proof. Output i is ``sum_j P_ij v_j``; its derivative has three parts.

    - ``sum_j P_ij dv_j``: the rows of P sum to 1 and its columns to at most m, so the norm of P is at most sqrt(m).
    - ``c C_i dq_i`` with C_i the covariance of values and keys under row i of P. A covariance does not see a shift, so
      its norm is at most ``r_v r_k`` wherever the balls have their centres.
    - ``c sum_j P_ij (v_j - mean) <q_i, dk_j>``: by Cauchy-Schwarz the square is at most
      ``c^2 r_v^2 r_q^2 sum_j P_ij |dk_j|^2``; over all i these sum to at most ``m c^2 r_v^2 r_q^2 |dk|^2``.

    Several heads act on parts of their own, so the bound holds for all of them side by side. Masks set weights to 0.

    No bound can do without the balls (Kim, Papamakarios, Mnih, arXiv 2006.04710), nor grow slower than sqrt(m) in
    general (Castin, Ablin, Peyre, arXiv 2312.14820).

    Args:
        query: Of the queries.
        key: Of the keys.
        value: Of the values.
        queries: Number m of queries.
        scale: Factor c of the products of queries and keys, usually 1 over the square root of their width.

    Returns:
        The bound.

    Example:
        >>> attention_bound(Operand(1.0, 1.0), Operand(1.0, 1.0), Operand(1.0, 1.0), queries=4, scale=0.5)
        3.5
    """
    root = math.sqrt(queries)
    parts = [
        (value.constant, root),
        (query.constant, product(scale, value.radius, key.radius)),
        (key.constant, product(root, scale, value.radius, query.radius)),
    ]
    return sum(product(constant, factor) for constant, factor in parts)


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

    For one head with matrices Q, K, V, ``A = K^T Q / sqrt(d)`` and ``a = |A| radius + |K^T offset| / sqrt(d)`` the
    bound is

        ``|V| (sqrt(n) + |A| radius^2 + sqrt(n) a radius)``:

    `attention_bound` with the tokens themselves as keys and ``K^T q / sqrt(d)`` as queries. Without offset it is below
    ``sqrt(3) |V| sqrt(|A|^2 radius^4 (4 n + 1) + n)``, the bound of Castin, Ablin, Peyre, arXiv 2312.14820. Heads
    stand side by side, so their bounds add up in squares, times the norm of the output matrix O; or they add up as
    they are with O V of each head in place of V. The smaller one is returned.

    Args:
        query: Matrix from a token to the queries of all heads, shape ``(heads * d, width)``.
        key: The same for the keys, shape ``(heads * d, width)``.
        value: The same for the values, shape ``(heads * e, width)``.
        output: Matrix on the heads' outputs side by side, shape ``(any, heads * e)``; None for none.
        tokens: Tokens n of a sequence.
        radius: Radius of the ball, in the unit of the tokens.
        heads: Number of heads.
        query_offset: Queries of the ball's centre, shape ``(heads * d,)``: the bias if the centre is 0. Biases of keys,
            values and output do not matter.

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
            f"got {heads} for {len(query)}, {len(key)} and {len(value)}; give the number of heads."
        )
    offset = torch.zeros(len(query)) if query_offset is None else query_offset
    matrices = [tensor.detach().double().cpu().chunk(heads) for tensor in (query, key, value, offset)]
    outputs = None if output is None else output.detach().double().cpu().chunk(heads, dim=1)
    apart, together = [], []
    for head, (q, k, v, b) in enumerate(zip(*matrices, strict=True)):
        scale = 1 / math.sqrt(len(q))
        products = scale * spectral_norm(torch.linalg.qr(k.T).R @ q)
        reach = product(products, radius) + scale * float(torch.linalg.vector_norm(k.T @ b))
        unit = attention_bound(
            Operand(reach, products), Operand(radius, 1.0), Operand(radius, 1.0), queries=tokens, scale=1.0
        )
        apart.append(product(unit, spectral_norm(v)))
        together.append(product(unit, spectral_norm(v if outputs is None else outputs[head] @ v)))
    if output is None:
        return math.hypot(*apart)
    return min(product(spectral_norm(output), math.hypot(*apart)), sum(together))
