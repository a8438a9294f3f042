"""The settings of an analysis: what is computed from the distance matrices."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypedDict, get_args

from lightning_topolip.arguments import require_bool
from lightning_topolip.topology.engines import ENGINES, Engine

Reduction = Literal["flatten", "mean", "cls", "last", "token"]
REDUCTIONS: tuple[str, ...] = get_args(Reduction)
View = Literal["scaled", "raw"]
VIEWS: tuple[str, ...] = get_args(View)


class SettingsOptions(TypedDict, total=False):
    """The settings of an analysis as keyword arguments.

    Attributes:
        order: Order p of the Wasserstein distance, from 1 to ``math.inf`` or ``"inf"``, the bottleneck distance; 2 by
            default.
        dimensions: Homology dimensions, combined in the headline as ``(W_H0^p + W_H1^p)^(1/p)``; ``(0, 1)`` by
            default.
        reduction: How an output becomes one point per sample: ``"flatten"`` (default), ``"mean"`` over positions,
            ``"cls"``, the first token, ``"last"``, the last one, or ``"token"``, a random one of every sample.
        engine: The engine for persistence: ``"auto"`` (default), RedZeD checked against giotto-tda's engine, see
            `persistence_diagrams`, or by name ``"redzed"``, ``"giotto"``, ``"ripser"`` or ``"gudhi"``. All return the
            same diagrams, so settings that differ only here are equal.
        view: The headline's view: ``"scaled"`` (distances over their mean, the shape alone; default) or ``"raw"``.
        include_input: Whether the step from the input to the first layer joins speed and TopoLip; False by default.
        halvings: How often the probe is cut at random into two halves, for the standard errors; 4 by default, 0 for
            none.
        subset_size: Larger probes are cut into disjoint random subsets of this size, or into halves if it does not fit
            twice. Drifts are then means over the subsets, whose spread gives the errors, and time grows like n instead
            of a power of it; 512 by default, None for every probe as a whole.
        seed: Seed of the halvings and subsets, and of the random numbers that the model draws during an analysis; 0 by
            default.
        geometry: Whether to compute the variance, dimensions and stretch from the input (`LayerGeometry`) of every
            layer; False by default. It changes no drift, so settings that differ only here are equal.
        pairing: Whether to measure the drift that keeps the pairing of samples, see `paired_drift`; False by default.
            Settings that differ only here are equal.
    """

    order: float | Literal["inf"]
    dimensions: Sequence[int]
    reduction: Reduction
    engine: Engine
    view: View
    include_input: bool
    halvings: int
    subset_size: int | None
    seed: int
    geometry: bool
    pairing: bool


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of an analysis, checked when they are made; each is described in `SettingsOptions`.

    Raises:
        ValueError: If a setting is not one of the allowed values.
    """

    order: float = 2.0
    dimensions: tuple[int, ...] = (0, 1)
    reduction: Reduction = "flatten"
    engine: Engine = field(default="auto", compare=False)
    view: View = "scaled"
    include_input: bool = False
    halvings: int = 4
    subset_size: int | None = 512
    seed: int = 0
    geometry: bool = field(default=False, compare=False)
    pairing: bool = field(default=False, compare=False)

    @classmethod
    def from_options(cls, options: SettingsOptions, others: Collection[str] = ()) -> Settings:
        """Make settings from keyword arguments.

        Args:
            options: The keyword arguments.
            others: The other arguments of whatever takes them, which a misspelt one may have meant.

        Raises:
            TypeError: If there is no such setting.
            ValueError: If a setting is not one of the allowed values.

        Example:
            >>> Settings.from_options({"order": "inf"}).order
            inf
        """
        names = [setting.name for setting in fields(cls)]
        for name in options:
            if name not in names:
                close = difflib.get_close_matches(name, [*names, *others], n=1)
                hint = f"did you mean `{close[0]}`?" if close else f"there are {', '.join([*names, *others])}."
                raise TypeError(f"Argument `{name}` is unknown; {hint}")
        values: dict[str, Any] = {**options}
        if values.get("order") == "inf":
            values["order"] = math.inf
        return cls(**values)

    def __post_init__(self) -> None:
        """Check every setting."""
        if isinstance(self.order, bool) or not isinstance(self.order, (int, float)) or not self.order >= 1:
            raise ValueError(f"Argument `order` must be a number from 1 to math.inf, got {self.order!r}.")
        object.__setattr__(self, "order", float(self.order))
        object.__setattr__(self, "dimensions", self._checked_dimensions())
        for name, allowed in (("reduction", REDUCTIONS), ("engine", ENGINES), ("view", VIEWS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"Argument `{name}` must be one of {allowed}, got {getattr(self, name)!r}.")
        for name in ("halvings", "seed"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"Argument `{name}` must be a whole number >= 0, got {value!r}.")
        for name in ("geometry", "pairing"):
            require_bool(name, getattr(self, name))
        if self.subset_size is not None and (
            isinstance(self.subset_size, bool) or not isinstance(self.subset_size, int) or self.subset_size < 3
        ):
            raise ValueError(f"Argument `subset_size` must be a whole number >= 3 or None, got {self.subset_size!r}.")

    def _checked_dimensions(self) -> tuple[int, ...]:
        try:
            dimensions = tuple(self.dimensions)
        except TypeError:
            dimensions = ()
        if not dimensions or len(set(dimensions)) < len(dimensions) or not set(dimensions) <= {0, 1, 2, 3}:
            raise ValueError(
                "Argument `dimensions` must hold different whole numbers from 0 to 3, such as (0, 1), "
                f"got {self.dimensions!r}."
            )
        return dimensions


def differences(first: Settings, second: Settings) -> tuple[str, str]:
    """Write the settings of each in which the two differ.

    Example:
        >>> differences(Settings(order=1.0, engine="giotto"), Settings(order=2.0))
        ('order=1.0', 'order=2.0')
    """
    compared = [setting.name for setting in fields(Settings) if setting.compare]
    names = [name for name in compared if getattr(first, name) != getattr(second, name)]

    def written(settings: Settings) -> str:
        return ", ".join(f"{name}={getattr(settings, name)!r}" for name in names)

    return written(first), written(second)


def describe_order(order: float) -> str:
    """Name a Wasserstein order for people: ``"W2"``, ``"W1.5"`` or ``"bottleneck"``.

    Example:
        >>> describe_order(2.0), describe_order(math.inf)
        ('W2', 'bottleneck')
    """
    return "bottleneck" if math.isinf(order) else f"W{order:g}"
