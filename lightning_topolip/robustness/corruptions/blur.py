"""The blurs of CIFAR-10-C: defocus, glass, motion and zoom (arXiv 1903.12261).

Every corruption maps one image, uint8 ``(H, W, C)``, and a severity from 1 to 5 to an image of the same shape. Lengths
are in pixels. All its random numbers come from the generator.
"""

import math
from functools import cache

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from lightning_topolip.robustness.corruptions.pixels import Pixels, Unit, to_pixels, to_unit

DEFOCUS = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))  # radius of the disk, sigma of its edge
GLASS = ((0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2))  # sigma, number of shuffles
MOTION = ((6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5))  # radius, sigma
ZOOM_FACTORS = (7, 12, 16, 21, 26)  # number of zoom factors, starting from 1
ZOOM_STEP = 1.01 - 1  # rounded as by numpy.arange: 26 * 1.25 must be just above 32.5


def defocus_blur(image: Pixels, severity: int, generator: Generator) -> Pixels:
    """Spread every pixel over a small disk. The published recipe, not random."""
    kernel = disk_kernel(*DEFOCUS[severity - 1])
    return to_pixels(ndimage.correlate(to_unit(image), kernel[..., np.newaxis], mode="mirror"))


def glass_blur(image: Pixels, severity: int, generator: Generator) -> Pixels:
    """Blur, take every pixel from itself or a neighbour above or left, blur again.

    The published recipe. The published code is meant to swap neighbours, but because it assigns from views it copies
    one onto the other, and CIFAR-10-C was generated that way.
    """
    sigma, shuffles = GLASS[severity - 1]
    height, width, _ = image.shape
    rows, columns = np.mgrid[height - 1 : 1 : -1, width - 1 : 1 : -1]
    shuffled = to_pixels(_smoothed(to_unit(image), sigma))
    for _ in range(shuffles):
        # a source lies above or to the left of its target, so it was never an earlier target
        across, down = np.moveaxis(generator.integers(-1, 1, size=(*rows.shape, 2)), -1, 0)
        shuffled[rows, columns] = shuffled[rows + down, columns + across]
    return to_pixels(_smoothed(to_unit(shuffled), sigma))


def motion_blur(image: Pixels, severity: int, generator: Generator) -> Pixels:
    """Smear along a direction drawn from -45 to 45 degrees. The published recipe, with ImageMagick reimplemented."""
    return smeared(image, *MOTION[severity - 1], generator.uniform(-45, 45))


def zoom_blur(image: Pixels, severity: int, generator: Generator) -> Pixels:
    """Average the image with itself zoomed in step by step. The published recipe, not random."""
    unit = to_unit(image)
    count = ZOOM_FACTORS[severity - 1]
    total = sum((zoomed(unit, 1 + ZOOM_STEP * step) for step in range(count)), start=unit)
    return to_pixels(total / (count + 1))


def disk_kernel(radius: float, sigma: float) -> Unit:
    """Return the kernel of an out-of-focus lens, shape ``(k, k)``: a disk, smoothed by a Gaussian of three taps.

    It is computed in single precision, as published, because that decides which whole numbers are rounded down.

    Example:
        >>> disk_kernel(1, 1e-3)[2].round(3).tolist()
        [0.0, 0.2, 0.2, 0.2, 0.0]
    """
    reach = math.ceil(radius) + 1
    positions = np.arange(-reach, reach + 1)
    disk = (np.add.outer(positions**2, positions**2) <= radius**2).astype(np.float32)
    taps = np.exp(-(np.arange(-1, 2) ** 2) / (2 * sigma**2))
    taps = (taps / taps.sum()).astype(np.float32)
    smoothed = ndimage.correlate1d(disk / disk.sum(), taps, axis=0, mode="constant")
    return ndimage.correlate1d(smoothed, taps, axis=1, mode="constant").astype(np.float64)


def smeared(image: Pixels, radius: int, sigma: float, angle: float) -> Pixels:
    """Blur along a line, to one side, as ImageMagick's motion blur does; the angle is in degrees clockwise from right.

    The weights are half a Gaussian over ``2 radius + 1`` whole pixels, the image's edge is repeated, and the result is
    rounded as in ImageMagick: to the nearest of 65,536 levels, then down to 256.
    """
    reach = 2 * radius
    steps = np.arange(reach + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    direction = math.radians(angle)
    down = np.ceil(steps * math.sin(direction) - 0.5).astype(int)
    across = np.ceil(steps * math.cos(direction) - 0.5).astype(int)
    height, width, _ = image.shape
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    total = np.zeros(image.shape)
    for weight, top, left in zip(weights, reach + down, reach + across, strict=True):
        total += weight * padded[top : top + height, left : left + width]
    fine = (total * 257 + 0.5).astype(np.uint16)
    return (fine // 257).astype(np.uint8)


def zoomed(image: Unit, factor: float) -> Unit:
    """Enlarge the centre of an image linearly by a factor of at least 1 and crop it to the original size."""
    rows, columns = _zoom_weights(image.shape[0], factor), _zoom_weights(image.shape[1], factor)
    return np.moveaxis(np.tensordot(np.tensordot(rows, image, 1), columns, ((1,), (1,))), -1, 1)


@cache
def _zoom_weights(size: int, factor: float) -> Unit:
    """The matrix of the interpolation along one side, shape ``(size, size)``; the first and last pixels are kept."""
    kept = math.ceil(size / factor)
    enlarged = round(kept * factor)
    positions = (np.arange(size) + (enlarged - size) // 2) * ((kept - 1) / (enlarged - 1))
    below = np.minimum(positions.astype(int), kept - 2)
    weights = np.zeros((size, size))
    first = (size - kept) // 2 + below
    weights[np.arange(size), first] = 1 - (positions - below)
    weights[np.arange(size), first + 1] = positions - below
    return weights


def _smoothed(image: Unit, sigma: float) -> Unit:
    return ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest")
