"""The base class of all data modules: three labelled image sets and their loaders."""

from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Generator, Tensor
from torch.utils.data import DataLoader

from lightning_topolip.data.images import LabelledImages, mixed_order

__all__ = ["ImageDataModule"]


class ImageDataModule(LightningDataModule):
    """Loaders over three labelled image sets, which a subclass builds in `setup`.

    A batch is (images, labels): float32 (batch, channels, height, width) in [0, 1] and int64 (batch,). Only
    training images are shuffled and augmented. All random numbers come from the object's generators, so building
    and reading a loader leaves torch's global generator alone.

    Args:
        batch_size: Images per batch.
        num_workers: Worker processes that load images, kept alive between epochs; 0 loads in the main process.
        seed: Seed of the split, the subset, the order and the augmentation.
        subset: Number of training images kept, balanced over the classes as far as possible; None keeps all. A
            smaller subset is part of a larger one with the same seed.
        augment: Whether training images are augmented; the data module says how.
        random_labels: Whether the training images exchange their labels at random, once: there is nothing to learn but
            the images themselves (arXiv 1611.03530).

    Raises:
        ValueError: If an argument is not allowed.

    Example:
        >>> from lightning_topolip.data import DigitsDataModule, ImageDataModule
        >>> isinstance(DigitsDataModule(), ImageDataModule)
        True
    """

    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]

    def __init__(
        self,
        batch_size: int,
        num_workers: int,
        seed: int = 0,
        subset: int | None = None,
        *,
        augment: bool = True,
        random_labels: bool = False,
    ) -> None:
        """Check the arguments."""
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise ValueError(
                f"Argument `batch_size` must be at least 1 and `num_workers` at least 0, got {batch_size} and "
                f"{num_workers}; try 64 and 2."
            )
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.subset = subset
        self.augment = augment
        self.random_labels = random_labels
        self._generators = {stage: Generator().manual_seed(seed) for stage in ("train", "val", "test")}
        self._sets: dict[str, LabelledImages] = {}

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the loader of shuffled and, with `augment`, augmented training batches."""
        self._ensure_setup()
        if self.random_labels:
            self._sets["train"].exchange_labels(self.seed)
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the loader of validation batches, with mixed classes and always in the same order."""
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        """Return the loader of test batches, always in the same order."""
        return self._loader("test")

    def reseed(self, seed: int) -> None:
        """Reseed the shuffling and augmentation of the training images; split, subset and other orders stay.

        Args:
            seed: Seed of both, different for each training on the same data.
        """
        self._ensure_setup()
        self._generators["train"].manual_seed(seed)
        self._sets["train"].reseed(seed)

    def state_dict(self) -> dict[str, Any]:
        """Return the random states of shuffling and augmentation, which Lightning stores in its checkpoints.

        With `num_workers=0`, a resumed training sees the same images as an uninterrupted one; worker processes
        start their augmentation over.
        """
        self._ensure_setup()
        return {"shuffle": self._generators["train"].get_state(), "augment": self._sets["train"].random_state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the random states of `state_dict`."""
        self._ensure_setup()
        self._generators["train"].set_state(state_dict["shuffle"])
        self._sets["train"].random_state = state_dict["augment"]

    def _ensure_setup(self) -> None:
        if not self._sets:
            self.prepare_data()
            self.setup("")

    def _loader(self, stage: str, *, shuffle: bool = False) -> DataLoader[Any]:
        self._ensure_setup()
        return DataLoader(
            self._sets[stage],
            batch_size=self.batch_size,
            shuffle=shuffle,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=self._generators[stage],
        )

    def _split_generator(self) -> Generator:
        """Return a new generator, so that a `setup` that failed can be repeated."""
        return Generator().manual_seed(self.seed)

    def _divide(self, images: Tensor, labels: Tensor, held_out: float, padding: int) -> dict[str, LabelledImages]:
        """Return the three sets; `held_out` is the fraction for validation, and the same again for testing."""
        order = mixed_order(labels, self._split_generator())
        count = round(held_out * len(labels))
        kept = self._keep_subset(order[2 * count :], labels)
        return {
            "train": LabelledImages(images, labels, kept, seed=self.seed, padding=padding),
            "val": LabelledImages(images, labels, order[:count]),
            "test": LabelledImages(images, labels, order[count : 2 * count]),
        }

    def _keep_subset(self, indices: Tensor, labels: Tensor) -> Tensor:
        """Return `subset` of the indices, balanced over the classes, or all of them if it is None."""
        if self.subset is None:
            return indices
        if not self.num_classes <= self.subset <= len(indices):
            raise ValueError(
                f"Argument `subset` must be between {self.num_classes} (one image per class) and {len(indices)} (all "
                f"training images), got {self.subset}; None keeps all."
            )
        generator = Generator().manual_seed(self.seed)
        return indices[mixed_order(labels[indices], generator, balanced=True)[: self.subset]]
