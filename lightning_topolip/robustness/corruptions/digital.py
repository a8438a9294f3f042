"""The digital corruptions of CIFAR-10-C: contrast, elastic transform, pixelate and JPEG (arXiv 1903.12261).

Every corruption maps one image, uint8 ``(H, W, C)``, and a severity from 1 to 5 to an image of the same shape. All its
random numbers come from the generator.
"""

from io import BytesIO
from typing import Literal

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from PIL import Image
from scipy import ndimage

from lightning_topolip.robustness.corruptions.pixels import Pixels, Unit, to_pixels, to_unit

CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)
# Amplitude and sigma of the displacement field, largest shift of a corner, all as fractions of the shorter side.
ELASTIC = ((0.0, 0.0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03))
PIXELATE = (0.95, 0.9, 0.85, 0.75, 0.65)  # fraction of the pixels kept along each side
JPEG_QUALITY = (80, 65, 58, 50, 40)


def contrast(image: Pixels, severity: int, generator: Generator) -> Pixels:
    """Pull every channel towards its mean. The published recipe, not random."""
    unit = to_unit(image)
    mean = unit.mean(axis=(0, 1), keepdims=True)
    return to_pixels((unit - mean) * CONTRAST[severity - 1] + mean)


def elastic_transform(image: Pixels, severity: int, generator: Generator) -> Pixels:
    """Shift the corners of a triangle, then warp smoothly. The published recipe, without its grid of 1/32 pixel."""
    shape = image.shape[:2]
    side = min(shape)
    amplitude, sigma, shift = (side * fraction for fraction in ELASTIC[severity - 1])
    unit = _sheared(to_unit(image), generator.uniform(-shift, shift, size=(3, 2)))
    across, down = (
        amplitude * ndimage.gaussian_filter(generator.uniform(-1, 1, size=shape), sigma, mode="reflect", truncate=3)
        for _ in range(2)
    )
    rows, columns = np.indices(shape)
    return to_pixels(_sampled(unit, rows + down, columns + across, "reflect"))


def pixelate(image: Pixels, severity: int, generator: Generator) -> Pixels:
    """Shrink and enlarge by averaging over boxes. The published recipe, not random."""
    height, width, _ = image.shape
    fraction = PIXELATE[severity - 1]
    small = _picture(image).resize((int(width * fraction), int(height * fraction)), Image.Resampling.BOX)
    return _array(small.resize((width, height), Image.Resampling.BOX), image)


def jpeg_compression(image: Pixels, severity: int, generator: Generator) -> Pixels:
    """Compress and decompress as JPEG in memory. The published recipe, not random."""
    file = BytesIO()
    _picture(image).save(file, "JPEG", quality=JPEG_QUALITY[severity - 1])
    return _array(Image.open(file), image)


def _sheared(image: Unit, shifts: Unit) -> Unit:
    """Shift three points around the centre, each a third of the shorter side away, by an affine map of the image."""
    height, width, _ = image.shape
    centre, third = np.array([height // 2, width // 2]), min(height, width) // 3
    before = centre + third * np.array([[1, 1], [1, -1], [-1, -1]])
    after = np.column_stack([before + shifts, np.ones(3)])
    to_source = np.linalg.solve(after, before.astype(np.float64))
    rows, columns = np.indices((height, width))
    sources = np.stack([columns, rows, np.ones((height, width))], axis=-1) @ to_source
    return _sampled(image, sources[..., 1], sources[..., 0], "mirror")


def _sampled(image: Unit, rows: Unit, columns: Unit, mode: Literal["reflect", "mirror"]) -> Unit:
    channels = [
        ndimage.map_coordinates(image[..., channel], (rows, columns), order=1, mode=mode)
        for channel in range(image.shape[-1])
    ]
    return np.stack(channels, axis=-1)


def _picture(image: Pixels) -> Image.Image:
    return Image.fromarray(image if image.shape[-1] == 3 else image[..., 0])


def _array(picture: Image.Image, like: npt.NDArray[np.uint8]) -> Pixels:
    return np.asarray(picture).reshape(like.shape)
