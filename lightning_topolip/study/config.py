"""What a study does: models, data, seeds, and what is measured; read from a recipe in YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from typing import Any

from lightning_topolip.arguments import require_whole_number
from lightning_topolip.network.batches import FEWEST_SAMPLES
from lightning_topolip.robustness import CORRUPTIONS, SEVERITIES
from lightning_topolip.study.judging.claims import Claim
from lightning_topolip.study.judging.summaries import ATTACKS
from lightning_topolip.topology.diagrams import Engine
from lightning_topolip.topology.settings import Reduction, Settings

_LABEL = re.compile(r"\w[\w.+=-]*")


@dataclass(frozen=True)
class Choice:
    """A class and what it is made with.

    Attributes:
        class_path: Full path of the class.
        init_args: Its arguments; those that the data determine (``num_classes``, ``image_size``, ``in_channels``) are
            filled in for a model.
        epochs: For a model, epochs of its own instead of those of the training.
        checkpoints: For a model, a folder of checkpoints written at the ends of epochs, to be measured instead of
            training; ``{data}`` and ``{seed}`` in it stand for the run's.
    """

    class_path: str
    init_args: dict[str, Any] = field(default_factory=dict)
    epochs: int | None = None
    checkpoints: str = ""

    def __post_init__(self) -> None:
        """Check what YAML may have made of the fields."""
        if not isinstance(self.class_path, str) or not isinstance(self.init_args, Mapping):
            raise ValueError(
                "Arguments `class_path` and `init_args` must be a text and a mapping, "
                f"got {self.class_path!r} and {self.init_args!r}."
            )
        if self.epochs is not None:
            require_whole_number("epochs", self.epochs, 1)
        try:
            str(self.checkpoints).format(data="digits", seed=0)
        except (LookupError, ValueError) as error:
            raise ValueError(
                f"Argument `checkpoints` may hold {{data}} and {{seed}} alone in braces, got {self.checkpoints!r}."
            ) from error


@dataclass(frozen=True)
class Training:
    """How every model is trained.

    Attributes:
        epochs: Passes over the training data.
        every_n_epochs: Snapshots, and so analyses, are taken before training, every so many epochs, and at the end.
        precision: As Lightning's Trainer takes it.
        gradient_clip_val: As Lightning's Trainer takes it.
        threads: Threads of a run's process on the CPU. Sums depend on it in their last digits, so it is fixed.
    """

    epochs: int = 10
    every_n_epochs: int = 1
    precision: str = "32-true"
    gradient_clip_val: float | None = 1.0
    threads: int = 1

    def __post_init__(self) -> None:
        """Check the numbers."""
        for argument in ("epochs", "every_n_epochs", "threads"):
            require_whole_number(argument, getattr(self, argument), 1)


@dataclass(frozen=True)
class Smoothness:
    """The analysis of every snapshot; the arguments of `analyze`.

    Attributes:
        probe_size: Validation images in the probe.
        layers: See `resolve_layers`.
        reduction: ``"flatten"``, ``"mean"`` or ``"cls"``.
        engine: ``"giotto"``, ``"ripser"`` or ``"gudhi"``.
        noise_splits: Random halvings of the probe for the noise band.
    """

    probe_size: int = 256
    layers: str = "auto"
    reduction: Reduction = "flatten"
    engine: Engine = "giotto"
    noise_splits: int = 4

    def __post_init__(self) -> None:
        """Check the numbers; `Settings` checks what it takes."""
        require_whole_number("probe_size", self.probe_size, FEWEST_SAMPLES)
        Settings(reduction=self.reduction, engine=self.engine, noise_splits=self.noise_splits)


@dataclass(frozen=True)
class Lipschitz:
    """Lipschitz constants beyond the pairwise ones.

    Attributes:
        samples: Images of the probe at which local constants are computed and that span the region of the bounds; 0
            leaves both out.
        tolerance: Of the power iteration, see `local_lipschitz`.
        every_analysis: Whether every snapshot gets them, not the last alone.
    """

    samples: int = 8
    tolerance: float = 0.02
    every_analysis: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        require_whole_number("samples", self.samples, 0)
        if not self.tolerance > 0:
            raise ValueError(f"Argument `tolerance` must be positive, such as 0.02, got {self.tolerance!r}.")


@dataclass(frozen=True)
class Robustness:
    """Accuracies and the perturbation axis, for the last snapshot.

    Attributes:
        images: Test images.
        validation_images: Validation images for the accuracy of every snapshot.
        corruptions: Names out of `CORRUPTIONS`.
        severities: Out of 1 to 5.
        attacks: Out of ``"fgsm"``, ``"pgd"`` and ``"autoattack"``, which is slow and needs the package pyautoattack.
        epsilons: Radii of the attacks in 255ths of the pixel range.
        pgd_steps: Steps of PGD.
        paths: Strengths of each perturbation of the probe: ``"noise"`` (standard deviation in pixel units),
            corruptions (severities) and ``"pgd"`` (255ths).
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

    def __post_init__(self) -> None:
        """Check what would otherwise only show when the first network is trained."""
        for argument, known in (
            ("corruptions", CORRUPTIONS),
            ("severities", SEVERITIES),
            ("attacks", ATTACKS),
            ("paths", ("noise", *CORRUPTIONS, "pgd")),
        ):
            odd = [value for value in getattr(self, argument) if value not in known]
            if odd:
                raise ValueError(f"Argument `{argument}` must hold values out of {list(known)}, got {odd}.")
        for argument, fewest in (("images", FEWEST_SAMPLES), ("validation_images", FEWEST_SAMPLES), ("pgd_steps", 1)):
            require_whole_number(argument, getattr(self, argument), fewest)
        if not all(0 < radius <= 255 for radius in self.epsilons):
            raise ValueError(f"Argument `epsilons` must hold 255ths, above 0 and up to 255, got {self.epsilons}.")
        for family, strengths in self.paths.items():
            if not strengths or strengths != sorted(set(strengths)) or strengths[0] <= 0:
                raise ValueError(
                    f"Argument `paths` must hold positive, rising strengths, got {strengths} for {family!r}."
                )
            if family in CORRUPTIONS and not set(strengths) <= set(SEVERITIES):
                raise ValueError(f"Argument `paths` must hold severities 1 to 5 for {family!r}, got {strengths}.")
        if "autoattack" in self.attacks and find_spec("pyautoattack") is None:
            raise ValueError(
                "Argument `attacks` may hold 'autoattack' only where the package pyautoattack is installed; "
                "pip install 'lightning_topolip[autoattack]', or leave it out."
            )


