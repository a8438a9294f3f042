"""The configuration of a study: models, data, seeds and measurements."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from lightning_topolip.arguments import require_each_of, require_positive, require_whole_number
from lightning_topolip.network.batches import FEWEST_SAMPLES
from lightning_topolip.robustness import CORRUPTIONS, SEVERITIES
from lightning_topolip.study.judging.claims import Claim
from lightning_topolip.study.judging.summaries import ATTACKS
from lightning_topolip.topology.engines import Engine
from lightning_topolip.topology.settings import Reduction, Settings

_LABEL = re.compile(r"\w[\w.+=-]*")


@dataclass(frozen=True)
class ClassSpec:
    """A class and its arguments.

    Attributes:
        class_path: Full path of the class.
        init_args: Its arguments; for a model, those that the data determine (``num_classes``, ``image_size``,
            ``in_channels``) are filled in.
        epochs: For a model, its number of epochs instead of that of the training.
        checkpoints: For a model, a folder of checkpoints written at the ends of epochs, to be measured instead of
            training; ``{data}`` and ``{seed}`` in it stand for those of the run.
        callbacks: For a model, callbacks of its training, each with the keys ``class_path`` and ``init_args``.
    """

    class_path: str
    init_args: dict[str, Any] = field(default_factory=dict)
    epochs: int | None = None
    checkpoints: str = ""
    callbacks: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check the fields, which YAML may have read as other types."""
        if not isinstance(self.class_path, str):
            raise ValueError(f"Argument `class_path` must be a text, got {self.class_path!r}.")
        if not isinstance(self.init_args, Mapping):
            raise ValueError(f"Argument `init_args` must be a mapping, got {self.init_args!r}.")
        if self.epochs is not None:
            require_whole_number("epochs", self.epochs, 1)
        if not isinstance(self.callbacks, list) or not all(map(_is_class, self.callbacks)):
            raise ValueError(
                "Argument `callbacks` must be a list with the keys class_path and init_args in each entry, "
                f"got {self.callbacks!r}."
            )
        try:
            str(self.checkpoints).format(data="digits", seed=0)
        except (LookupError, ValueError) as error:
            raise ValueError(
                "Argument `checkpoints` must be a folder with no other placeholders than {data} and {seed}, "
                f"got {self.checkpoints!r}; write other braces twice."
            ) from error


def _is_class(entry: Any) -> bool:
    return isinstance(entry, Mapping) and "class_path" in entry and set(entry) <= {"class_path", "init_args"}


@dataclass(frozen=True)
class Training:
    """How every model is trained.

    Attributes:
        epochs: Passes over the training data.
        every_n_epochs: Epochs between snapshots, which are also taken before and after training.
        precision: See Lightning's Trainer.
        gradient_clip_val: See Lightning's Trainer.
        threads: CPU threads per run. Fixed, since the last digits of sums depend on it.
    """

    epochs: int = 10
    every_n_epochs: int = 1
    precision: str = "32-true"
    gradient_clip_val: float | None = 1.0
    threads: int = 1

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("epochs", "every_n_epochs", "threads"):
            require_whole_number(name, getattr(self, name), 1)


@dataclass(frozen=True)
class Smoothness:
    """How every snapshot is analysed.

    Attributes:
        probe_size: Number of validation images in the probe.
        layers: See `resolve_layers`.
        reduction: ``"flatten"``, ``"mean"`` or ``"cls"``.
        engine: The engine for persistence, see `persistence_diagrams`; it changes no number.
        halvings: Random cuts of the probe into halves, for the standard errors.
    """

    probe_size: int = 256
    layers: str = "auto"
    reduction: Reduction = "flatten"
    engine: Engine = "auto"
    halvings: int = 4

    def __post_init__(self) -> None:
        """Check the fields."""
        require_whole_number("probe_size", self.probe_size, FEWEST_SAMPLES)
        self.settings()

    def settings(self) -> Settings:
        """Return the settings of an analysis, geometry and pairing included."""
        return Settings(
            reduction=self.reduction, engine=self.engine, halvings=self.halvings, geometry=True, pairing=True
        )


@dataclass(frozen=True)
class Lipschitz:
    """Lipschitz constants besides the pairwise ones.

    Attributes:
        samples: Number of probe images at which local constants are computed and that span the region of the bounds;
            0 skips both.
        tolerance: Largest relative error of the local constants, see `local_lipschitz`.
        every_analysis: Whether to compute them for every snapshot instead of the last one only.
    """

    samples: int = 8
    tolerance: float = 0.02
    every_analysis: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        require_whole_number("samples", self.samples, 0)
        require_positive("tolerance", self.tolerance, hint="0.02 is the default")


