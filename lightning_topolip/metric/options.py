"""The options of the metric: the quantity, and keyword arguments for the analysis and for torchmetrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, cast, get_args

from lightning_topolip.arguments import require_one_of
from lightning_topolip.network.layers import require_layers
from lightning_topolip.topology.settings import Settings, SettingsOptions
from lightning_topolip.topology.smoothness_report import SmoothnessReport

Quantity = Literal[
    "score",
    "score_error",
    "speed_mean",
    "speed_mean_error",
    "speed_max",
    "speed_max_error",
    "input_drift",
    "input_drift_error",
    "noise",
    "signal",
]
QUANTITIES: tuple[str, ...] = get_args(Quantity)


class MetricOptions(SettingsOptions, total=False):
    """The settings of an analysis and the options of every metric of torchmetrics, as keyword arguments."""

    compute_on_cpu: bool
    dist_sync_on_step: bool
    process_group: Any
    dist_sync_fn: Callable[..., Any] | None
    distributed_available_fn: Callable[..., bool] | None
    sync_on_compute: bool
    compute_with_cache: bool


def split_options(options: MetricOptions) -> tuple[Settings, dict[str, Any]]:
    """Split keyword arguments into the settings of the analysis and the options of torchmetrics."""
    settings = {name: value for name, value in options.items() if name in SettingsOptions.__annotations__}
    others = {name: value for name, value in options.items() if name not in settings}
    return Settings.from_options(cast(SettingsOptions, settings)), others


def require_quantity(quantity: str, settings: Settings) -> None:
    """Refuse an unknown quantity, and one that parts of the probe give without parts."""
    require_one_of("quantity", quantity, QUANTITIES)
    if needs_parts(quantity) and settings.halvings == 0:
        raise ValueError(f"Argument `halvings` must be at least 1 for quantity={quantity!r}, got 0.")


def read_layers(layers: str | Sequence[str]) -> str | tuple[str, ...]:
    """Check ``"auto"``, a pattern or a list of names."""
    require_layers(layers)
    return layers if isinstance(layers, str) else tuple(layers)


def needs_parts(quantity: str) -> bool:
    """Whether a quantity comes from the parts of the probe."""
    return quantity in ("noise", "signal") or quantity.endswith("_error")


def value_of(quantity: str, report: SmoothnessReport) -> float:
    """Look a quantity up in a report."""
    return float(getattr(report, quantity))
