"""Reader of the official files of CIFAR-10-C."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lightning_topolip.arguments import require_one_of
from lightning_topolip.robustness.corruptions.corrupt import CORRUPTIONS, SEVERITIES, check_severity
from lightning_topolip.robustness.corruptions.pixels import Pixels

_READABLE = (*CORRUPTIONS, "speckle_noise", "gaussian_blur", "spatter", "saturate")


def read_cifar10_c(folder: str | Path, corruption: str, severity: int) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Read the images of one corruption and severity from the official files without loading the others.

    Each file ``<corruption>.npy`` contains the 10,000 test images five times, severity 1 first; ``labels.npy`` contains
    their classes. Files of the same format with fewer images work too. Nothing in the files is executed.

    Args:
        folder: Folder of the files (DOI 10.5281/zenodo.2535967).
        corruption: One of `CORRUPTIONS`, or of the four extra corruptions among the official files.
        severity: A whole number from 1 to 5.

    Returns:
        Images, shape ``(n, 32, 32, 3)``, uint8, mapped from the file and read-only; labels, shape ``(n,)``.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If an argument is invalid or a file has another format.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> np.save(folder / "fog.npy", np.repeat(np.arange(5, dtype=np.uint8), 2 * 32 * 32 * 3).reshape(10, 32, 32, 3))
        >>> np.save(folder / "labels.npy", np.array([7, 1] * 5, dtype=np.uint8))
        >>> images, labels = read_cifar10_c(folder, "fog", severity=3)
        >>> images.shape, int(images.max()), labels.tolist()
        ((2, 32, 32, 3), 2, [7, 1])
    """
    require_one_of("corruption", corruption, _READABLE)
    check_severity(severity)
    images, labels = (_mapped(Path(folder) / f"{name}.npy") for name in (corruption, "labels"))
    if images.dtype != np.uint8 or images.shape[1:] != (32, 32, 3) or not len(images) or len(images) % len(SEVERITIES):
        raise ValueError(
            f"Argument `folder` must hold the official CIFAR-10-C files, with {corruption}.npy uint8 of shape "
            f"(50000, 32, 32, 3), got {images.dtype} of shape {images.shape}; download it again."
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != images.shape[:1]:
        raise ValueError(
            f"Argument `folder` must hold the official CIFAR-10-C files, with one whole number in labels.npy for each "
            f"of {len(images)} images, got {labels.dtype} of shape {labels.shape}; download it again."
        )
    n = len(images) // len(SEVERITIES)
    rows = slice((severity - 1) * n, severity * n)
    return images[rows], labels[rows].astype(np.int64)


def _mapped(path: Path) -> npt.NDArray[Any]:
    if not path.is_file():
        names = sorted(file.name for file in path.parent.glob("*.npy"))
        raise FileNotFoundError(
            f"Argument `folder` must hold the official CIFAR-10-C files, among them {path.name}, got "
            f"{path.parent.absolute()} with {', '.join(names) or 'no .npy file'}; "
            "unpack CIFAR-10-C.tar there, or create the images with `corrupt`."
        )
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"Argument `folder` must hold the official CIFAR-10-C files, got {path}, which is damaged or not a plain "
            f"array ({error}); nothing in it was executed, download it again."
        ) from error
    return array
