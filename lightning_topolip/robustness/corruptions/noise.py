"""The noise of CIFAR-10-C: Gaussian, shot and impulse, by the published recipe (arXiv 1903.12261).

Every corruption maps one image, uint8 ``(H, W, C)``, and a severity from 1 to 5 to an image of the same shape. All its
random numbers come from the generator.
"""

from numpy.random import Generator

from lightning_topolip.robustness.corruptions.pixels import Pixels, to_pixels, to_unit

GAUSSIAN_STD = (0.04, 0.06, 0.08, 0.09, 0.10)  # of the pixel range
SHOT_PHOTONS = (500, 250, 100, 75, 50)  # mean count of a white pixel
IMPULSE_SHARE = (0.01, 0.02, 0.03, 0.05, 0.07)  # of all values, channels independently


def gaussian_noise(image: Pixels, severity: int, generator: Generator) -> Pixels:
    """Add normal noise to every value. The published recipe."""
    noise = generator.normal(scale=GAUSSIAN_STD[severity - 1], size=image.shape)
    return to_pixels(to_unit(image) + noise)


def shot_noise(image: Pixels, severity: int, generator: Generator) -> Pixels:
    """Replace every value by a Poisson number of photons over the count of a white pixel. The published recipe."""
    photons = SHOT_PHOTONS[severity - 1]
    return to_pixels(generator.poisson(to_unit(image) * photons) / photons)


def impulse_noise(image: Pixels, severity: int, generator: Generator) -> Pixels:
    """Set a share of all values to black or white, half each. The published recipe."""
    hit = generator.random(image.shape) <= IMPULSE_SHARE[severity - 1]
    white = generator.random(image.shape) <= 0.5
    noisy = image.copy()
    noisy[hit] = 255 * white[hit]
    return noisy
