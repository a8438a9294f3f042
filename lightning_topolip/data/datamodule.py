"""What every data module of this package shares: three labelled image sets and their loaders."""

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
    training images are shuffled and augmented. Every random choice comes from generators of this object, so
    neither building nor reading a loader moves torch's global generator.

    Args:
        batch_size: Images of a batch.
        num_workers: Processes that load, kept alive between epochs; 0 loads in the process itself.
        seed: Seed of the split, the subset, the order and the augmentation.
        subset: Number of training images kept, the same number of each class as far as they last; None keeps
            all. A smaller subset of the same seed lies inside a larger one.
        augment: Whether training images are augmented, each class in its own way.

    Example:
        >>> from lightning_topolip.data import DigitsDataModule, ImageDataModule
        >>> isinstance(DigitsDataModule(), ImageDataModule)
        True
    """

    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]

    def __init__(
        self, batch_size: int, num_workers: int, seed: int = 0, subset: int | None = None, *, augment: bool = True
    ) -> None:
        """Check the arguments."""
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise ValueError(
                f"batch_size must be at least 1 and num_workers at least 0; got {batch_size} and "
                f"{num_workers}. Give for example 64 and 2."
            )
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.subset = subset
        self.augment = augment
        self._generators = {stage: Generator().manual_seed(seed) for stage in ("split", "train", "val", "test")}
        self._sets: dict[str, LabelledImages] = {}

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def train_dataloader(self) -> DataLoader[Any]:
        """Give shuffled, where asked augmented, training batches."""
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        """Give validation batches, classes mixed, always in the same order."""
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        """Give test batches, always in the same order."""
        return self._loader("test")

    def reseed(self, seed: int) -> None:
        """Shuffle and augment the training images anew; split, subset and all other orders stay.

        Args:
            seed: Seed of both, to tell trainings on the same data apart.
        """
        self._ready()
        self._generators["train"].manual_seed(seed)
        self._sets["train"].reseed(seed)

    def state_dict(self) -> dict[str, Any]:
        """Give the random states of shuffling and augmentation, which Lightning keeps in its checkpoints.

        A training that continues from one sees what it would have seen, if the process itself loads
        (`num_workers=0`); loading workers start their augmentation anew.
        """
        self._ready()
        return {"shuffle": self._generators["train"].get_state(), "augment": self._sets["train"].random_state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self._ready()
        self._generators["train"].set_state(state_dict["shuffle"])
        self._sets["train"].random_state = state_dict["augment"]

    def _ready(self) -> None:
        if not self._sets:
            self.prepare_data()
            self.setup("")

    def _loader(self, stage: str, shuffle: bool = False) -> DataLoader[Any]:
        self._ready()
        return DataLoader(
            self._sets[stage],
            batch_size=self.batch_size,
            shuffle=shuffle,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=self._generators[stage],
        )

    def _divide(self, images: Tensor, labels: Tensor, held_out: float, padding: int) -> dict[str, LabelledImages]:
        """Give the three sets of images in memory; `held_out` is the share for validation, and again for testing."""
        order = mixed_order(labels, self._generators["split"])
        held = round(held_out * len(labels))
        kept = self._keep_subset(order[2 * held :], labels)
        return {
            "train": LabelledImages(images, labels, kept, seed=self.seed, padding=padding),
            "val": LabelledImages(images, labels, order[:held]),
            "test": LabelledImages(images, labels, order[held : 2 * held]),
        }

    def _keep_subset(self, chosen: Tensor, labels: Tensor) -> Tensor:
        """Give the indices in `chosen`, or as many as `subset` says, balanced over the classes."""
        if self.subset is None:
            return chosen
        if not self.num_classes <= self.subset <= len(chosen):
            raise ValueError(
                f"subset must lie between {self.num_classes} (one image a class) and {len(chosen)} (all "
                f"training images); got {self.subset}. Choose a number in between, or None for all."
            )
        generator = Generator().manual_seed(self.seed)
        return chosen[mixed_order(labels[chosen], generator, balanced=True)[: self.subset]]
