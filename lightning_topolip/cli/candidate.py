"""A network with its probe, as a command loads them: what can be mistyped is checked before the analysis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lightning.pytorch import LightningDataModule, LightningModule
from torch import nn

from lightning_topolip.analysis import analyze
from lightning_topolip.arguments import require_whole_number
from lightning_topolip.models.checkpoints import require_images
from lightning_topolip.network.batches import FEWEST_SAMPLES
from lightning_topolip.network.layers import candidate_layers
from lightning_topolip.network.probe import take_probe
from lightning_topolip.network.sample_axis import tensors_in
from lightning_topolip.network.step import forward_failure, with_working_forward
from lightning_topolip.network.subject import Subject
from lightning_topolip.topology.settings import Settings, SettingsOptions
from lightning_topolip.topology.smoothness_report import SmoothnessReport

Split = Literal["train", "val", "test"]

_DEFAULT_SPLITS: tuple[Split, ...] = ("test", "val")
_STAGES = {"train": "fit", "val": "validate", "test": "test"}


@dataclass(frozen=True)
class Candidate:
    """A network and the probe to analyse it on.

    Attributes:
        network: The network.
        model: Its name in texts.
        probe: One batch.
        data: The name of the data in texts.
        split: The part of the data that the probe is of.
        layers: As `analyze` takes them.
        settings: As `analyze` takes them.
    """

    network: nn.Module
    model: str
    probe: Any
    data: str
    split: Split
    layers: str | Sequence[str]
    settings: SettingsOptions

    @classmethod
    def of(
        cls,
        network: nn.Module,
        model: str,
        data: LightningDataModule | None,
        split: Split | None,
        layers: str | Sequence[str],
        probe_size: int,
        settings: SettingsOptions,
    ) -> Candidate:
        """Take the probe of a network, after a check of all arguments.

        Args:
            network: The network.
            model: Its name in texts.
            data: The data; None for the data loaders of the network.
            split: The part of the data; None for the first of test and val that there is.
            layers: As `analyze` takes them.
            probe_size: Number of samples.
            settings: As `analyze` takes them.

        Raises:
            ValueError: If an argument is not allowed, or a network for images does not take those of the data.
        """
        require_whole_number("probe_size", probe_size, FEWEST_SAMPLES)
        Settings.from_options(settings)
        candidate_layers(network, layers)
        source = data or network
        part = _available(source, split)
        probe = take_probe(_loader(source, part), probe_size)
        images = next(tensors_in(probe), None)
        if images is not None:
            require_images(network, images, model)
        name = type(data).__name__ if data else "its own data"
        return cls(network, model, probe, name, part, layers, settings)

    def report(self) -> SmoothnessReport:
        """Analyse the network.

        Raises:
            ValueError: If the network fails on the probe.
        """
        try:
            return analyze(self.network, self.probe, self.layers, **self.settings)
        except Exception as error:
            reason = self._failure()
            if not reason:
                raise
            raise ValueError(
                f"Argument `data` must hold batches that {self.model} takes, got {self.data}, where its forward raises "
                f"{reason}; name other data with --data, or see the traceback with --debug."
            ) from error

    def _failure(self) -> str:
        """Why the network does not run on the probe; nothing if it does."""
        subject, _ = with_working_forward(self.network, self.probe, Subject())
        return forward_failure(self.network, self.probe, subject.forward_fn, subject.settings.seed)


def _available(source: Any, split: Split | None) -> Split:
    """The part that was asked for, or the first of the default ones that the source has."""
    allowed = (split,) if split else _DEFAULT_SPLITS
    available = [part for part in allowed if _has(source, part)]
    if not available:
        names = " or a ".join(f"`{part}_dataloader`" for part in allowed)
        raise ValueError(
            f"Argument `data` must be a class with a {names}, got {type(source).__name__} without one; name a data "
            "module with --data, such as --data DigitsDataModule, or another --split."
        )
    return available[0]


def _has(source: Any, split: Split) -> bool:
    missing = getattr(LightningModule, f"{split}_dataloader")
    return getattr(type(source), f"{split}_dataloader", missing) is not missing


def _loader(source: Any, split: Split) -> Any:
    """The data loader of a part of the data, of a data module or of a module that has its own."""
    source.prepare_data()
    source.setup(_STAGES[split])
    return getattr(source, f"{split}_dataloader")()
