"""The official files of CIFAR-10-C, read where they lie."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lightning_topolip.robustness.corruptions.corrupt import CORRUPTIONS, SEVERITIES
from lightning_topolip.robustness.corruptions.pixels import Pixels

EXTRA_CORRUPTIONS: tuple[str, ...] = ("speckle_noise", "gaussian_blur", "spatter", "saturate")


def read_cifar10_c(folder: str | Path, corruption: str, severity: int) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Read the images of one corruption and severity from the official files, without loading the others.

    Every file ``<corruption>.npy`` holds the 10,000 test images five times, severity 1 first; ``labels.npy`` holds
    their classes. The same format with fewer images is read too. Nothing in the files is executed.

    Args:
        folder: Where the files lie (DOI 10.5281/zenodo.2535967).
        corruption: One of `CORRUPTIONS`, or of the four further ones that the official files hold.
        severity: From 1 to 5.

    Returns:
        Images, shape ``(n, 32, 32, 3)``, uint8, mapped from the file and read-only; labels, shape ``(n,)``.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If an argument is not allowed or a file is of another format.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> np.save(folder / "fog.npy", np.repeat(np.arange(5, dtype=np.uint8), 2 * 32 * 32 * 3).reshape(10, 32, 32, 3))
        >>> np.save(folder / "labels.npy", np.array([7, 1] * 5, dtype=np.uint8))
        >>> images, labels = read_cifar10_c(folder, "fog", severity=3)
        >>> images.shape, int(images.max()), labels.tolist()
        ((2, 32, 32, 3), 2, [7, 1])
    """
    known = CORRUPTIONS + EXTRA_CORRUPTIONS
    if corruption not in known:
        raise ValueError(f"Argument `corruption` must be one of {known}, got {corruption!r}.")
    if severity not in SEVERITIES:
        raise ValueError(f"Argument `severity` must be a whole number from 1 to 5, got {severity!r}.")
    images, labels = (_mapped(Path(folder) / f"{name}.npy") for name in (corruption, "labels"))
    if images.dtype != np.uint8 or images.shape[1:] != (32, 32, 3) or not len(images) or len(images) % len(SEVERITIES):
        raise ValueError(
            f"Argument `folder` must hold the official CIFAR-10-C files; {corruption}.npy must be uint8 of shape "
            f"(50000, 32, 32, 3), got {images.dtype} of shape {images.shape}; fetch it again."
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != images.shape[:1]:
        raise ValueError(
            f"Argument `folder` must hold the official CIFAR-10-C files; labels.npy must hold a whole number for each "
            f"of {len(images)} images, got {labels.dtype} of shape {labels.shape}; fetch it again."
        )
    n = len(images) // len(SEVERITIES)
    chosen = slice((severity - 1) * n, severity * n)
    return images[chosen], labels[chosen].astype(np.int64)


def _mapped(path: Path) -> npt.NDArray[Any]:
    if not path.is_file():
        there = sorted(file.name for file in path.parent.glob("*.npy"))
        raise FileNotFoundError(
            f"Argument `folder` must hold the official CIFAR-10-C files; {path.name} is not in "
            f"{path.parent.absolute()}, which holds {', '.join(there) or 'no .npy file'}. "
            "Unpack CIFAR-10-C.tar there, or make such images with `corrupt`."
        )
    try:
        found: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"Argument `folder` must hold the official CIFAR-10-C files; {path} is damaged or no plain array "
            f"({error}); nothing in it was executed. Fetch it again."
        ) from error
    return found
