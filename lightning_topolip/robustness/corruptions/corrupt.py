"""The fifteen corruptions of CIFAR-10-C at its own constants, on any images, seeded image by image."""

import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

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
_SIDE = 32
_SMALLEST = 8


def corrupt(images: Pixels, corruption: str, severity: int, *, seed: int = 0, offset: int = 0) -> Pixels:
    """Corrupt images as CIFAR-10-C does.

    Constants and rounding (down) are those of the generator of CIFAR-10-C; ImageNet-C's are too strong at 32 pixels.
    ``frost`` is not the official one: the photographs behind it are not shipped, so a texture of similar colours and
    contrast is drawn, and blended as published. All others follow the published recipe; ``motion_blur`` and ``snow``
    restate ImageMagick's kernel, ``elastic_transform`` interpolates exactly where OpenCV does so on a grid of 1/32
    pixel. The random numbers are this package's own, so where something is drawn no image equals its official file.

    What is drawn for an image depends on ``seed``, corruption, severity and the image's place in its data set alone,
    not on the batch around it. No global generator is used.

    Args:
        images: Shape ``(n, H, W, 3)``, or ``(n, H, W, 1)`` for grey, uint8; H and W at least 8.
        corruption: One of `CORRUPTIONS`.
        severity: From 1 to 5.
        seed: Seed of all that is drawn.
        offset: Place of the first image in its data set, for a data set that is corrupted in batches.

    Returns:
        The same shape, uint8.

    Raises:
        ValueError: If an argument is not allowed.

    Warns:
        UserWarning: If the images are not of 32 x 32 pixels: the constants are lengths in pixels and stay as they are.

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
    _check_choice(corruption, severity, seed, offset)
    if images.shape[1:3] != (_SIDE, _SIDE):
        warnings.warn(
            f"The constants of CIFAR-10-C are for images of {_SIDE} x {_SIDE} pixels and are used unchanged on "
            f"{images.shape[1]} x {images.shape[2]}: blurs and grains are as wide in pixels as there.",
            stacklevel=2,
        )
    apply, which, severity = _BY_NAME[corruption], CORRUPTIONS.index(corruption), int(severity)
    corrupted = np.empty_like(images)
    for place, image in enumerate(images):
        drawn = np.random.SeedSequence(seed, spawn_key=(which, severity, offset + place))
        corrupted[place] = apply(image, severity, np.random.default_rng(drawn))
    return corrupted


def corrupt_tensor(images: Tensor, corruption: str, severity: int, *, seed: int = 0, offset: int = 0) -> Tensor:
    """Corrupt a batch as a network takes it.

    Args:
        images: Pixels in [0, 1], shape ``(n, 3, H, W)`` or ``(n, 1, H, W)``, floating point, on any device. They are
            rounded to 256 levels first.
        corruption: One of `CORRUPTIONS`.
        severity: From 1 to 5.
        seed: Seed of all that is drawn.
        offset: Place of the first image in its data set.

    Returns:
        Pixels in [0, 1], of the same shape, type and device.

    Raises:
        ValueError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> corrupt_tensor(torch.zeros(2, 3, 32, 32), "brightness", severity=5).unique()
        tensor([0.2980])
    """
    corrupted = corrupt(levels(images), corruption, severity, seed=seed, offset=offset)
    return unit_tensor(corrupted).to(images)


def levels(images: Tensor) -> Pixels:
    """Round a batch of pixels in [0, 1], shape ``(n, C, H, W)``, to uint8 ``(n, H, W, C)``.

    Args:
        images: The batch.

    Returns:
        The same images as CIFAR-10-C stores them.

    Raises:
        ValueError: If they are no pixels in [0, 1].
    """
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(
            "Argument `images` must be a floating-point tensor of shape (n, C, H, W), "
            f"got {images.dtype} of shape {tuple(images.shape)}."
        )
    if images.numel() and not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"Argument `images` must hold pixels in [0, 1], got values from {images.min():g} to {images.max():g}; "
            "give them before normalisation."
        )
    whole: Pixels = (images.detach().float() * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return whole


def unit_tensor(images: Pixels) -> Tensor:
    """Map uint8 images, shape ``(n, H, W, C)``, to pixels in [0, 1], float32 of shape ``(n, C, H, W)``.

    Args:
        images: The images.

    Returns:
        The batch, contiguous.
    """
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() / 255


def _check_images(images: Pixels) -> None:
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        found = images.dtype if hasattr(images, "dtype") else type(images).__name__
        raise ValueError(f"Argument `images` must be a uint8 array, got {found}; for tensors use corrupt_tensor.")
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or min(images.shape[1:3]) < _SMALLEST:
        raise ValueError(
            f"Argument `images` must have shape (n, H, W, 3) or (n, H, W, 1) with H and W at least {_SMALLEST}, "
            f"got {images.shape}."
        )


def _check_choice(corruption: str, severity: int, seed: int, offset: int) -> None:
    if corruption not in _BY_NAME:
        raise ValueError(f"Argument `corruption` must be one of {CORRUPTIONS}, got {corruption!r}.")
    if severity not in SEVERITIES:
        raise ValueError(f"Argument `severity` must be a whole number from 1 to 5, got {severity!r}.")
    for name, value in (("seed", seed), ("offset", offset)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(f"Argument `{name}` must be a whole number >= 0, got {value!r}.")
