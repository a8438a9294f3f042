"""Measuring the snapshots of a training: which quantities are measured of which snapshot."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor

from lightning_topolip.network.batches import move_batch
from lightning_topolip.network.measure import measure
from lightning_topolip.network.probe import take_probe
from lightning_topolip.network.subject import Subject
from lightning_topolip.study.config import StudyConfig
from lightning_topolip.study.measures.accuracy import robustness_accuracies, validation_accuracy
from lightning_topolip.study.measures.covering import covering_curves
from lightning_topolip.study.measures.diagrams import diagrams_of
from lightning_topolip.study.measures.epoch_drift import epoch_drift, path_length
from lightning_topolip.study.measures.geometry import geometry
from lightning_topolip.study.measures.local_lipschitz import local_lipschitz
from lightning_topolip.study.measures.pairwise_lipschitz import pairwise_lipschitz
from lightning_topolip.study.measures.perturbation_drift import perturbation_drift
from lightning_topolip.study.measures.quantity import Matrices, Quantity
from lightning_topolip.study.measures.smoothness import smoothness
from lightning_topolip.study.snapshots import Snapshot
from lightning_topolip.topology.history import History
from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.settings import Settings
from lightning_topolip.topology.smoothness_report import SmoothnessReport, smoothness_report


def measure_snapshots(
    model: LightningModule,
    data: LightningDataModule,
    snapshots: Sequence[Snapshot],
    config: StudyConfig,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[tuple[int, Quantity]], dict[str, Any]]:
    """Measure every snapshot of a training.

    Args:
        model: The network on its device; it ends with the weights of the last snapshot.
        data: Validation and test data, whose batches are ``(images, labels)``.
        snapshots: The snapshots, earliest first.
        config: The configuration of the study.
        on_progress: Called after every snapshot, and once more at the end, with the number of parts done and the total.

    Returns:
        The quantities with their numbers of epochs, and the diagrams of the last snapshot.
    """
    quantities: list[tuple[int, Quantity]] = []
    evaluator, history, parts = _Evaluator(model, data, config), History(), len(snapshots) + 1
    for part, snapshot in enumerate(snapshots, start=1):
        snapshot.load_into(model)
        is_last, previous = snapshot is snapshots[-1], history.last
        report, distances = evaluator.analyse(evaluator.probe, evaluator.settings)
        history.add(snapshot.epochs, report)
        measures: list[Iterable[Quantity]] = [
            smoothness(report), geometry(report), pairwise_lipschitz(report, distances)
        ]  # fmt: skip
        if previous is not None:
            measures += [epoch_drift(previous, history), path_length(history, by_layer=is_last)]
        measures.append(validation_accuracy(model, *evaluator.validation))
        if config.lipschitz.samples and (is_last or config.lipschitz.every_analysis):
            measures.append(evaluator.lipschitz(distances))
        if is_last or config.robustness.every_analysis:
            measures.append(evaluator.accuracies())
        if is_last:
            measures += [covering_curves(distances), evaluator.perturbations()]
        quantities += [(snapshot.epochs, quantity) for measure in measures for quantity in measure]
        on_progress(part, parts)
    on_progress(parts, parts)
    return quantities, diagrams_of(report)


class _Evaluator:
    """A model with its probe, its validation images and its test images."""

    def __init__(self, model: LightningModule, data: LightningDataModule, config: StudyConfig) -> None:
        self.model, self.config, self.settings = model, config, config.smoothness.settings()
        probe_size = config.smoothness.probe_size
        self.probe, self.labels = self._batch(data.val_dataloader(), probe_size)
        if len(self.probe) < probe_size:
            warnings.warn(
                f"The probe has {len(self.probe)} samples, not {probe_size}: there are no more validation images. "
                "Its numbers are not comparable with those of another probe size.",
                stacklevel=2,
            )
        self.validation = self._batch(data.val_dataloader(), config.robustness.validation_images)
        self.test = self._batch(data.test_dataloader(), config.robustness.images)

    def analyse(self, probe: Tensor, settings: Settings) -> tuple[SmoothnessReport, Matrices]:
        """Return the report of a probe and the distance matrices of the layers that could be measured."""
        measurement = measure(self.model, probe, Subject(self.config.smoothness.layers, settings=settings))
        matrices = {name: matrix for name, matrix in measurement.distances.items() if matrix is not None}
        return smoothness_report(measurement, settings), matrices

    def lipschitz(self, distances: Matrices) -> Iterator[Quantity]:
        """Measure local constants and bounds between the layers that could be measured."""
        options = self.config.lipschitz
        layers = [name for name in distances if name != INPUT]
        images = self.probe[: options.samples]
        return local_lipschitz(self.model, images, layers, options.tolerance) if layers else iter(())

    def accuracies(self) -> Iterator[Quantity]:
        """Measure the accuracies on clean, corrupted and attacked test images."""
        return robustness_accuracies(self.model, *self.test, self.config.robustness)

    def perturbations(self) -> Iterator[Quantity]:
        """Measure drifts along perturbations, and count the parameters."""
        options, settings = self.config.robustness, replace(self.settings, halvings=0, geometry=False, pairing=False)
        yield from perturbation_drift(
            self.model, self.probe, self.labels, options, lambda probe: self.analyse(probe, settings)[0]
        )
        yield Quantity("parameters", sum(weight.numel() for weight in self.model.parameters() if weight.requires_grad))

    def _batch(self, loader: Any, size: int) -> tuple[Tensor, Tensor]:
        """The first images in the loader's order, which the data module has mixed."""
        images, labels = move_batch(take_probe(iter(loader), size), self.model.device)
        return images, labels
