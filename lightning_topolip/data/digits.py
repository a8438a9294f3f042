"""The handwritten digits that come with scikit-learn."""

from typing import Any

import torch
from torch.nn.functional import interpolate

from lightning_topolip.data.datamodule import ImageDataModule
from lightning_topolip.data.images import digit_shape

__all__ = ["DigitsDataModule"]


class DigitsDataModule(ImageDataModule):
    """Handwritten digits of scikit-learn: 1,797 real images, nothing to download.

    The 8 x 8 images (UCI "Optical Recognition of Handwritten Digits", values 0 to 16) are scaled to [0, 1]
    and enlarged bilinearly. The split is stratified: 60% training (1,079
    images), 20% validation, 20% test. The augmentation shifts training images by up to 2 pixels.

    Args:
        batch_size: Images per batch.
        num_workers: Worker processes that load images.
        image_size: Height and width in pixels.
        channels: Copies of the grey channel.
        **options: `seed`, `subset`, `augment` and `random_labels` of `ImageDataModule`.

    Example:
        >>> from lightning_topolip.data import DigitsDataModule
        >>> data = DigitsDataModule(batch_size=64)
        >>> images, labels = next(iter(data.train_dataloader()))
        >>> images.shape, labels.shape
        (torch.Size([64, 3, 32, 32]), torch.Size([64]))
    """

    class_names = tuple("0123456789")

    def __init__(
        self,
        batch_size: int = 64,
        *,
        num_workers: int = 0,
        image_size: int = 32,
        channels: int = 3,
        **options: Any,
    ) -> None:
        """Check the arguments."""
        super().__init__(batch_size, num_workers, **options)
        self.image_shape = digit_shape(channels, image_size)

    def setup(self, stage: str) -> None:
        """Enlarge and split the images."""
        if self._sets:
            return
        from sklearn.datasets import load_digits

        digits = load_digits()
        small = torch.from_numpy(digits.images / 16).float().unsqueeze(1)
        images = interpolate(small, size=self.image_shape[1:], mode="bilinear").clamp(0, 1)
        images = images.expand(-1, self.image_shape[0], -1, -1)
        labels = torch.from_numpy(digits.target).long()
        self._sets = self._divide(images, labels, held_out=0.2, padding=2 if self.augment else 0)
