"""Images as CIFAR-10-C stores them, and as its recipes calculate with them."""

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Unit = npt.NDArray[np.float64]


def to_unit(image: Pixels) -> Unit:
    """Map pixels from 0 to 255 to numbers from 0 to 1.

    Args:
        image: Any shape, uint8.

    Returns:
        The same shape, float64.
    """
    return image / 255.0


def to_pixels(values: Unit) -> Pixels:
    """Map numbers from 0 to 1 to pixels as the published generator does: clipped, then rounded down.

    Args:
        values: Any shape; what lies outside [0, 1] is clipped.

    Returns:
        The same shape, uint8.

    Example:
        >>> import numpy as np
        >>> to_pixels(np.array([-0.1, 0.5, 1.2])).tolist()
        [0, 127, 255]
    """
    return (values.clip(0.0, 1.0) * 255).astype(np.uint8)