@dataclass(frozen=True)
class StudyConfig:
    """A whole study.

    Attributes:
        title: Headline of the report.
        question: What it asks, a sentence or two.
        models: By label, in the order in which they are shown.
        data: By label.
        seeds: Seeds of the initial weights and of the order of the training data. Splits and probe are the same for
            all of them.
        training: How every model is trained.
        smoothness: The analysis of every snapshot.
        lipschitz: Lipschitz constants.
        robustness: Accuracies and the perturbation axis.
        claims: What the results are held against.
    """

    title: str
    question: str
    models: dict[str, Choice]
    data: dict[str, Choice]
    seeds: list[int] = field(default_factory=lambda: [0])
    training: Training = field(default_factory=Training)
    smoothness: Smoothness = field(default_factory=Smoothness)
    lipschitz: Lipschitz = field(default_factory=Lipschitz)
    robustness: Robustness = field(default_factory=Robustness)
    claims: list[Claim] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check what only shows when the parts are seen together."""
        for kind in ("models", "data"):
            odd = [name for name in getattr(self, kind) if not _LABEL.fullmatch(str(name)) or not isinstance(name, str)]
            if odd or not getattr(self, kind):
                raise ValueError(
                    f"Argument `{kind}` must hold one label or more, each a folder's name, got {odd or 'none'}; "
                    "use letters, digits and - _ . + = inside, in quotes where YAML reads a number or a yes."
                )
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"Argument `seeds` must hold different whole numbers, got {self.seeds}.")
        labels = {label for claim in self.claims for label in (claim.lower, claim.higher) if label}
        if labels - set(self.models):
            raise ValueError(
                f"Argument `claims` must compare labels of `models`, {list(self.models)}, got "
                f"{sorted(labels - set(self.models))}."
            )

    def epochs_of(self, model: str) -> int:
        """Give the epochs for which a model is trained."""
        own = self.models[model].epochs
        return self.training.epochs if own is None else own

    def to_dict(self) -> dict[str, Any]:
        """Give the configuration as plain values."""
        return asdict(self)
