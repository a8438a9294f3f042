"""Image files in folders, one folder per class."""

from pathlib import Path
from typing import Any

from torch import Tensor

from lightning_topolip.data.datamodule import ImageDataModule
from lightning_topolip.data.images import ImageFiles, LabelledImages, list_images, mixed_order

__all__ = ["ImageFolderDataModule"]


class ImageFolderDataModule(ImageDataModule):
    """Image files in folders: `train/<class>/*`, `test/<class>/*` and, if there is one, `val/<class>/*`.

    Files are read with Pillow when they are needed, as RGB. An image of another size is resized (shorter side
    to `image_size`, bilinear) and cropped to its centre. Without a `val` folder, a stratified part of the
    training images is held out. Validation and test images have mixed classes, in an order fixed by the seed. The
    augmentation pads training images by an eighth of their size, crops them at random and flips half of them
    left to right.

    Args:
        root: Folder that holds `train` and `test`.
        image_size: Height and width in pixels.
        val_fraction: Fraction of the training images held out if there is no `val` folder.
        batch_size: Images per batch.
        num_workers: Worker processes that load images.
        **options: `seed`, `subset` and `augment` of `ImageDataModule`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from lightning_topolip.data import ImageFolderDataModule
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("train/cat", "train/dog", "test/cat", "test/dog"):
        ...     (root / name).mkdir(parents=True)
        ...     for number in range(4):
        ...         Image.new("RGB", (40, 30)).save(root / name / f"{number}.png")
        >>> data = ImageFolderDataModule(str(root), val_fraction=0.25, batch_size=4, num_workers=0)
        >>> images, labels = next(iter(data.train_dataloader()))
        >>> images.shape, data.class_names
        (torch.Size([4, 3, 32, 32]), ('cat', 'dog'))
    """

    def __init__(
        self,
        root: str,
        image_size: int = 32,
        *,
        val_fraction: float = 0.1,
        batch_size: int = 128,
        num_workers: int = 2,
        **options: Any,
    ) -> None:
        """Check the arguments and read the names of the classes."""
        super().__init__(batch_size, num_workers, **options)
        if not 0 < val_fraction < 1:
            raise ValueError(f"Argument `val_fraction` must be between 0 and 1, got {val_fraction}; try 0.1.")
        if image_size < 1:
            raise ValueError(f"Argument `image_size` must be at least 1, got {image_size}; try 32.")
        self.root = Path(root)
        self.val_fraction = val_fraction
        self.image_shape = (3, image_size, image_size)
        self.class_names = _class_names(self.root)

    def setup(self, stage: str) -> None:
        """List the files and split the training files."""
        if self._sets:
            return
        split = self._generators["split"]
        files, labels = self._list("train")
        order = mixed_order(labels, split)
        if (self.root / "val").is_dir():
            val = LabelledImages(*self._list("val"))
            val.indices = mixed_order(val.labels, split)
        else:
            held_out = max(1, round(self.val_fraction * len(labels)))
            val = LabelledImages(files, labels, order[:held_out])
            order = order[held_out:]
        test = LabelledImages(*self._list("test"))
        test.indices = mixed_order(test.labels, split)
        kept = self._keep_subset(order, labels)
        padding = self.image_shape[1] // 8 if self.augment else 0
        train = LabelledImages(files, labels, kept, seed=self.seed, padding=padding, flip=self.augment)
        self._sets = {"train": train, "val": val, "test": test}

    def _list(self, part: str) -> tuple[ImageFiles, Tensor]:
        paths, labels = list_images(self.root / part, self.class_names)
        return ImageFiles(paths, self.image_shape[1]), labels


def _class_names(root: Path) -> tuple[str, ...]:
    """Return the names of the class folders, which must be the same in every part of the data."""
    for folder in (root, root / "train", root / "test"):
        if not folder.is_dir():
            raise FileNotFoundError(
                f"Argument `root` must be a folder with train/<class>/* and test/<class>/*, got {root}; {folder} does "
                "not exist."
            )
    names = {
        part.name: sorted(path.name for path in part.iterdir() if path.is_dir() and not path.name.startswith("."))
        for part in (root / "train", root / "test", root / "val")
        if part.is_dir()
    }
    for part, part_names in names.items():
        unmatched = sorted(set(names["train"]) ^ set(part_names))
        if unmatched:
            raise ValueError(
                f"Argument `root` must hold the same classes in train and {part}, got {unmatched} in only one of them "
                f"in {root}; rename, add or remove those folders."
            )
    if len(names["train"]) < 2:
        raise ValueError(
            f"Argument `root` must hold at least two classes, got {names['train']} in {root / 'train'}; put the images "
            "of each class into a folder train/<class>."
        )
    return tuple(names["train"])
