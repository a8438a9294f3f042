"""The fifteen corruptions of CIFAR-10-C, with its constants, applied to any images and seeded image by image."""

import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from lightning_topolip.arguments import require_one_of, require_whole_number
from lightning_topolip.robustness.corruptions.blur import defocus_blur, glass_blur, motion_blur, zoom_blur
from lightning_topolip.robustness.corruptions.digital import contrast, elastic_transform, jpeg_compression, pixelate
from lightning_topolip.robustness.corruptions.noise import gaussian_noise, impulse_noise, shot_noise
from lightning_topolip.robustness.corruptions.pixels import Pixels
from lightning_topolip.robustness.corruptions.weather import brightness, fog, frost, snow

_BY_NAME: Mapping[str, Callable[[Pixels, int, Generator], Pixels]] = MappingProxyType(
    {
        "gaussian_noise": gaussian_noise,
        "shot_noise": shot_noise,
        "impulse_noise": impulse_noise,
        "defocus_blur": defocus_blur,
        "glass_blur": glass_blur,
        "motion_blur": motion_blur,
        "zoom_blur": zoom_blur,
        "snow": snow,
        "frost": frost,
        "fog": fog,
        "brightness": brightness,
        "contrast": contrast,
        "elastic_transform": elastic_transform,
        "pixelate": pixelate,
        "jpeg_compression": jpeg_compression,
    }
)
CORRUPTIONS: tuple[str, ...] = tuple(_BY_NAME)
SEVERITIES: tuple[int, ...] = (1, 2, 3, 4, 5)
_CIFAR_SIDE = 32
_SMALLEST_SIDE = 8


def corrupt(images: Pixels, corruption: str, severity: int, *, seed: int = 0, offset: int = 0) -> Pixels:
    """Corrupt images as CIFAR-10-C does.

    The constants, and rounding down, are those of the generator of CIFAR-10-C; those of ImageNet-C are too strong for
    32 pixels. ``frost`` is not the official corruption: its photographs are not shipped, so a texture of similar
    colours and contrast is drawn and blended as published. All others follow the published recipe; ``motion_blur`` and
    ``snow`` reimplement ImageMagick's kernel, and ``elastic_transform`` interpolates exactly, while OpenCV uses a grid
    of 1/32 pixel. The random numbers differ from those of the official files, so the images of random corruptions do
    too.

    The random numbers of an image depend only on ``seed``, the corruption, the severity and the image's position in its
    data set, not on the rest of the batch. No global generator is used.

    Args:
        images: Shape ``(n, H, W, 3)``, or ``(n, H, W, 1)`` for grey, uint8; H and W at least 8.
        corruption: One of `CORRUPTIONS`.
        severity: A whole number from 1 to 5.
        seed: Seed of the random numbers.
        offset: Position of the first image in its data set, for a data set that is corrupted in batches.

    Returns:
        The corrupted images, same shape, uint8.

    Raises:
        ValueError: If an argument is invalid.

    Warns:
        UserWarning: If the images do not have 32 x 32 pixels, since the constants are lengths in pixels and unchanged.

    Source:
        Hendrycks and Dietterich, arXiv 1903.12261.

    Example:
        >>> import numpy as np
        >>> images = np.full((4, 32, 32, 3), 128, dtype=np.uint8)
        >>> noisy = corrupt(images, "gaussian_noise", severity=3)
        >>> noisy.shape, noisy.dtype
        ((4, 32, 32, 3), dtype('uint8'))
        >>> bool((noisy[2:] == corrupt(images[2:], "gaussian_noise", severity=3, offset=2)).all())
        True
    """
    _check_images(images)
    require_one_of("corruption", corruption, CORRUPTIONS)
    check_severity(severity)
    require_whole_number("seed", seed, 0)
    require_whole_number("offset", offset, 0)
    if images.shape[1:3] != (_CIFAR_SIDE, _CIFAR_SIDE):
        warnings.warn(
            f"The constants of CIFAR-10-C are for images of {_CIFAR_SIDE} x {_CIFAR_SIDE} pixels and are used "
            f"unchanged on {images.shape[1]} x {images.shape[2]}: blurs and grains have the same width in pixels.",
            stacklevel=2,
        )
    apply, index, severity = _BY_NAME[corruption], CORRUPTIONS.index(corruption), int(severity)
    corrupted = np.empty_like(images)
    for position, image in enumerate(images):
        seeds = np.random.SeedSequence(seed, spawn_key=(index, severity, offset + position))
        corrupted[position] = apply(image, severity, np.random.default_rng(seeds))
    return corrupted


def corrupt_tensor(images: Tensor, corruption: str, severity: int, *, seed: int = 0, offset: int = 0) -> Tensor:
    """Corrupt a batch of images in the form that networks take, see `corrupt`.

    Args:
        images: Pixels in [0, 1], shape ``(n, 3, H, W)`` or ``(n, 1, H, W)``, floating point, on any device. They are
            rounded to 256 levels first.
        corruption: One of `CORRUPTIONS`.
        severity: A whole number from 1 to 5.
        seed: Seed of the random numbers.
        offset: Position of the first image in its data set.

    Returns:
        Pixels in [0, 1], of the same shape, type and device.

    Raises:
        ValueError: If an argument is invalid.

    Example:
        >>> import torch
        >>> corrupt_tensor(torch.zeros(2, 3, 32, 32), "brightness", severity=5).unique()
        tensor([0.2980])
    """
    corrupted = corrupt(levels(images), corruption, severity, seed=seed, offset=offset)
    return unit_tensor(corrupted).to(images)


def levels(images: Tensor) -> Pixels:
    """Round a batch of pixels in [0, 1], shape ``(n, C, H, W)``, to uint8 images, shape ``(n, H, W, C)``."""
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(
            "Argument `images` must be a floating-point tensor of shape (n, C, H, W), "
            f"got {images.dtype} of shape {tuple(images.shape)}."
        )
    if images.numel() and not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"Argument `images` must hold pixels in [0, 1], got values from {images.min():g} to {images.max():g}; "
            "pass them before normalisation."
        )
    pixels: Pixels = (images.detach().float() * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return pixels


def unit_tensor(images: Pixels) -> Tensor:
    """Map uint8 images, shape ``(n, H, W, C)``, to a contiguous float32 batch in [0, 1], shape ``(n, C, H, W)``."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() / 255


def _check_images(images: Pixels) -> None:
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        actual = images.dtype if hasattr(images, "dtype") else type(images).__name__
        raise ValueError(f"Argument `images` must be a uint8 array, got {actual}; use `corrupt_tensor` for tensors.")
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or min(images.shape[1:3]) < _SMALLEST_SIDE:
        raise ValueError(
            f"Argument `images` must have shape (n, H, W, 3) or (n, H, W, 1) with H and W at least {_SMALLEST_SIDE}, "
            f"got {images.shape}."
        )


def check_severity(severity: int) -> None:
    """Raise a `ValueError` unless the severity is a whole number from 1 to 5."""
    if severity not in SEVERITIES:
        raise ValueError(f"Argument `severity` must be a whole number from 1 to 5, got {severity!r}.")
