"""CIFAR-10 from its official files."""

import socket
from pathlib import Path
from typing import Any

import torch
from torchvision.datasets import CIFAR10

from lightning_topolip.data.datamodule import ImageDataModule
from lightning_topolip.data.images import LabelledImages, mixed_order

__all__ = ["CIFAR10DataModule"]

_DOWNLOAD_TIMEOUT = 30.0  # seconds without a response


class CIFAR10DataModule(ImageDataModule):
    """CIFAR-10 from its official files: 45,000 training, 5,000 validation and 10,000 test images.

    Images have 32 x 32 pixels. The official files are Python pickles; torchvision compares their MD5
    checksums with the published ones before it reads them. The split is stratified. The augmentation pads
    training images by 4 pixels, crops them at random and flips half of them left to right. Test images keep
    the official order.

    Args:
        root: Folder that holds `cifar-10-batches-py`.
        download: Download the files if they are missing.
        batch_size: Images per batch.
        num_workers: Worker processes that load images.
        **options: `seed`, `subset`, `augment` and `random_labels` of `ImageDataModule`.

    Example:
        >>> from lightning_topolip.data import CIFAR10DataModule
        >>> data = CIFAR10DataModule(root="data", subset=5000)
        >>> data.num_classes, data.image_shape
        (10, (3, 32, 32))
    """

    image_shape = (3, 32, 32)
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    def __init__(
        self,
        root: str = "data",
        *,
        download: bool = False,
        batch_size: int = 128,
        num_workers: int = 2,
        **options: Any,
    ) -> None:
        """Keep the arguments."""
        super().__init__(batch_size, num_workers, **options)
        self.root = root
        self.download = download

    def prepare_data(self) -> None:
        """Check that the files exist and, with `download`, download them."""
        self._open(train=True, download=self.download)

    def _open(self, *, train: bool, download: bool = False) -> CIFAR10:
        timeout = socket.getdefaulttimeout()
        socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT)
        try:
            return CIFAR10(self.root, train=train, download=download)
        except (OSError, RuntimeError) as error:
            reason = "the download failed" if download else "download is off"
            raise FileNotFoundError(
                f"Argument `root` must hold all official CIFAR-10 files, got {Path(self.root).absolute()}; {reason} "
                f"({error}): use download=True on a machine with internet access, or put the folder "
                "cifar-10-batches-py into root; for your own image files use ImageFolderDataModule."
            ) from error
        finally:
            socket.setdefaulttimeout(timeout)

    def setup(self, stage: str) -> None:
        """Read all images and split the training images."""
        if self._sets:
            return
        train, test = self._open(train=True), self._open(train=False)
        images, labels = torch.from_numpy(train.data).permute(0, 3, 1, 2), torch.tensor(train.targets)
        order = mixed_order(labels, self._split_generator())
        held_out = len(labels) // 10
        kept = self._keep_subset(order[held_out:], labels)
        padding = 4 if self.augment else 0
        self._sets = {
            "train": LabelledImages(images, labels, kept, seed=self.seed, padding=padding, flip=self.augment),
            "val": LabelledImages(images, labels, order[:held_out]),
            "test": LabelledImages(torch.from_numpy(test.data).permute(0, 3, 1, 2), torch.tensor(test.targets)),
        }
