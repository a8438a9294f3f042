"""Labelled images, in memory or in files, and the order in which they are split and read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset, get_worker_info
from torchvision.transforms.functional import center_crop, pil_to_tensor, resize

from lightning_topolip.data.image_file import read_image

__all__ = ["ImageFiles", "LabelledImages", "digit_shape", "mixed_order"]


class ImageSource(Protocol):
    """Anything that returns one image, (channels, height, width), for an index: a tensor, or files."""

    def __getitem__(self, index: int, /) -> Tensor:
        """Return the image at this index."""


class ImageFiles:
    """Image files, read as RGB on each access; other sizes are resized (shorter side, bilinear), then centre-cropped.

    `read_image` says what is read. Grey images of more than 8 bits keep their depth.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "red.png"
        >>> Image.new("RGB", (40, 30), "red").save(path)
        >>> ImageFiles([path], size=32)[0].shape
        torch.Size([3, 32, 32])
    """

    def __init__(self, paths: Sequence[Path], size: int) -> None:
        """Keep the arguments."""
        self.paths = list(paths)
        self.size = size

    def __getitem__(self, index: int, /) -> Tensor:
        """Read one image, (3, size, size): uint8, or float32 in [0, 1] for a grey image of more than 8 bits."""
        image = read_image(self.paths[index])
        if image.size != (self.size, self.size):
            image = center_crop(resize(image, [self.size]), [self.size, self.size])
        pixels: Tensor = pil_to_tensor(image)
        return pixels if image.mode == "RGB" else pixels.clamp(0, 1).expand(3, -1, -1)


class LabelledImages(Dataset[tuple[Tensor, int]]):
    """Pairs of an image, float32 (channels, height, width) in [0, 1], and its label.

    The augmentation has its own generator, seeded with `seed` in the main process and with the worker's seed in each
    worker of a loader. It crops images at random after adding `padding` black pixels on each side, and with `flip`
    it flips half of them left to right. `indices` selects the images of the set, in order; None takes all.

    Example:
        >>> pairs = LabelledImages(torch.rand(5, 3, 8, 8), torch.arange(5), indices=torch.tensor([4, 2]))
        >>> image, label = pairs[0]
        >>> len(pairs), image.shape, label
        (2, torch.Size([3, 8, 8]), 4)
    """

    def __init__(
        self,
        images: ImageSource,
        labels: Tensor,
        indices: Tensor | None = None,
        *,
        seed: int = 0,
        padding: int = 0,
        flip: bool = False,
    ) -> None:
        """Keep the arguments."""
        self.images = images
        self.labels = labels
        self.indices = torch.arange(len(labels)) if indices is None else indices
        self._label_order: Tensor | None = None
        self.seed = seed
        self.padding = padding
        self.flip = flip
        self._generator = Generator().manual_seed(seed)
        self._generator_seed = seed

    def reseed(self, seed: int) -> None:
        """Reseed the augmentation."""
        self.seed = self._generator_seed = seed
        self._generator.manual_seed(seed)

    def exchange_labels(self, seed: int) -> None:
        """Exchange the labels of the set's images at random, in the same way for the same seed."""
        self._label_order = torch.randperm(len(self.indices), generator=Generator().manual_seed(seed))

    @property
    def random_state(self) -> Tensor:
        """State of the augmentation's generator in this process."""
        return self._generator.get_state()

    @random_state.setter
    def random_state(self, state: Tensor) -> None:
        self._generator.set_state(state)

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes with the generator as bytes, since torch cannot send one to a spawned worker."""
        return {**vars(self), "_generator": self.random_state.numpy().tobytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set the attributes."""
        vars(self).update(state, _generator=Generator())
        self.random_state = torch.frombuffer(bytearray(state["_generator"]), dtype=torch.uint8)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.indices)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        """Return one pair."""
        index = int(self.indices[position])
        image = self.images[index]
        if image.dtype == torch.uint8:
            image = image.float() / 255
        if self.padding or self.flip:
            image = self._augment(image)
        labelled = index if self._label_order is None else int(self.indices[self._label_order[position]])
        return image, int(self.labels[labelled])

    def _augment(self, image: Tensor) -> Tensor:
        worker = get_worker_info()
        seed = self.seed if worker is None else worker.seed
        if seed != self._generator_seed:  # a new worker: all workers start with a copy of the same state
            self._generator.manual_seed(seed)
            self._generator_seed = seed
        height, width = image.shape[1:]
        top, left = torch.randint(2 * self.padding + 1, (2,), generator=self._generator).tolist()
        image = pad(image, [self.padding] * 4)[:, top : top + height, left : left + width]
        if self.flip and torch.rand((), generator=self._generator) < 0.5:
            image = image.flip(-1)
        return image


def mixed_order(labels: Tensor, generator: Generator, *, balanced: bool = False) -> Tensor:
    """Return a random order of all indices in which every prefix is stratified.

    The first k indices hold each class in proportion to its size, to within one image (the next k to within two).
    With `balanced` they hold the same number of each class instead, as far as possible.

    Example:
        >>> labels = torch.tensor([0, 0, 0, 0, 1, 1])
        >>> labels[mixed_order(labels, Generator().manual_seed(0))[:3]].sort().values
        tensor([0, 0, 1])
    """
    order = torch.randperm(len(labels), generator=generator)
    shuffled = labels[order]
    sort_key = torch.empty(len(labels), dtype=torch.float64)
    for label in set(shuffled.tolist()):
        members = (shuffled == label).nonzero().squeeze(1)
        rank = torch.arange(len(members), dtype=torch.float64)
        sort_key[members] = rank if balanced else (rank + 0.5) / len(members)
    return order[sort_key.argsort(stable=True)]


def digit_shape(channels: int, image_size: int) -> tuple[int, int, int]:
    """Return the shape of a digit's image, (channels, height, width); fewer than 8 pixels do not show digits."""
    if image_size < 8 or channels < 1:
        raise ValueError(
            f"Argument `image_size` must be at least 8 and `channels` at least 1, got {image_size} and {channels}; "
            "try 32 and 3."
        )
    return channels, image_size, image_size
