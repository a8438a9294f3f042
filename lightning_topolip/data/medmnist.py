"""Medical images from the official files of MedMNIST."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import resize

from lightning_topolip.arguments import require_whole_number
from lightning_topolip.data.datamodule import ImageDataModule
from lightning_topolip.data.images import LabelledImages, mixed_order

__all__ = ["MedMNISTDataModule"]

_NATIVE = 28  # pixels of a side in the files without a size in their name
_STAGES = ("train", "val", "test")


class MedMNISTDataModule(ImageDataModule):
    """Medical images of MedMNIST: tissue, blood cells, skin, retina and others, in small sizes, with labels.

    A set is one official file, such as ``bloodmnist.npz`` (28 x 28 pixels) or ``bloodmnist_224.npz``, read without
    executing anything from it (``allow_pickle=False``). Training, validation and test images are those of the file,
    and the validation and test images are put into an order with mixed classes. Grey images become three equal
    channels; images of another size than `image_size` are resized (bilinear, antialiased). The augmentation shifts
    training images by up to a sixteenth of their size, since not every set may be flipped. Sets of two-dimensional
    images with one label each can be read: all but ChestMNIST and the 3D ones.

    Args:
        root: Folder that holds the file.
        name: Name of the set, such as ``"bloodmnist"`` or ``"pathmnist"``.
        file_size: Height and width of the images in the file: 28, 64, 128 or 224.
        image_size: Height and width in pixels.
        download: Download the file if it is missing; needs the package ``medmnist``.
        batch_size: Images per batch.
        num_workers: Worker processes that load images.
        **options: `seed`, `subset`, `augment` and `random_labels` of `ImageDataModule`.

    Raises:
        FileNotFoundError: If the file is missing.
        ModuleNotFoundError: If the file is missing and the package for the download as well.
        ValueError: If an argument is not allowed, or the file is no such set.

    Source: Yang et al., MedMNIST v2, DOI 10.1038/s41597-022-01721-8; https://medmnist.com has the files.

    Example:
        >>> import tempfile
        >>> from lightning_topolip.data import MedMNISTDataModule
        >>> root, random = tempfile.mkdtemp(), np.random.default_rng(0)
        >>> parts = {f"{stage}_images": random.integers(0, 256, (20, 28, 28, 3), dtype=np.uint8) for stage in _STAGES}
        >>> labels = {f"{stage}_labels": np.arange(20).reshape(20, 1) % 8 for stage in _STAGES}
        >>> np.savez(f"{root}/bloodmnist.npz", **parts, **labels)
        >>> data = MedMNISTDataModule(root, "bloodmnist", batch_size=4)
        >>> images, labels = next(iter(data.train_dataloader()))
        >>> images.shape, data.num_classes
        (torch.Size([4, 3, 32, 32]), 8)
    """

    def __init__(
        self,
        root: str = "data",
        name: str = "bloodmnist",
        *,
        file_size: int = _NATIVE,
        image_size: int = 32,
        download: bool = False,
        batch_size: int = 64,
        num_workers: int = 0,
        **options: Any,
    ) -> None:
        """Check the arguments."""
        super().__init__(batch_size, num_workers, **options)
        require_whole_number("image_size", image_size, 8)
        require_whole_number("file_size", file_size, 8)
        self.root, self.name, self.file_size, self.download = root, name.lower(), file_size, download
        self.image_shape = (3, image_size, image_size)
        self._class_names: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.root) / f"{self.name}{'' if self.file_size == _NATIVE else f'_{self.file_size}'}.npz"

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]  # known once the file is read
        """The labels, as numbers: their meaning is not in the file."""
        if not self._class_names:
            self._class_names = tuple(map(str, range(int(self._labels("train").max()) + 1)))
        return self._class_names

    def prepare_data(self) -> None:
        """Check that the file exists and, with `download`, download it."""
        if self.download and not self.path.is_file():
            self._download()
        if not self.path.is_file():
            raise FileNotFoundError(
                f"Argument `root` must hold {self.path.name}, got {Path(self.root).absolute()}; download it from "
                "https://medmnist.com, or use download=True with the package medmnist."
            )

    def setup(self, stage: str) -> None:
        """Read all images."""
        if self._sets:
            return
        padding = self.image_shape[1] // 16 if self.augment else 0
        images = {stage: self._images(stage) for stage in _STAGES}
        labels = {stage: self._labels(stage) for stage in _STAGES}
        for part in _STAGES:
            self._check(part, len(images[part]), labels[part])
        order = {part: mixed_order(labels[part], self._split_generator()) for part in _STAGES}
        kept = self._keep_subset(order["train"], labels["train"])
        self._sets = {
            "train": LabelledImages(images["train"], labels["train"], kept, seed=self.seed, padding=padding),
            "val": LabelledImages(images["val"], labels["val"], order["val"]),
            "test": LabelledImages(images["test"], labels["test"], order["test"]),
        }

    def _images(self, part: str) -> Tensor:
        """The images of a part, uint8 of shape ``(N, 3, size, size)``."""
        pixels = self._array(f"{part}_images")
        if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or (pixels.ndim == 4 and pixels.shape[3] != 3):
            raise ValueError(
                f"Argument `name` must be a set of two-dimensional images, got {part}_images of shape {pixels.shape} "
                f"in {pixels.dtype}, in {self.path}; 3D sets cannot be read."
            )
        images = torch.from_numpy(pixels)
        images = images.permute(0, 3, 1, 2) if images.ndim == 4 else images[:, None].expand(-1, 3, -1, -1)
        size = list(self.image_shape[1:])
        if list(images.shape[2:]) == size:
            return images
        return torch.cat([resize(images[start : start + 1024], size) for start in range(0, len(images), 1024)])

    def _labels(self, part: str) -> Tensor:
        labels = self._array(f"{part}_labels")
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                f"Argument `name` must be a set with one label per image, got {part}_labels of shape {labels.shape} "
                f"in {labels.dtype}, in {self.path}; sets with several, such as chestmnist, cannot be read."
            )
        return torch.from_numpy(labels.astype(np.int64))

    def _array(self, key: str) -> Any:
        self.prepare_data()
        try:
            with np.load(self.path, allow_pickle=False) as file:
                return file[key]
        except Exception as error:
            raise ValueError(
                f"Argument `name` must be a set of MedMNIST, got {self.path}, which cannot be read ({error}); download "
                "it again."
            ) from error

    def _check(self, part: str, count: int, labels: Tensor) -> None:
        if len(labels) != count or not 0 <= int(labels.min()) <= int(labels.max()) < self.num_classes:
            raise ValueError(
                f"Argument `name` must be a set with one label from 0 to {self.num_classes - 1} per image, got {count} "
                f"images and {len(labels)} labels from {int(labels.min())} to {int(labels.max())} in the part {part}, "
                f"in {self.path}."
            )

    def _download(self) -> None:
        try:
            from medmnist import INFO
            from torchvision.datasets.utils import download_url
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "`MedMNISTDataModule(download=True)` needs the package medmnist: pip install medmnist, or download "
                f"{self.path.name} from https://medmnist.com."
            ) from error
        suffix = "" if self.file_size == _NATIVE else f"_{self.file_size}"
        if f"url{suffix}" not in INFO.get(self.name, {}):
            known = ", ".join(sorted(INFO))
            raise ValueError(
                f"Argument `name` must be a set of MedMNIST out of {known}, in a size of 28, 64, 128 or 224, got "
                f"{self.name!r} in {self.file_size}."
            )
        entry = INFO[self.name]
        download_url(entry[f"url{suffix}"], self.root, self.path.name, entry[f"MD5{suffix}"])