@dataclass(frozen=True)
class Robustness:
    """Accuracies, and drifts along perturbations of the probe, which are measured for the last snapshot.

    Attributes:
        images: Number of test images.
        validation_images: Number of validation images for the accuracy of every snapshot.
        corruptions: Names from `CORRUPTIONS`.
        severities: From 1 to 5.
        attacks: From ``"fgsm"``, ``"pgd"`` and ``"autoattack"``, which is slow and needs the package pyautoattack.
        epsilons: Radii of the attacks in 255ths of the pixel range.
        pgd_steps: Number of steps of PGD.
        paths: Strengths by perturbation of the probe: ``"noise"`` (standard deviation in pixel units), corruptions
            (severities) and ``"pgd"`` (255ths).
        every_analysis: Whether to measure the accuracies for every snapshot instead of the last one only.
    """

    images: int = 500
    validation_images: int = 1000
    corruptions: list[str] = field(default_factory=lambda: list(CORRUPTIONS))
    severities: list[int] = field(default_factory=lambda: list(SEVERITIES))
    attacks: list[str] = field(default_factory=lambda: ["fgsm", "pgd"])
    epsilons: list[float] = field(default_factory=lambda: [0.5, 1.0, 2.0, 4.0, 8.0])
    pgd_steps: int = 10
    paths: dict[str, list[float]] = field(
        default_factory=lambda: {"noise": [0.04, 0.08, 0.16], "fog": [1, 3, 5], "pgd": [1, 2, 4, 8]}
    )
    every_analysis: bool = False

    def __post_init__(self) -> None:
        """Check the fields, so that a study does not fail after its first training."""
        require_each_of("corruptions", self.corruptions, CORRUPTIONS)
        require_each_of("severities", self.severities, SEVERITIES)
        require_each_of("attacks", self.attacks, ATTACKS)
        require_each_of("paths", self.paths, ("noise", *CORRUPTIONS, "pgd"))
        require_whole_number("images", self.images, FEWEST_SAMPLES)
        require_whole_number("validation_images", self.validation_images, FEWEST_SAMPLES)
        require_whole_number("pgd_steps", self.pgd_steps, 1)
        if not all(0 < radius <= 255 for radius in self.epsilons):
            raise ValueError(f"Argument `epsilons` must contain 255ths, above 0 and up to 255, got {self.epsilons}.")
        for family, strengths in self.paths.items():
            _check_strengths(family, strengths)
        if "autoattack" in self.attacks and find_spec("pyautoattack") is None:
            raise ValueError(
                "Argument `attacks` must not contain 'autoattack' without the package pyautoattack, "
                f"got {self.attacks}; pip install 'lightning_topolip[autoattack]'."
            )


def _check_strengths(family: str, strengths: list[float]) -> None:
    if not strengths or strengths != sorted(set(strengths)) or strengths[0] <= 0:
        raise ValueError(
            f"Argument `paths` must contain increasing positive strengths, got {strengths} for {family!r}."
        )
    if family in CORRUPTIONS and not set(strengths) <= set(SEVERITIES):
        raise ValueError(f"Argument `paths` must contain severities 1 to 5 for {family!r}, got {strengths}.")


@dataclass(frozen=True)
class StudyConfig:
    """The configuration of a study.

    Attributes:
        title: Headline of the report.
        question: The question of the study in one or two sentences.
        models: Models by label, in the order of the report.
        data: Data sets by label.
        seeds: Seeds of the initial weights and of the order of the training data. All seeds share the same splits and
            the same probe.
        training: How every model is trained.
        smoothness: How every snapshot is analysed.
        lipschitz: Lipschitz constants.
        robustness: Accuracies, and drifts along perturbations.
        claims: Claims that the results are tested against.
    """

    title: str
    question: str
    models: dict[str, ClassSpec]
    data: dict[str, ClassSpec]
    seeds: list[int] = field(default_factory=lambda: [0])
    training: Training = field(default_factory=Training)
    smoothness: Smoothness = field(default_factory=Smoothness)
    lipschitz: Lipschitz = field(default_factory=Lipschitz)
    robustness: Robustness = field(default_factory=Robustness)
    claims: list[Claim] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check the labels, the seeds and the claims."""
        _check_labels("models", self.models)
        _check_labels("data", self.data)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"Argument `seeds` must contain different whole numbers, got {self.seeds}.")
        labels = sorted({label for claim in self.claims for label in (claim.lower, claim.higher) if label})
        require_each_of("claims", labels, self.models, hint="`lower` and `higher` are labels of `models`")

    def epochs_of(self, model: str) -> int:
        """Return the number of epochs for which a model is trained."""
        return self.models[model].epochs or self.training.epochs


def _check_labels(name: str, entries: Mapping[Any, ClassSpec]) -> None:
    refused = [label for label in entries if not isinstance(label, str) or not _LABEL.fullmatch(label)]
    if refused or not entries:
        raise ValueError(
            f"Argument `{name}` must contain one label or more, each a valid folder name, got {refused or 'none'}; "
            "use letters, digits and - _ . + = inside, in quotes where YAML reads a number or a Boolean."
        )
