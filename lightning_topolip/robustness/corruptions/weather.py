"""The weather of CIFAR-10-C: snow, frost, fog and brightness (arXiv 1903.12261).

Every corruption maps one image, uint8 ``(H, W, C)``, and a severity from 1 to 5 to an image of the same shape. All its
random numbers come from the generator.
"""

import math

import numpy as np
from numpy.random import Generator

from lightning_topolip.robustness.corruptions.blur import smeared, zoomed
from lightning_topolip.robustness.corruptions.pixels import Pixels, Unit, to_pixels, to_unit

# Mean and standard deviation of the flakes, zoom factor, threshold, radius and sigma of their motion, image weight.
SNOW = (
    (0.1, 0.2, 1.0, 0.6, 8, 3.0, 0.95),
    (0.1, 0.2, 1.0, 0.5, 10, 4.0, 0.9),
    (0.15, 0.3, 1.75, 0.55, 10, 4.0, 0.9),
    (0.25, 0.3, 2.25, 0.6, 12, 6.0, 0.85),
    (0.3, 0.3, 1.25, 0.65, 14, 12.0, 0.8),
)
FROST = ((1.0, 0.2), (1.0, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))  # weight of the image, weight of the frost
FOG = ((0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75))  # strength, decay of the amplitude
BRIGHTNESS = (0.05, 0.1, 0.15, 0.2, 0.3)  # added to the value of HSV

# Colour from 0 to 255, contrast and spectral decay of five kinds of frost, close to the photographs of the published
# generator. The brightness of a photograph's crops varies by FROST_LIGHT.
FROST_KINDS = (
    ((78, 149, 165), 14, 1.2),
    ((198, 202, 212), 18, 0.8),
    ((198, 202, 212), 18, 0.8),
    ((142, 157, 170), 26, 0.4),
    ((104, 115, 127), 34, 1.1),
)
FROST_LIGHT = 10.0
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def snow(image: Pixels, severity: int, generator: Generator) -> Pixels:
    """Lighten the image and add falling flakes. The published recipe, with ImageMagick's motion blur reimplemented."""
    mean, spread, factor, threshold, radius, sigma, kept = SNOW[severity - 1]
    unit = to_unit(image)
    flakes = zoomed(generator.normal(mean, spread, size=(*image.shape[:2], 1)), factor)
    flakes[flakes < threshold] = 0
    fallen = to_unit(smeared(to_pixels(flakes), radius, sigma, generator.uniform(-135, -45)))
    grey = np.dot(unit, LUMA)[..., np.newaxis] if image.shape[-1] == 3 else unit
    lightened = kept * unit + (1 - kept) * np.maximum(unit, grey * 1.5 + 0.5)
    return to_pixels(lightened + fallen + np.rot90(fallen, k=2))


def frost(image: Pixels, severity: int, generator: Generator) -> Pixels:
    """Blend frost into the image as published, but with a drawn texture, so this is not the official frost.

    The published generator crops photographs, which are not shipped with this package.
    """
    weight, share = FROST[severity - 1]
    return to_pixels(weight * to_unit(image) + share * frost_texture(image.shape, generator))


def fog(image: Pixels, severity: int, generator: Generator) -> Pixels:
    """Add clouds and darken to the image's original maximum. The published recipe."""
    strength, decay = FOG[severity - 1]
    height, width, _ = image.shape
    unit = to_unit(image)
    clouds = plasma(1 << (max(height, width) - 1).bit_length(), decay, generator)[:height, :width, np.newaxis]
    return to_pixels((unit + strength * clouds) * (unit.max() / (unit.max() + strength)))


def brightness(image: Pixels, severity: int, generator: Generator) -> Pixels:
    """Raise the value of HSV, keep hue and saturation. The published recipe, not random."""
    unit = to_unit(image)
    value = unit.max(axis=-1, keepdims=True)
    raised = np.minimum(value + BRIGHTNESS[severity - 1], 1.0)
    share = np.divide(unit, value, out=np.ones_like(unit), where=value > 0)
    return to_pixels(share * raised)


def plasma(size: int, decay: float, generator: Generator) -> Unit:
    """Draw clouds from 0 to 1 by midpoint displacement (the diamond-square algorithm) on a torus.

    The side must be a power of two. The amplitude is divided by ``decay`` from scale to scale; its square is the
    largest displacement. Fournier, Fussell, Carpenter 1982, DOI 10.1145/358523.358553; constants of arXiv 1903.12261.
    """
    heights = np.zeros((size, size))
    amplitude, step = 100.0, size
    while step >= 2:
        half = step // 2
        corners = heights[::step, ::step]
        across, down = corners + np.roll(corners, -1, axis=1), corners + np.roll(corners, -1, axis=0)
        centres = _displaced(across + np.roll(across, -1, axis=0), amplitude, generator)
        above, left = np.roll(centres, 1, axis=0), np.roll(centres, 1, axis=1)
        heights[half::step, half::step] = centres
        heights[::step, half::step] = _displaced(centres + above + across, amplitude, generator)
        heights[half::step, ::step] = _displaced(centres + left + down, amplitude, generator)
        step, amplitude = half, amplitude / decay
    lowest, highest = heights.min(), heights.max()
    clouds: Unit = (heights - lowest) / (highest - lowest)
    return clouds


def frost_texture(shape: tuple[int, ...], generator: Generator) -> Unit:
    """Draw frost from 0 to 1: grains and needles in one direction, with a power spectrum like that of photographs."""
    height, width, channels = shape
    colour, contrast, decay = FROST_KINDS[generator.integers(len(FROST_KINDS))]
    direction = generator.uniform(0, math.pi)
    down, across = np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width)
    along = down * math.sin(direction) + across * math.cos(direction)
    perpendicular = down * math.cos(direction) - across * math.sin(direction)
    frequency = np.hypot(2 * along, perpendicular)
    frequency[0, 0] = math.inf
    spectrum = np.fft.rfft2(generator.normal(size=(height, width))) * frequency ** (-decay / 2)
    grains = np.fft.irfft2(spectrum, (height, width))
    light = contrast * grains / grains.std() + generator.normal(scale=FROST_LIGHT)
    tint = np.array(colour) if channels == 3 else np.dot(colour, LUMA)[np.newaxis]
    texture: Unit = (tint + light[..., np.newaxis]).clip(0, 255) / 255
    return texture


def _displaced(neighbour_sum: Unit, amplitude: float, generator: Generator) -> Unit:
    """Average four neighbours, given as their sum, and displace the average at random."""
    return neighbour_sum / 4 + amplitude * generator.uniform(-amplitude, amplitude, neighbour_sum.shape)
