"""The runs of a study: their names and folders, and the model and data of each."""

from __future__ import annotations

import hashlib
import inspect
import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningDataModule, LightningModule

from lightning_topolip.randomness import kept_random_numbers
from lightning_topolip.study.config import ClassSpec, StudyConfig


@dataclass(frozen=True)
class Run:
    """One training of a model on data from a seed.

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
        """The name of the run in progress bars and messages."""
        return f"{self.model} on {self.data}, seed {self.seed}"

    @property
    def folder(self) -> Path:
        """The folder of the run's files."""
        return self.output / "runs" / self.data / self.model / f"seed={self.seed}"


def runs_of(config: StudyConfig, output: Path) -> list[Run]:
    """List the runs of a study with the folder ``output``, in the order of its results."""
    return [Run(data, model, seed, output) for data in config.data for model in config.models for seed in config.seeds]


def make_data(spec: ClassSpec, seed: int) -> LightningDataModule:
    """Create and set up the data of a run; the seed orders the training images where the class has a ``reseed``."""
    with kept_random_numbers(0):
        data = _create(spec, spec.init_args)
        if not isinstance(data, LightningDataModule):
            raise ValueError(f"Argument `data` must contain LightningDataModules, got {spec.class_path}.")
        data.prepare_data()
        data.setup("fit")
        data.setup("test")
    if hasattr(data, "reseed"):
        data.reseed(seed)
    return data


def make_model(spec: ClassSpec, data: LightningDataModule, seed: int) -> LightningModule:
    """Create the untrained model of a run; the data determine its classes and image shape unless they are given."""
    channels, height, _ = getattr(data, "image_shape", (None, None, None))
    from_data = {
        "num_classes": getattr(data, "num_classes", None),
        "in_channels": channels,
        "image_size": height,
    }
    parameters = inspect.signature(_import_class(spec)).parameters
    defaults = {name: value for name, value in from_data.items() if value is not None and name in parameters}
    with kept_random_numbers(seed):
        model = _create(spec, {**defaults, **spec.init_args})
    if not isinstance(model, LightningModule):
        raise ValueError(f"Argument `models` must contain LightningModules, got {spec.class_path}.")
    return model


def make_callbacks(spec: ClassSpec) -> list[Callback]:
    """Create the callbacks of a model's training."""
    callbacks = []
    for entry in spec.callbacks:
        callback = ClassSpec(**entry)
        callbacks.append(_create(callback, callback.init_args))
        if not isinstance(callbacks[-1], Callback):
            raise ValueError(f"Argument `callbacks` must contain Lightning callbacks, got {callback.class_path}.")
    return callbacks


def fingerprint(*values: Any) -> str:
    """Return sixteen hexadecimal digits that differ between different plain values.

    Example:
        >>> fingerprint({"epochs": 2}) == fingerprint({"epochs": 2}), fingerprint({"epochs": 2}) == fingerprint({})
        (True, False)
    """
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _import_class(spec: ClassSpec) -> type[Any]:
    module, _, name = spec.class_path.rpartition(".")
    try:
        value = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"Argument `class_path` must be the full path of a class, such as lightning_topolip.models.ViTClassifier, "
            f"got {spec.class_path!r}: {error}"
        ) from error
    if not isinstance(value, type):
        raise ValueError(f"Argument `class_path` must be the path of a class, got {spec.class_path!r}.")
    return value


def _create(spec: ClassSpec, arguments: dict[str, Any]) -> Any:
    cls = _import_class(spec)
    try:
        return cls(**arguments)
    except TypeError as error:
        raise ValueError(
            f"Argument `init_args` must be arguments of {spec.class_path}, got {sorted(arguments)}; {error}."
        ) from error
