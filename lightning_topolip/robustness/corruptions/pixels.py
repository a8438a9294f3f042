"""Images in the two forms of CIFAR-10-C: pixels from 0 to 255, as stored, and numbers from 0 to 1, for its recipes."""

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Unit = npt.NDArray[np.float64]


def to_unit(image: Pixels) -> Unit:
    """Map pixels from 0 to 255 to numbers from 0 to 1, float64."""
    return image / 255.0


def to_pixels(values: Unit) -> Pixels:
    """Map numbers from 0 to 1 to pixels as the published generator does: clipped, then rounded down.

    Example:
        >>> import numpy as np
        >>> to_pixels(np.array([-0.1, 0.5, 1.2])).tolist()
        [0, 127, 255]
    """
    return (values.clip(0.0, 1.0) * 255).astype(np.uint8)
