"""One image file: its pixels from black to white whatever their depth, or an error that names it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

__all__ = ["check_image", "read_image"]

_BITS, _PHOTOMETRIC, _ORIENTATION = 258, 262, 274  # tags of TIFF and EXIF
_WHITE_IS_ZERO = 0
_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}


def read_image(path: Path) -> Image.Image:
    """Read an image file upright, in mode "RGB" (8 bits) or, for deeper grey images, "F" with values in [0, 1].

    Images of 8 bits or fewer are converted by Pillow. Grey images of 16 bits are divided by the largest value of their
    depth. Floating-point images must lie in [0, 1]. The orientation in the EXIF data is applied.

    Raises:
        ValueError: If the file cannot be read, or its pixels have no common range: 32-bit integers, or floating-point
            numbers outside [0, 1]. The text names the file.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "grey.png"
        >>> Image.fromarray(np.array([[0, 65535]], dtype=np.uint16)).save(path)
        >>> np.asarray(read_image(path)).tolist()
        [[0.0, 1.0]]
    """
    image: Image.Image = _with_name(path, _read)
    return image


def check_image(path: Path) -> None:
    """Raise a `ValueError` for a file that `read_image` refuses; a complete JPEG or PNG file is not decoded for it."""
    _with_name(path, _check)


def _with_name(path: Path, read: Callable[[Path], Any]) -> Any:
    try:
        return read(path)
    except Exception as error:  # Pillow's decoders raise many types for a damaged file
        reason = f"{str(error) or type(error).__name__}".replace("\n", " ").rstrip(".")
        raise ValueError(
            f"Argument `root` must hold readable images, got {path} ({reason}); repair, convert or remove this file."
        ) from error


def _read(path: Path) -> Image.Image:
    # Given a path instead of a stream, Pillow 13 scrambles uncompressed TIFF files that it turns.
    with path.open("rb") as stream, Image.open(stream) as file:
        bits, inverted = _depth(file)
        image = _upright(file)
        if file.mode == "F":
            values = np.asarray(image, dtype=np.float32)
            if not (values.min(initial=0) >= 0 and values.max(initial=0) <= 1):
                raise ValueError(f"floating-point pixels from {values.min()} to {values.max()} instead of 0 to 1")
            return _grey(values, inverted)
        if bits:
            return _grey(np.asarray(image).astype(np.float32) / (2**bits - 1), inverted)
        return image.convert("RGB")


def _check(path: Path) -> None:
    with path.open("rb") as stream:
        with Image.open(stream) as file:
            end = _ENDS.get(file.format or "", b"")
        stream.seek(-len(end), 2)
        complete = end != b"" and stream.read() == end
    if not complete:
        _read(path)


def _depth(file: Image.Image) -> tuple[int, bool]:
    """Bits of an integer grey image deeper than 8 bits, 0 for all others; whether 0 is white."""
    tags: dict[int, Any] = getattr(file, "tag_v2", {})
    inverted = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    if file.mode.startswith("I;16"):
        return int(tags.get(_BITS, (16,))[0]), inverted
    if file.mode != "I":
        return 0, inverted
    if tags:
        raise ValueError("32-bit or signed integer pixels, whose white is unknown: save it with 8 or 16 bits")
    return 16, False  # Pillow reads PNG and PGM files of more than 8 bits in this mode, with white at 65535


def _upright(file: Image.Image) -> Image.Image:
    file.load()
    try:
        turned = file.getexif().get(_ORIENTATION, 1) != 1
        return ImageOps.exif_transpose(file) if turned else file
    except Exception:  # damaged EXIF data, without which the pixels are as good
        return file


def _grey(values: npt.NDArray[np.float32], inverted: bool) -> Image.Image:
    return Image.fromarray(1 - values if inverted else values)
