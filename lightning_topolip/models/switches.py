"""What can be switched in a network: its normalisation and its residual connections."""

from typing import Any, Literal

from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

__all__ = ["MAP_NORMS", "TOKEN_NORMS", "Norm", "TokenBatchNorm", "check_switches"]

Norm = Literal["layer", "batch", "none"]


class TokenBatchNorm(nn.Module):
    """Batch normalisation (arXiv 1502.03167) of tokens: each feature over all tokens of all samples.

    Args:
        width: Features of a token.
        **factory: Device and dtype of the parameters.

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


# Classes that take the number of features; timm's layer norm stands in for None.
TOKEN_NORMS: dict[Norm, type[nn.Module] | None] = {"layer": None, "batch": TokenBatchNorm, "none": nn.Identity}
MAP_NORMS: dict[Norm, type[nn.Module]] = {"layer": LayerNorm2d, "batch": nn.BatchNorm2d, "none": nn.Identity}


def check_switches(norm: str, residual: bool, drop_path: float) -> None:
    """Refuse what no network can be built with.

    Args:
        norm: Name of a normalisation.
        residual: Whether there are residual connections.
        drop_path: Highest rate of stochastic depth.

    Raises:
        ValueError: If there is no such normalisation, the rate is no probability below 1, or a dropped branch would
            leave nothing.
    """
    if norm not in TOKEN_NORMS:
        raise ValueError(f"norm must be one of {', '.join(TOKEN_NORMS)}; got {norm!r}. Choose one of them.")
    if not 0 <= drop_path < 1:
        raise ValueError(f"drop_path must be at least 0 and below 1; got {drop_path}. Give a rate such as 0.1.")
    if drop_path and not residual:
        raise ValueError(
            f"drop_path must be 0 where residual is False, a dropped branch leaves nothing; got {drop_path}. "
            "Set drop_path to 0."
        )
