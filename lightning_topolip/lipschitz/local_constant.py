"""The local Lipschitz constant at each sample: the largest singular value of the Jacobian, by Lanczos' method."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from lightning_topolip.lipschitz.bidiagonalisation import FEWEST_STEPS, largest_singular_values
from lightning_topolip.lipschitz.jacobian import Jacobians
from lightning_topolip.network.borrowing import borrowed
from lightning_topolip.randomness import kept_random_numbers

Array = npt.NDArray[np.float64]
Function = Callable[[Tensor], Tensor]

_STARTS = zlib.crc32(b"starting vectors of local Lipschitz constants")
_ROUNDING = 1 + 1e-9


@dataclass(frozen=True)
class LocalLipschitz:
    """Local Lipschitz constants at the samples of a probe. Each is a lower bound on the Lipschitz constant of the map.

    Attributes:
        values: Largest singular value of the Jacobian within the vectors searched, at most the true one (up to rounding
            in the dtype of the samples), shape ``(n,)``; not finite if the Jacobian is not.
        residuals: ``|J^T J v - s^2 v| / s^2`` of each sample, with s the value and v its unit vector, shape ``(n,)``: a
            squared singular value of J lies within ``residual * s^2`` of ``s^2``. It is that of ``J J^T`` if the
            function has fewer outputs than inputs.
        upper: What the true norm of the Jacobian exceeds with a probability of at most 1e-4 per sample, over the random
            start, shape ``(n,)``.
        iterations: Number of iterations of the slowest sample.
        tolerance: The requested relative error and residual.
    """

    values: Array
    residuals: Array
    upper: Array
    iterations: int
    tolerance: float

    @property
    def max(self) -> float:
        """The largest over the probe: a lower bound on the Lipschitz constant."""
        return float(self.values.max())

    @property
    def mean(self) -> float:
        """The mean over the probe."""
        return float(self.values.mean())

    @property
    def converged(self) -> bool:
        """Whether every sample reached the tolerance, in its residual and between its value and `upper`."""
        reached = (self.residuals <= self.tolerance) & (self.upper <= self.values * (1 + self.tolerance) * _ROUNDING)
        return bool(reached.all()) and self.iterations >= FEWEST_STEPS


def local_lipschitz(
    function: Function | nn.Module,
    inputs: Tensor,
    *,
    tolerance: float = 1e-2,
    max_iterations: int = 200,
    batch_size: int = 64,
    seed: int = 0,
) -> LocalLipschitz:
    """Compute the largest singular value of the Jacobian at each sample by Golub-Kahan-Lanczos bidiagonalisation.

    All iterations share one forward pass: ``J^T w`` is a backward pass, and ``J v`` is the derivative of a backward
    pass with respect to its cotangent; if the backward pass has none, forward mode takes its place, at the cost of a
    forward pass per iteration. Attention runs in its plain implementation, because the backward pass of the fused ones
    is not differentiable; cuDNN's recurrent layers have neither, so run those on the CPU. A module is borrowed: it runs
    in evaluation mode and comes back exactly as it was.

    The values converge from below. The iteration stops when a larger norm than ``(1 + tolerance)`` times the value is
    improbable, for any spectrum: also if the steepest direction is rare, or the spectrum has no gap. Gains may be of
    any size; those beyond the range of the dtype are scaled.

    Args:
        function: Module or function from ``(n, ...)`` to ``(n, ...)`` that acts on each sample separately.
        inputs: Samples x, shape ``(n, ...)``, floating point.
        tolerance: Largest relative error, but for a probability of 1e-4 per sample, and largest residual, relative to
            the squared value, at which a sample counts as converged. The error is usually far smaller: of the order of
            the residual squared over the relative gap of the spectrum.
        max_iterations: Largest number of iterations; see `LocalLipschitz.converged`.
        batch_size: Number of samples per forward pass, whose graph is kept in memory.
        seed: Seed of the starting vectors, which depend on no generator of yours, and of the module's own random
            numbers.

    Returns:
        Values, residuals and probable upper ends of the samples.

    Raises:
        ValueError: If an argument is invalid or samples influence each other.
        NotImplementedError: If the function has neither a differentiable backward pass nor a forward mode.

    Source:
        Hochstenbach 2013, Probabilistic upper bounds for the matrix two-norm, DOI 10.1007/s10915-013-9716-x.

    Example:
        >>> import torch
        >>> stretch = torch.nn.Linear(2, 2, bias=False)
        >>> _ = stretch.weight.data.copy_(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
        >>> round(local_lipschitz(stretch, torch.zeros(4, 2)).max, 3)
        3.0
    """
    if inputs.ndim < 1 or len(inputs) == 0 or not inputs.is_floating_point():
        raise ValueError(
            "Argument `inputs` must be floating point of shape (n, ...) with n >= 1, "
            f"got {inputs.dtype} of shape {tuple(inputs.shape)}; pass samples, or start after the embedding."
        )
    if not tolerance > 0 or max_iterations < 1 or batch_size < 1:
        raise ValueError(
            "Arguments `tolerance`, `max_iterations` and `batch_size` must be positive, "
            f"got {tolerance}, {max_iterations} and {batch_size}; for example, use 1e-2, 200 and 64."
        )
    starts = np.random.default_rng(np.random.SeedSequence(abs(seed), spawn_key=(_STARTS,)))
    with ExitStack() as stack:
        if isinstance(function, nn.Module):
            stack.enter_context(borrowed(function, seed))
        else:
            stack.enter_context(kept_random_numbers(seed))
        stack.enter_context(_differentiable_twice())
        parts = [
            _largest_gains(function, samples, tolerance, max_iterations, starts, seed)
            for samples in torch.split(inputs.detach(), batch_size)
        ]
    return joined(parts)


def joined(parts: list[LocalLipschitz]) -> LocalLipschitz:
    """Concatenate the samples of one or more parts of a probe, measured with the same tolerance."""
    return LocalLipschitz(
        values=np.concatenate([part.values for part in parts]),
        residuals=np.concatenate([part.residuals for part in parts]),
        upper=np.concatenate([part.upper for part in parts]),
        iterations=max(part.iterations for part in parts),
        tolerance=parts[0].tolerance,
    )


@contextmanager
def _differentiable_twice() -> Iterator[None]:
    """Within the block, gradients are on and attention uses the implementation with a differentiable backward pass."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.inference_mode(False), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _largest_gains(
    function: Function, samples: Tensor, tolerance: float, max_iterations: int, random: np.random.Generator, seed: int
) -> LocalLipschitz:
    """Search the smaller of the two spaces of the Jacobian, whose singular values are those of its transpose."""
    jacobians = Jacobians(function, samples, seed)
    products = jacobians.times, jacobians.transposed_times
    dimension = min(jacobians.inputs, jacobians.outputs)
    precision = torch.promote_types(samples.dtype, torch.float32)

    def starts() -> Tensor:
        drawn = torch.from_numpy(random.standard_normal((len(samples), dimension)))
        return drawn.to(precision).to(samples.device)

    product, transposed = products if jacobians.inputs <= jacobians.outputs else reversed(products)
    found = largest_singular_values(product, transposed, starts, tolerance, max_iterations)
    return LocalLipschitz(found.values, found.residuals, found.upper, found.steps, tolerance)
