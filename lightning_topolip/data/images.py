"""Labelled images, in memory or in files, and the orders in which they are split and read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image
from torch import Generator, Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset, get_worker_info
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms.functional import center_crop, pil_to_tensor, resize

__all__ = ["ImageFiles", "LabelledImages", "digit_shape", "list_images", "mixed_order"]


class ImageSource(Protocol):
    """Anything that gives one image, (channels, height, width), for an index: a tensor, or files."""

    def __getitem__(self, index: int, /) -> Tensor:
        """Give the image at this index."""


class ImageFiles:
    """Image files read with Pillow, as RGB, each time they are asked for.

    Args:
        paths: The files.
        size: Height and width in pixels; an image of another size is resized (shorter side, bilinear) and
            cropped to its centre.

    Example:
        >>> import tempfile
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
        """Read one image: uint8 (3, size, size)."""
        with Image.open(self.paths[index]) as file:
            image = file.convert("RGB")
        if image.size != (self.size, self.size):
            image = center_crop(resize(image, [self.size]), [self.size, self.size])
        pixels: Tensor = pil_to_tensor(image)
        return pixels


class LabelledImages(Dataset[tuple[Tensor, int]]):
    """Pairs of an image, float32 (channels, height, width) in [0, 1], and its label.

    The augmentation draws from a generator of its own: seeded with `seed` in the process itself, with the
    loader's seed in each of its workers.

    Args:
        images: Gives the image at an index; uint8 is divided by 255.
        labels: One integer an image.
        indices: The images that belong to this set, in order; None is all of them.
        seed: Seed of the augmentation.
        padding: Pixels of black added on each side before a random crop back to the size; 0 leaves it out.
        flip: Flip left to right with probability one half.

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
        self.seed = seed
        self.padding = padding
        self.flip = flip
        self._generator = Generator().manual_seed(seed)
        self._generator_seed = seed

    def reseed(self, seed: int) -> None:
        """Seed the augmentation anew."""
        self.seed = self._generator_seed = seed
        self._generator.manual_seed(seed)

    @property
    def random_state(self) -> Tensor:
        """Where the augmentation of this process stands."""
        return self._generator.get_state()

    @random_state.setter
    def random_state(self, state: Tensor) -> None:
        self._generator.set_state(state)

    def __len__(self) -> int:
        """Give the number of pairs."""
        return len(self.indices)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        """Give one pair."""
        index = int(self.indices[position])
        image = self.images[index]
        if image.dtype == torch.uint8:
            image = image.float() / 255
        if self.padding or self.flip:
            image = self._augment(image)
        return image, int(self.labels[index])

    def _augment(self, image: Tensor) -> Tensor:
        worker = get_worker_info()
        seed = self.seed if worker is None else worker.seed
        if seed != self._generator_seed:  # a fresh copy in a worker: all copies hold the same state
            self._generator.manual_seed(seed)
            self._generator_seed = seed
        height, width = image.shape[1:]
        top, left = torch.randint(2 * self.padding + 1, (2,), generator=self._generator).tolist()
        image = pad(image, [self.padding] * 4)[:, top : top + height, left : left + width]
        if self.flip and torch.rand((), generator=self._generator) < 0.5:
            image = image.flip(-1)
        return image


def mixed_order(labels: Tensor, generator: Generator, balanced: bool = False) -> Tensor:
    """Give a random order of all indices in which every beginning is stratified.

    The first k indices hold each class in proportion to its size, to within one image (so do the next k, to
    within two); `balanced` gives each class the same number instead, as long as it lasts.

    Args:
        labels: One integer an image.
        generator: Source of the randomness.
        balanced: Equal numbers of each class instead of proportional ones.

    Example:
        >>> labels = torch.tensor([0, 0, 0, 0, 1, 1])
        >>> labels[mixed_order(labels, Generator().manual_seed(0))[:3]].sort().values
        tensor([0, 0, 1])
    """
    order = torch.randperm(len(labels), generator=generator)
    shuffled = labels[order]
    place = torch.empty(len(labels), dtype=torch.float64)
    for label in set(shuffled.tolist()):
        members = (shuffled == label).nonzero().squeeze(1)
        rank = torch.arange(len(members), dtype=torch.float64)
        place[members] = rank if balanced else (rank + 0.5) / len(members)
    return order[place.argsort(stable=True)]


def list_images(folder: Path, class_names: Sequence[str]) -> tuple[list[Path], Tensor]:
    """Give the image files of `folder/<class>/*`, sorted by class and name, and their labels.

    Args:
        folder: Holds one folder a class.
        class_names: The classes, in the order of their labels.

    Raises:
        FileNotFoundError: A class has no image.
    """
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(class_names):
        found = sorted(path for path in (folder / name).iterdir() if path.suffix.lower() in IMG_EXTENSIONS)
        found = [path for path in found if not path.name.startswith(".")]
        if not found:
            raise FileNotFoundError(
                f"root must hold at least one image for each class; got none in {folder / name}. Put files "
                f"there ({', '.join(IMG_EXTENSIONS)}), or remove the class everywhere."
            )
        paths += found
        labels += [label] * len(found)
    return paths, torch.tensor(labels)


def digit_shape(channels: int, image_size: int) -> tuple[int, int, int]:
    """Give the shape of an enlarged grey image, (channels, height, width).

    Args:
        channels: Copies of the grey channel.
        image_size: Height and width in pixels.

    Raises:
        ValueError: There is no channel, or too few pixels to tell digits apart.
    """
    if image_size < 8 or channels < 1:
        raise ValueError(
            f"image_size must be at least 8 pixels and channels at least 1; got {image_size} and "
            f"{channels}. Give for example 32 and 3."
        )
    return channels, image_size, image_size
