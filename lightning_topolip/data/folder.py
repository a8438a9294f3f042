"""Image files in folders, one folder per class."""

from pathlib import Path
from typing import Any

from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS

from lightning_topolip.arguments import require_fraction
from lightning_topolip.data.class_folders import class_names_in, list_images, unread_files
from lightning_topolip.data.datamodule import ImageDataModule
from lightning_topolip.data.image_file import check_image
from lightning_topolip.data.images import ImageFiles, LabelledImages, mixed_order
from lightning_topolip.notices import Notices

__all__ = ["ImageFolderDataModule"]

_NAMED = 3  # unread files whose names are in the warning


class ImageFolderDataModule(ImageDataModule):
    """Image files in folders: `train/<class>/*`, `test/<class>/*` and, if there is one, `val/<class>/*`.

    Files are read with Pillow when they are needed, as RGB and upright (EXIF). An image of another size is resized
    (shorter side to `image_size`, bilinear) and cropped to its centre. One rule gives all pixels the range [0, 1]:
    the largest value that the file's depth can hold is 1. So grey images of 9 to 16 bits are divided by the
    largest integer of their depth and keep it, colour images of 16 bits are reduced to 8, floating-point images must
    lie in [0, 1], and 32-bit integers, which have no agreed white, are refused with the name of the file.

    Without a `val` folder, a stratified part of the training images is held out. Validation and test images have mixed
    classes, in an order fixed by the seed. The augmentation pads training images by an eighth of their size, crops them
    at random and flips half of them left to right.

    Files below a class folder that are not read, in folders of their own or with other suffixes than those of images,
    are counted in one warning. `prepare_data`, which Lightning calls before a training, opens every file and decodes
    those that do not end as a complete JPEG or PNG file does, so that a truncated image is found at once.

    Args:
        root: Folder that holds `train` and `test`.
        image_size: Height and width in pixels.
        val_fraction: Fraction of the training images held out if there is no `val` folder.
        batch_size: Images per batch.
        num_workers: Worker processes that load images.
        **options: `seed`, `subset`, `augment` and `random_labels` of `ImageDataModule`.

    Raises:
        FileNotFoundError: If a folder is missing or a class has no image.
        ValueError: If an argument is not allowed, the parts differ in their classes, a file cannot be read, or a class
            has no training image left.

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
        require_fraction("val_fraction", val_fraction, hint="try 0.1")
        if image_size < 1:
            raise ValueError(f"Argument `image_size` must be at least 1, got {image_size}; try 32.")
        self.root = Path(root)
        self.val_fraction = val_fraction
        self.image_shape = (3, image_size, image_size)
        self.class_names = class_names_in(self.root)
        self._notices = Notices()

    def prepare_data(self) -> None:
        """Check that every image file can be read."""
        if self._sets:
            return
        for part in self._parts():
            for path in list_images(self.root / part, self.class_names)[0]:
                check_image(path)

    def setup(self, stage: str) -> None:
        """List the files and split the training files."""
        if self._sets:
            return
        split = self._split_generator()
        files, labels = self._list("train")
        order = mixed_order(labels, split)
        if "val" in self._parts():
            val = LabelledImages(*self._list("val"))
            val.indices = mixed_order(val.labels, split)
        else:
            held_out = max(1, round(self.val_fraction * len(labels)))
            val = LabelledImages(files, labels, order[:held_out])
            order = order[held_out:]
            self._require_every_class(labels, order)
        test = LabelledImages(*self._list("test"))
        test.indices = mixed_order(test.labels, split)
        kept = self._keep_subset(order, labels)
        padding = self.image_shape[1] // 8 if self.augment else 0
        train = LabelledImages(files, labels, kept, seed=self.seed, padding=padding, flip=self.augment)
        self._sets = {"train": train, "val": val, "test": test}
        self._warn_of_unread_files()

    def _parts(self) -> list[str]:
        return ["train", "val", "test"] if (self.root / "val").is_dir() else ["train", "test"]

    def _list(self, part: str) -> tuple[ImageFiles, Tensor]:
        paths, labels = list_images(self.root / part, self.class_names)
        return ImageFiles(paths, self.image_shape[1]), labels

    def _require_every_class(self, labels: Tensor, order: Tensor) -> None:
        counts = labels[order].bincount(minlength=self.num_classes).tolist()
        missing = [name for name, count in zip(self.class_names, counts, strict=True) if count == 0]
        if missing:
            raise ValueError(
                f"Argument `val_fraction` must leave a training image of every class, got {self.val_fraction} of "
                f"{len(labels)} images, which leaves none of {len(missing)} classes such as {missing[0]!r}; add images "
                "or a folder val/<class>, or lower it."
            )

    def _warn_of_unread_files(self) -> None:
        unread = [path for part in self._parts() for path in unread_files(self.root / part, self.class_names)]
        if unread:
            names = ", ".join(str(path.relative_to(self.root)) for path in unread[:_NAMED])
            self._notices.warn(
                f"The class folders of {self.root} hold files that are not read, {len(unread)} in all: {names}"
                f"{', ...' * (len(unread) > _NAMED)}; move images directly into <class>/ and save them as one of "
                f"{', '.join(IMG_EXTENSIONS)}."
            )
