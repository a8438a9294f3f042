"""The local Lipschitz constant at each sample: the largest singular value of the Jacobian, by power iteration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from lightning_topolip.network.borrowing import borrowed
from lightning_topolip.randomness import kept_random_numbers

Array = npt.NDArray[np.float64]
Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LocalLipschitz:
    """Local Lipschitz constants at the samples of a probe. Each is a lower bound on the Lipschitz constant of the map.

    Attributes:
        values: ``|J v|`` for the last unit vector v of each sample, shape ``(n,)``; not finite if the Jacobian is not.
        residuals: ``|J^T J v - s^2 v| / s^2`` of each sample, with s the value, shape ``(n,)``: a squared singular
            value of J lies within ``residual * s^2`` of ``s^2``.
        iterations: Number of iterations of the slowest sample.
        tolerance: The requested residual.
    """

    values: Array
    residuals: Array
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
        """Whether every sample reached the tolerance."""
        return bool((self.residuals <= self.tolerance).all())


def local_lipschitz(
    function: Function | nn.Module,
    inputs: Tensor,
    *,
    tolerance: float = 1e-2,
    max_iterations: int = 200,
    batch_size: int = 64,
    seed: int = 0,
) -> LocalLipschitz:
    """Compute the largest singular value of the Jacobian at each sample by power iteration on ``J^T J``.

    All iterations share one forward pass: ``J^T w`` is a backward pass, and ``J v`` is the derivative of a backward
    pass with respect to its cotangent. So the backward pass of a module must be differentiable. Attention runs in its
    plain implementation, because the fused ones are not; cuDNN's recurrent layers are not either, so run those on the
    CPU. A module is borrowed: it runs in evaluation mode and comes back exactly as it was.

    Power iteration converges from below: whenever it stops, the value is ``|J v|`` for a unit vector v, hence at most
    the true norm (up to rounding in the dtype of ``inputs``).

    Args:
        function: Module or function from ``(n, ...)`` to ``(n, ...)`` that acts on each sample separately.
        inputs: Samples x, shape ``(n, ...)``, floating point.
        tolerance: Largest residual, relative to the squared value, at which a sample counts as converged. The error of
            the value itself is of the order of the residual squared over the relative gap of the spectrum.
        max_iterations: Largest number of iterations; see `LocalLipschitz.converged`.
        batch_size: Number of samples per forward pass, whose graph is kept in memory.
        seed: Seed of the starting vectors and of the module's own random numbers.

    Returns:
        Values and residuals of the samples.

    Raises:
        ValueError: If an argument is invalid or samples influence each other.

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
    generator = torch.Generator().manual_seed(seed)
    with ExitStack() as stack:
        if isinstance(function, nn.Module):
            stack.enter_context(borrowed(function, seed))
        else:
            stack.enter_context(kept_random_numbers(seed))
        stack.enter_context(_differentiable_twice())
        parts = [
            _power_iteration(function, samples, tolerance, max_iterations, generator)
            for samples in torch.split(inputs.detach(), batch_size)
        ]
    return joined(parts)


def joined(parts: list[LocalLipschitz]) -> LocalLipschitz:
    """Concatenate the samples of one or more parts of a probe, measured with the same tolerance."""
    return LocalLipschitz(
        values=np.concatenate([part.values for part in parts]),
        residuals=np.concatenate([part.residuals for part in parts]),
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


def _power_iteration(
    function: Function, samples: Tensor, tolerance: float, max_iterations: int, generator: torch.Generator
) -> LocalLipschitz:
    n = len(samples)
    forward, backward = _jacobian_products(function, samples)
    vector = torch.randn(samples.shape, generator=generator, dtype=samples.dtype).to(samples.device)
    vector, _ = _normalised(vector)
    values = torch.zeros(n, dtype=torch.float64)
    residuals = torch.zeros(n, dtype=torch.float64)
    iterations = 0
    while iterations < max_iterations:
        iterations += 1
        image, value = _normalised(forward(vector))
        pulled_back = backward(image)
        next_vector, growth = _normalised(pulled_back)
        residual = _norms(pulled_back - _rows(value, vector) * vector) / value.clamp_min(torch.finfo(value.dtype).tiny)
        values, residuals = value.double().cpu(), residual.double().cpu()
        if bool(((residuals <= tolerance) | ~torch.isfinite(values)).all()):
            break
        vector = torch.where(_rows(growth, vector) > 0, next_vector, vector)
    return LocalLipschitz(values.numpy(), residuals.numpy(), iterations, tolerance)


def _jacobian_products(function: Function, samples: Tensor) -> tuple[Function, Function]:
    """The maps v -> J v and w -> J^T w with the Jacobians of all samples, from one forward pass."""
    point = samples.clone().requires_grad_()
    output = function(point.clone())
    if not isinstance(output, Tensor) or output.ndim < 1 or len(output) != len(samples):
        actual = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(
            f"Argument `function` must return a tensor with one row for each of {len(samples)} samples, got {actual}; "
            "wrap it in a function that does."
        )
    if not output.requires_grad:
        return lambda vector: torch.zeros_like(output), lambda covector: torch.zeros_like(samples)
    cotangent = torch.zeros_like(output, requires_grad=True)
    pullback = _gradient(output, point, cotangent, create_graph=True)
    _check_samples_independent(output, point)
    return (
        lambda vector: _gradient(pullback, cotangent, vector) if pullback.requires_grad else torch.zeros_like(output),
        lambda covector: _gradient(output, point, covector),
    )


def _check_samples_independent(output: Tensor, point: Tensor) -> None:
    weights = torch.linspace(1, 2, output.numel(), dtype=output.dtype).reshape(output.shape).to(output.device)
    first, others = torch.zeros_like(output), weights.clone()
    first[0], others[0] = weights[0], 0
    into_others, into_first = _gradient(output, point, first)[1:], _gradient(output, point, others)[:1]
    if any(bool((into.isfinite() & (into != 0)).any()) for into in (into_others, into_first)):
        raise ValueError(
            "Argument `function` must act on each sample separately, got outputs that depend on other samples of the "
            "batch; use batch normalisation with running statistics."
        )


def _gradient(output: Tensor, at: Tensor, cotangent: Tensor, **options: Any) -> Tensor:
    (gradient,) = torch.autograd.grad(output, at, cotangent, retain_graph=True, allow_unused=True, **options)
    return torch.zeros_like(at) if gradient is None else gradient


def _norms(batch: Tensor) -> Tensor:
    return torch.linalg.vector_norm(batch.flatten(1), dim=1) if batch.ndim > 1 else batch.abs()


def _rows(numbers: Tensor, like: Tensor) -> Tensor:
    """Reshape one number per sample so that it broadcasts over the samples of another tensor."""
    return numbers.reshape(-1, *[1] * (like.ndim - 1))


def _normalised(batch: Tensor) -> tuple[Tensor, Tensor]:
    """The samples divided by their norms, and the norms."""
    norms = _norms(batch)
    return batch / _rows(norms.clamp_min(torch.finfo(norms.dtype).tiny), batch), norms
