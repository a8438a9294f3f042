"""The switches of a network: the kind of its norms, its residual connections, its stochastic depth."""

from typing import Any, Literal, get_args

from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

from lightning_topolip.arguments import require_one_of

__all__ = ["MAP_NORMS", "TOKEN_NORMS", "Norm", "TokenBatchNorm", "check_switches"]

Norm = Literal["layer", "batch", "none"]


class TokenBatchNorm(nn.Module):
    """Batch normalisation (arXiv 1502.03167) of tokens: each feature over all tokens of all samples.

    Example:
        >>> import torch
        >>> tokens = TokenBatchNorm(3)(5 + 2 * torch.randn(8, 4, 3))
        >>> bool(tokens.mean(dim=(0, 1)).abs().max() < 1e-5)
        True
    """

    def __init__(self, width: int, **factory: Any) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width, **factory)

    def forward(self, tokens: Tensor) -> Tensor:
        """Normalise (..., width); every axis but the last counts as the batch."""
        normalised: Tensor = self.norm(tokens.flatten(0, -2))
        return normalised.view(tokens.shape)


# Classes built from the number of features; for None, timm takes its layer norm.
TOKEN_NORMS: dict[Norm, type[nn.Module] | None] = {"layer": None, "batch": TokenBatchNorm, "none": nn.Identity}
MAP_NORMS: dict[Norm, type[nn.Module]] = {"layer": LayerNorm2d, "batch": nn.BatchNorm2d, "none": nn.Identity}


def check_switches(norm: str, drop_path: float, *, residual: bool) -> None:
    """Raise a ValueError for switches that no network can be built with."""
    require_one_of("norm", norm, get_args(Norm))
    if not 0 <= drop_path < 1:
        raise ValueError(f"Argument `drop_path` must be at least 0 and below 1, got {drop_path}; try 0.1.")
    if drop_path and not residual:
        raise ValueError(
            f"Argument `drop_path` must be 0 with `residual=False`, got {drop_path}; without a residual connection, "
            "dropping a branch would leave nothing."
        )
