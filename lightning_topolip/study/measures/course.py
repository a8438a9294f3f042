"""The course of a training, snapshot by snapshot, and all that is measured at its end."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor

from lightning_topolip.network.batches import move_batch
from lightning_topolip.network.measure import Subject, measure
from lightning_topolip.network.probe import take_probe
from lightning_topolip.study.config import StudyConfig
from lightning_topolip.study.measures.geometry import Matrices, coverings, geometry, stretches
from lightning_topolip.study.measures.lipschitz import lipschitz
from lightning_topolip.study.measures.measured import Measured
from lightning_topolip.study.measures.robustness import accuracies, perturbations, validation_accuracy
from lightning_topolip.study.measures.smoothness import diagrams, movement, smoothness
from lightning_topolip.study.snapshots import Snapshot
from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.report import SmoothnessReport, smoothness_report
from lightning_topolip.topology.settings import Settings

Tell = Callable[[int, int], None]


@dataclass
class Course:
    """What was measured over a training.

    Attributes:
        found: Numbers with the epochs trained by then.
        diagrams: Of the last snapshot, see `smoothness.diagrams`.
    """

    found: list[tuple[int, Measured]] = field(default_factory=list)
    diagrams: dict[str, Any] = field(default_factory=dict)


def measure_course(
    model: LightningModule,
    data: LightningDataModule,
    snapshots: Sequence[Snapshot],
    config: StudyConfig,
    tell: Tell = lambda done, total: None,
) -> Course:
    """Measure every snapshot of a training.

    Args:
        model: The network, on the device that is to be used; it ends with the weights of the last snapshot.
        data: Validation and test images, ``(images, labels)`` a batch.
        snapshots: Earliest first.
        config: What is measured.
        tell: Called after every snapshot, and once more at the end, with the number done and of all.

    Returns:
        The course.
    """
    course, previous = Course(), None
    bench = _Bench(model, data, config)
    for number, snapshot in enumerate(snapshots, start=1):
        snapshot.load_into(model)
        last = number == len(snapshots)
        report, distances = bench.analysis(bench.probe, bench.settings)
        steps: list[Iterable[Measured]] = [smoothness(report), geometry(report), stretches(report, distances)]
        if previous is not None:
            steps.append(movement(previous[1], report, snapshot.epochs - previous[0]))
        steps.append(validation_accuracy(model, *bench.validation))
        if config.lipschitz.samples and (last or config.lipschitz.every_analysis):
            steps.append(bench.lipschitz(distances))
        if last:
            steps += [coverings(distances), bench.robustness()]
            course.diagrams = diagrams(report)
        course.found += [(snapshot.epochs, found) for step in steps for found in step]
        previous = (snapshot.epochs, report)
        tell(number, len(snapshots) + 1)
    tell(len(snapshots) + 1, len(snapshots) + 1)
    return course


class _Bench:
    """A model with the images that it is measured on."""

    def __init__(self, model: LightningModule, data: LightningDataModule, config: StudyConfig) -> None:
        chosen, options = config.smoothness, config.robustness
        self.model, self.config = model, config
        self.settings = Settings(
            reduction=chosen.reduction, engine=chosen.engine, noise_splits=chosen.noise_splits, geometry=True
        )
        self.probe, self.labels = self._on_device(take_probe(data.val_dataloader(), chosen.probe_size))
        if len(self.probe) < chosen.probe_size:
            warnings.warn(
                f"The probe has {len(self.probe)} samples, not {chosen.probe_size}: there are no more validation "
                "images. Its numbers compare with no other probe size.",
                stacklevel=2,
            )
        self.validation = self._on_device(take_probe(data.val_dataloader(), options.validation_images))
        self.test = self._on_device(take_probe(data.test_dataloader(), options.images))

    def analysis(self, probe: Tensor, settings: Settings) -> tuple[SmoothnessReport, Matrices]:
        """Analyse a probe; the matrices of the layers that could not be measured are left out."""
        measurement = measure(self.model, probe, Subject(self.config.smoothness.layers, settings=settings))
        matrices = {name: matrix for name, matrix in measurement.distances.items() if matrix is not None}
        return smoothness_report(measurement, settings), matrices

    def lipschitz(self, distances: Matrices) -> Iterator[Measured]:
        """Measure Lipschitz constants between the layers that were measured."""
        options = self.config.lipschitz
        layers = [name for name in distances if name != INPUT]
        images = self.probe[: options.samples]
        return lipschitz(self.model, images, layers, options.tolerance) if layers else iter(())

    def robustness(self) -> Iterator[Measured]:
        """Measure accuracies, the perturbation axis and the size of the network."""
        options, quiet = self.config.robustness, replace(self.settings, noise_splits=0, geometry=False)
        yield from accuracies(self.model, *self.test, options)
        yield from perturbations(
            self.model, self.probe, self.labels, options, lambda probe: self.analysis(probe, quiet)[0]
        )
        yield Measured("parameters", sum(weight.numel() for weight in self.model.parameters() if weight.requires_grad))

    def _on_device(self, batch: Any) -> tuple[Tensor, Tensor]:
        images, labels = move_batch(batch, self.model.device)
        return images, labels
