"""`topolip_loss` as a module."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from typing_extensions import override

from lightning_topolip.arguments import require_one_of
from lightning_topolip.loss.functional import QUANTITIES, Quantity, topolip_loss
from lightning_topolip.topology.engines import Engine
from lightning_topolip.topology.settings import Settings, View


class TopoLipLoss(nn.Module):
    """How smoothly samples travel along a path of point clouds: `topolip_loss` as a module with fixed options.

    Args:
        quantity: ``"score"``, ``"speed_mean"``, ``"speed_max"`` or ``"gain"``.
        view: ``"scaled"`` or ``"raw"``.
        order: Order p of the Wasserstein distance.
        dimensions: Homology dimensions.
        engine: The engine for persistence.

    Raises:
        ValueError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(4)])
        >>> smoothness, hidden, outputs = TopoLipLoss(), torch.randn(32, 4), []
        >>> for layer in layers:
        ...     hidden = layer(hidden).tanh()
        ...     outputs.append(hidden[:16])
        >>> (hidden.square().mean() + 0.1 * smoothness(outputs)).backward()
        >>> layers[0].weight.grad.shape
        torch.Size([4, 4])
    """

    def __init__(
        self,
        quantity: Quantity = "score",
        view: View = "scaled",
        order: float = 2.0,
        dimensions: Sequence[int] = (0, 1),
        engine: Engine = "auto",
    ) -> None:
        super().__init__()
        require_one_of("quantity", quantity, QUANTITIES)
        self.quantity: Quantity = quantity
        self.settings = Settings.from_options(
            {"view": view, "order": order, "dimensions": dimensions, "engine": engine}
        )

    def forward(self, clouds: Sequence[Tensor], perturbed: Sequence[Tensor] | None = None) -> Tensor:
        """Return the loss of a path of clouds, each of shape ``(n, d)``."""
        settings = self.settings
        return topolip_loss(
            clouds,
            self.quantity,
            settings.view,
            settings.order,
            settings.dimensions,
            settings.engine,
            perturbed=perturbed,
        )

    @override
    def extra_repr(self) -> str:
        """The options that differ between losses."""
        settings = self.settings
        return f"{self.quantity!r}, view={settings.view!r}, order={settings.order:g}, dimensions={settings.dimensions}"
