"""One run of a study: which one it is, what it is made of, and where its files lie."""

from __future__ import annotations

import hashlib
import inspect
import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule

from lightning_topolip.randomness import kept_random_numbers
from lightning_topolip.study.config import Choice, StudyConfig


@dataclass(frozen=True)
class Run:
    """A model, trained on data from a seed, and the folder of its files.

    Attributes:
        data: Label of the data.
        model: Label of the model.
        seed: Seed of the initial weights and of the order of the training data.
        output: Folder of the study.
    """

    data: str
    model: str
    seed: int
    output: Path

    @property
    def name(self) -> str:
        """What the run is called in progress bars and messages."""
        return f"{self.model} on {self.data}, seed {self.seed}"

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.output / "runs" / self.data / self.model / f"seed={self.seed}"

    def stamp(self, stage: str) -> Path:
        """Give the file that says what a finished stage was done with."""
        return self.folder / f"{stage}.json"


def runs_of(config: StudyConfig, output: Path) -> list[Run]:
    """List the runs of a study, data by data, model by model, seed by seed.

    Args:
        config: The study.
        output: Its folder.

    Returns:
        The runs in the order of the results.
    """
    return [Run(data, model, seed, output) for data in config.data for model in config.models for seed in config.seeds]


def make_data(choice: Choice, seed: int) -> LightningDataModule:
    """Make the data of a run, ready to be loaded.

    Args:
        choice: Class and arguments.
        seed: Seed of the order of the training images, where the class can take one (`ImageDataModule.reseed`).

    Returns:
        The data module.

    Raises:
        ValueError: If the class or an argument is not allowed.
    """
    with kept_random_numbers(0):
        data = _made(choice, choice.init_args)
        if not isinstance(data, LightningDataModule):
            raise ValueError(f"Argument `data` must hold LightningDataModules, got {choice.class_path}.")
        data.prepare_data()
        data.setup("fit")
        data.setup("test")
    if hasattr(data, "reseed"):
        data.reseed(seed)
    return data


def make_model(choice: Choice, data: LightningDataModule, seed: int) -> LightningModule:
    """Make the model of a run for its data.

    Args:
        choice: Class and arguments; number of classes, size and channels of the images come from the data unless given.
        data: The data.
        seed: Seed of the weights.

    Returns:
        The model, untrained.

    Raises:
        ValueError: If the class or an argument is not allowed.
    """
    known = {"num_classes": getattr(data, "num_classes", None)}
    channels, height, _ = getattr(data, "image_shape", (None, None, None))
    known |= {"in_channels": channels, "image_size": height}
    taken = inspect.signature(_class(choice)).parameters
    fitting = {name: value for name, value in known.items() if value is not None and name in taken}
    with kept_random_numbers(seed):
        model = _made(choice, {**fitting, **choice.init_args})
    if not isinstance(model, LightningModule):
        raise ValueError(f"Argument `models` must hold LightningModules, got {choice.class_path}.")
    return model


def fingerprint(*parts: Any) -> str:
    """Give a short text that differs where the parts differ.

    Args:
        *parts: Plain values.

    Returns:
        Sixteen hexadecimal digits.

    Example:
        >>> fingerprint({"epochs": 2}) == fingerprint({"epochs": 2}), fingerprint({"epochs": 2}) == fingerprint({})
        (True, False)
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _class(choice: Choice) -> type[Any]:
    module, _, name = choice.class_path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"Argument `class_path` must be the full path of a class, such as lightning_topolip.models.ViTClassifier, "
            f"got {choice.class_path!r}: {error}"
        ) from error
    if not isinstance(found, type):
        raise ValueError(f"Argument `class_path` must name a class, got {choice.class_path!r}.")
    return found


def _made(choice: Choice, arguments: dict[str, Any]) -> Any:
    kind = _class(choice)
    try:
        return kind(**arguments)
    except TypeError as error:
        raise ValueError(f"Argument `init_args` of {choice.class_path}: {error}; got {sorted(arguments)}.") from error
