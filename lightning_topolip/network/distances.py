"""From a point cloud to its matrix of Euclidean distances, exact enough for a Rips filtration."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

_COLUMNS = 4096
_PAIRS = 128
_FEWEST_ROWS = 32  # smaller blocks of the Gram matrix save fewer products than they cost calls

# Below this share of |x|^2 + |y|^2 the expansion |x|^2 + |y|^2 - 2 <x, y> has lost too many digits.
_CANCELLATION = {torch.float32: 0.03, torch.float64: 1e-6}

# Within these bounds of the largest squared norm, no product overflows and none that matters vanishes.
_SQUARES = {torch.float32: (1e-24, float("inf")), torch.float64: (1e-240, 1e300)}
_LARGEST_EXPONENT = 1000


def distance_matrix(cloud: Tensor) -> Tensor:
    """Compute the Euclidean distances between all points of a cloud.

    The cloud is centred and multiplied 4,096 columns at a time, one triangle of the products only, with the sums kept
    in float64, and every pair that suffers from cancellation is measured again by its difference. So an offset cloud,
    near duplicates and tight clusters are measured correctly, without a second copy of the cloud. A cloud whose squares
    would overflow or vanish is scaled by a power of two first.

    Args:
        cloud: Points, shape ``(n, d)``, any real dtype, on any device. Complex coordinates count as pairs of real ones,
            so that the distance is the root of the sum of ``abs(x - y)^2``.

    Returns:
        Distances, shape ``(n, n)``, float32, on the cloud's device (on the CPU for a device without float64),
        symmetric with a zero diagonal; the error is below 1e-5 of the cloud's diameter.

    Raises:
        ValueError: If ``cloud`` is not a matrix, has no point, or holds a NaN or an infinite value, or if its diameter
            is beyond the range of float32: too large, or not 0 and too small.

    Example:
        >>> import torch
        >>> distance_matrix(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
        tensor([[0., 5.],
                [5., 0.]])
    """
    return euclidean_distances(cloud, torch.float32)


def euclidean_distances(cloud: Tensor, dtype: torch.dtype) -> Tensor:
    """As `distance_matrix`, in float32 or float64; the error of a float64 cloud's is below 1e-9 of the diameter."""
    if cloud.ndim != 2 or cloud.shape[0] == 0:
        raise ValueError(
            f"Argument `cloud` must have shape (n, d) with n >= 1, got {tuple(cloud.shape)}; "
            "flatten the sample dimensions first (`point_cloud`)."
        )
    with torch.no_grad(), torch.autocast(cloud.device.type, enabled=False):
        cloud = real_coordinates(cloud.cpu() if cloud.device.type == "mps" else cloud)
        squares, trusted = _squared_distances(cloud, product_dtype(cloud))
        if not trusted:
            squares, trusted = _squared_distances(cloud, torch.float64)
        exponent = 0
        if not trusted:
            exponent = _spread_exponent(cloud)
            squares = _scaled_squared_distances(cloud, exponent)
        return _mirrored(squares.sqrt_().mul_(2.0**exponent), cloud, dtype)


def real_coordinates(cloud: Tensor) -> Tensor:
    """The points with their complex coordinates as pairs of real ones."""
    return torch.view_as_real(cloud.resolve_conj()).flatten(1) if cloud.is_complex() else cloud


def _mirrored(exact: Tensor, cloud: Tensor, dtype: torch.dtype) -> Tensor:
    """The whole matrix from the lower triangle of the exact distances."""
    lower = exact.tril().to(dtype)
    diameter, name = float(lower.max()), str(dtype).removeprefix("torch.")
    if not math.isfinite(diameter):
        bad = int((~torch.isfinite(cloud)).any(dim=1).sum())
        problem = f"{bad} of {len(cloud)} points with a NaN or infinite value" if bad else f"distances beyond {name}"
        raise ValueError(
            f"A point cloud must be finite, got {problem}; "
            "look for an exploding layer or an overflow in half precision."
        )
    if diameter < torch.finfo(dtype).tiny and (diameter := float(exact.tril().max())) > 0.0:
        raise ValueError(
            f"A point cloud must have distances within {name}, got a diameter of {diameter:.1e}; "
            "look for a vanishing layer, or multiply its points by a constant."
        )
    return lower.T.contiguous().add_(lower)


def product_dtype(cloud: Tensor) -> torch.dtype:
    """float32 where its products are not rounded to TF32 or bfloat16, else float64."""
    try:
        exact_float32 = torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # raised for a lower `fp32_precision` in `torch.backends`, which this function cannot tell
        exact_float32 = False
    return torch.float32 if exact_float32 and cloud.dtype != torch.float64 else torch.float64


def _squared_distances(cloud: Tensor, dtype: torch.dtype) -> tuple[Tensor, bool]:
    """The squared distances, and whether products in this dtype are exact enough."""
    n = len(cloud)
    squares, norms, close = _expansion(cloud, lambda columns: columns.to(dtype), _CANCELLATION[dtype])
    few = dtype == torch.float64 or int(close.sum()) <= max(n, n * n // 200)
    smallest, largest = _SQUARES[dtype]
    if not few or not smallest < float(norms.max()) < largest:
        return squares, False
    return _repaired(squares, cloud, close), True


def _scaled_squared_distances(cloud: Tensor, exponent: int) -> Tensor:
    """The squared distances of the cloud divided by 2^exponent."""
    squares, _, close = _expansion(
        cloud, lambda columns: _scaled_spread(columns, exponent), _CANCELLATION[torch.float64]
    )
    return _repaired(squares, cloud, close, exponent)


def _expansion(
    cloud: Tensor, convert: Callable[[Tensor], Tensor], cancellation: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The squared distances, the squared norms, and the pairs that suffer from cancellation, in the lower triangle."""
    gram = _gram_triangle(cloud, convert)
    norms = gram.diagonal().clone()
    sums = norms[:, None] + norms[None, :]
    squares = torch.sub(sums, gram, alpha=2, out=gram)
    return squares, norms, (squares <= sums.mul_(cancellation)).tril_(diagonal=-1)


def _gram_triangle(cloud: Tensor, convert: Callable[[Tensor], Tensor]) -> Tensor:
    """The products of all centred points in the lower triangle: square blocks that halve towards the diagonal."""
    n = len(cloud)
    blocks = 2 ** max(0, (n // _FEWEST_ROWS).bit_length() - 1)
    smallest = math.ceil(n / blocks)
    gram = torch.zeros(blocks * smallest, blocks * smallest, dtype=torch.float64, device=cloud.device)
    for columns in torch.split(cloud, _COLUMNS, dim=1):
        points = _centred(convert(columns), len(gram))
        side = len(gram)
        while side > smallest:
            side //= 2
            upper, lower = torch.unflatten(points, 0, (-1, 2, side)).unbind(1)
            _blocks_along_diagonal(gram, side, 2 * side, side).add_(lower @ upper.mT)
        rows = torch.unflatten(points, 0, (-1, side))
        _blocks_along_diagonal(gram, side, side, 0).add_(rows @ rows.mT)
    return gram[:n, :n]


def _centred(points: Tensor, rows: int) -> Tensor:
    """The points minus their mean, padded to this number of rows, which may hold anything."""
    centred = points.new_empty(rows, points.shape[1])
    torch.sub(points, points.mean(dim=0), out=centred[: len(points)])
    return centred


def _blocks_along_diagonal(matrix: Tensor, side: int, step: int, below: int) -> Tensor:
    """A view of square blocks, one every `step` rows, each `below` rows under the diagonal."""
    n = len(matrix)
    return matrix.as_strided((n // step, side, side), (step * (n + 1), n, 1), below * n)


def _repaired(squares: Tensor, cloud: Tensor, close: Tensor, exponent: int = 0) -> Tensor:
    rows, others = close.nonzero(as_tuple=True)
    squares[rows, others] = _squares_by_difference(cloud, rows, others, exponent)
    return squares


def _squares_by_difference(cloud: Tensor, rows: Tensor, others: Tensor, exponent: int) -> Tensor:
    squares = torch.zeros(len(rows), dtype=torch.float64, device=cloud.device)
    for columns in torch.split(cloud, _COLUMNS, dim=1):
        for start in range(0, len(rows), _PAIRS):
            pairs = slice(start, start + _PAIRS)
            difference = columns[rows[pairs]].to(torch.float64) - columns[others[pairs]].to(torch.float64)
            squares[pairs] += (difference * 2.0**-exponent).square().sum(dim=1)
    return squares


def _spread_exponent(cloud: Tensor) -> int:
    """The exponent of the largest difference from the first point; 0 if there is none or it is not finite."""
    blocks = torch.split(cloud, _COLUMNS, dim=1) if cloud.numel() else ()
    spread = max((float(_scaled_spread(columns, 0).abs().max()) for columns in blocks), default=0.0)
    exponent = math.frexp(spread)[1] if math.isfinite(spread) else 0
    return max(-_LARGEST_EXPONENT, min(exponent, _LARGEST_EXPONENT))


def _scaled_spread(columns: Tensor, exponent: int) -> Tensor:
    """The differences from the first point, which no offset outweighs, divided by 2^exponent."""
    points = columns.to(torch.float64)
    return (points - points[:1]) * 2.0**-exponent
