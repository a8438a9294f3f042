"""Products with the Jacobians of all samples of a batch, from one forward pass, in any range of numbers."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.autograd import forward_ad

from lightning_topolip.randomness import kept_random_numbers

Array = npt.NDArray[np.float64]

_MOST_SHIFTS = 2
_CHECKS, _CHECK_SEED = 8, zlib.crc32(b"products with Jacobians")
_LARGEST_DISAGREEMENT, _LARGEST_IN_HALF_PRECISION = 0.05, 0.25


class Jacobians:
    """The Jacobians of a function at samples: ``J^T w`` by a backward pass, ``J v`` by the derivative of one.

    If the backward pass has no derivative, ``J v`` is computed in forward mode, with a forward pass for each. A layer
    can also lose its part of the derivative in silence, such as a custom function that is differentiable once; so both
    products are compared first, by ``<w, J v> = <J^T w, v>`` for random v and w.

    Args:
        function: Maps ``(n, ...)`` to ``(n, ...)`` and acts on each sample separately.
        samples: Where the Jacobians are taken.
        seed: Seed of the random numbers that the function itself draws.

    Attributes:
        times: v -> J v, vectors of shape ``(n, inputs)``.
        transposed_times: w -> J^T w, vectors of shape ``(n, outputs)``.
        inputs: Number of inputs of a sample.
        outputs: Number of outputs of a sample.

    Raises:
        ValueError: If the function does not return one row per sample, or samples influence each other.
        NotImplementedError: If neither way computes ``J v``.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], samples: Tensor, seed: int) -> None:
        self._function, self._samples, self._seed = function, samples, seed
        self._point = samples.clone().requires_grad_()
        with kept_random_numbers(seed):
            self._output = _one_row_per_sample(function(self._point.clone()), len(samples))
        self._backward: tuple[Tensor, Tensor] | None = None
        self._obstacle: str | None = None
        if self._output.requires_grad:
            _check_samples_independent(self._output, self._point)
        self.inputs, self.outputs = samples[0].numel(), self._output[0].numel()
        self.times = ScaledProduct(self._forward, samples)
        self.transposed_times = ScaledProduct(self._pull_back, self._output)
        self._compare_products()

    def _compare_products(self) -> None:
        """Change to forward mode if the derivative of the backward pass is incomplete."""
        coarse = {self._samples.dtype, self._output.dtype} & {torch.float16, torch.bfloat16}
        half = coarse or torch.is_autocast_enabled(self._samples.device.type)
        largest = _LARGEST_IN_HALF_PRECISION if half else _LARGEST_DISAGREEMENT
        if self._disagreement() <= largest:
            return
        if self._obstacle is None:
            self._obstacle = "parts of it are not differentiable"
            self.times = ScaledProduct(self._forward, self._samples)
            if self._disagreement() <= largest:
                return
        raise NotImplementedError("the backward pass is not that of the forward pass: they have different Jacobians")

    def _disagreement(self) -> float:
        """How far the two products are from those of one Jacobian, relative to their size; 0 if they are."""
        n, errors = len(self._samples), []
        random = np.random.default_rng(_CHECK_SEED)
        for _ in range(-(-_CHECKS // n)):
            v, w = (torch.from_numpy(random.standard_normal((n, size))) for size in (self.inputs, self.outputs))
            (image, image_unit), (pulled, unit) = self.times(self._like(v)), self.transposed_times(self._like(w))
            image, pulled = image.cpu().double(), pulled.cpu().double()
            size = np.maximum(image.norm(dim=1).numpy() * image_unit, pulled.norm(dim=1).numpy() * unit)
            with np.errstate(invalid="ignore"):
                difference = (w * image).sum(1).numpy() * image_unit - (v * pulled).sum(1).numpy() * unit
            errors.append(np.divide(difference, size, out=np.zeros(n), where=np.isfinite(size) & (size > 0)))
        return float(np.sqrt(np.mean(np.square(errors))))

    def _like(self, vectors: Tensor) -> Tensor:
        return vectors.to(self._samples.device, torch.promote_types(self._samples.dtype, torch.float32))

    def _pull_back(self, covectors: Tensor) -> Tensor:
        if not self._output.requires_grad:
            return torch.zeros_like(self._samples)
        return _gradient(self._output, self._point, covectors)

    def _forward(self, vectors: Tensor) -> Tensor:
        if not self._output.requires_grad:
            return torch.zeros_like(self._output)
        if self._obstacle is None:
            try:
                return self._forward_by_double_backward(vectors)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self._obstacle = _first_line(error)
        try:
            return self._forward_by_dual_numbers(vectors)
        except RuntimeError as error:
            raise NotImplementedError(
                f"the Jacobian cannot be multiplied by a vector: the backward pass has no derivative "
                f"({self._obstacle}) and forward mode fails ({_first_line(error)})"
            ) from error

    def _forward_by_double_backward(self, vectors: Tensor) -> Tensor:
        if self._backward is None:
            cotangent = torch.zeros_like(self._output, requires_grad=True)
            self._backward = cotangent, _gradient(self._output, self._point, cotangent, create_graph=True)
        cotangent, pullback = self._backward
        return _gradient(pullback, cotangent, vectors) if pullback.requires_grad else torch.zeros_like(self._output)

    def _forward_by_dual_numbers(self, vectors: Tensor) -> Tensor:
        with (
            torch.no_grad(),
            forward_ad.dual_level(),
            kept_random_numbers(self._seed),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", r".*torch\.jit")  # torch compiles its own formulas for some functions
            point = forward_ad.make_dual(self._samples.clone(), vectors)  # type: ignore[no-untyped-call]
            tangent = forward_ad.unpack_dual(self._function(point)).tangent  # type: ignore[no-untyped-call]
        return torch.zeros_like(self._output) if tangent is None else tangent


class ScaledProduct:
    """A linear map per sample whose results neither overflow nor vanish.

    Each vector is multiplied by a power of two that keeps its image within the range of the dtype; the images come
    with the unit that makes up for it.

    Args:
        linear: The map, of tensors shaped like ``like``.
        like: A tensor of one vector per sample, shape ``(n, ...)``.
    """

    def __init__(self, linear: Callable[[Tensor], Tensor], like: Tensor) -> None:
        self._linear, self._like = linear, like
        self._exponents = np.zeros(len(like))
        self._hopeless = np.zeros(len(like), dtype=bool)

    def __call__(self, vectors: Tensor) -> tuple[Tensor, Array]:
        """Map vectors of shape ``(n, d)`` to their images, in a unit per sample."""
        images = self._images(vectors, self._exponents)
        for _ in range(_MOST_SHIFTS):
            shifts = self._shifts(vectors, images)
            if not shifts.any():
                break
            shifted = self._images(vectors, self._exponents + shifts)
            helped = (shifts != 0) & (_peaks(shifted) > 0) & np.isfinite(_peaks(shifted))
            self._hopeless |= (shifts != 0) & ~helped
            self._exponents += np.where(helped, shifts, 0)
            images = torch.where(torch.from_numpy(helped).to(images.device)[:, None], shifted, images)
        return images, 2.0**-self._exponents

    def _images(self, vectors: Tensor, exponents: Array) -> Tensor:
        scales = torch.from_numpy(2.0**exponents).to(vectors)[:, None]
        images = self._linear((vectors * scales).to(self._like.dtype).reshape(self._like.shape)).flatten(1)
        return images.reshape(len(vectors), -1).to(vectors.dtype)

    def _shifts(self, vectors: Tensor, images: Tensor) -> Array:
        """The powers of two by which to scale the vectors whose images overflow or nearly vanish; 0 for the others."""
        limits = torch.finfo(self._like.dtype)
        peaks, step = _peaks(images), np.floor(np.log2(limits.max) / 2) - 4
        possible = ~self._hopeless & (_peaks(vectors) > 0)
        vanishing = peaks < limits.tiny / limits.eps
        return np.where(possible & vanishing, step, np.where(possible & ~np.isfinite(peaks), -step, 0.0))


def _one_row_per_sample(output: Any, n: int) -> Tensor:
    if not isinstance(output, Tensor) or output.ndim < 1 or len(output) != n:
        actual = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(
            f"Argument `function` must return a tensor with one row for each of {n} samples, got {actual}; "
            "wrap it in a function that does."
        )
    return output


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


def _peaks(vectors: Tensor) -> Array:
    return np.asarray(vectors.abs().amax(1).cpu().double().numpy())


def _first_line(error: BaseException) -> str:
    return (str(error) or repr(error)).splitlines()[0]
