"""The parts that `AttentionClassifier` and `ConvClassifier` share: sizes, and everything but the mixing of tokens."""

from collections.abc import Callable
from typing import Any, Literal

from timm.layers.mlp import Mlp
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from lightning_topolip.arguments import require_one_of
from lightning_topolip.models.token_block import preserve_variance
from lightning_topolip.models.token_network import token_network

__all__ = ["ControlledSize", "controlled_network", "controlled_shape"]

ControlledSize = Literal["micro", "tiny", "small", "base"]

_SIZES: dict[ControlledSize, tuple[int, int, int]] = {  # width, depth, heads
    "micro": (96, 6, 3),
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
}


def controlled_shape(
    size: ControlledSize, width: int | None, depth: int | None, heads: int | None
) -> tuple[int, int, int]:
    """Return width, depth and heads, each taken from `size` where it is None.

    Example:
        >>> controlled_shape("micro", None, 24, None)
        (96, 24, 3)
    """
    require_one_of("size", size, tuple(_SIZES))
    default_width, default_depth, default_heads = _SIZES[size]
    shape = (
        default_width if width is None else width,
        default_depth if depth is None else depth,
        default_heads if heads is None else heads,
    )
    if min(shape) < 1:
        raise ValueError(
            f"Arguments `width`, `depth` and `heads` must be at least 1, got {', '.join(map(str, shape))}; "
            "try 96, 6 and 3."
        )
    return shape


def controlled_network(
    mixing: Callable[[], tuple[str, nn.Module]], *, width: int, mlp_ratio: float, **options: Any
) -> VisionTransformer:
    """Build a network without class token; `mixing` returns the name and the module that mixes tokens in one block.

    The `options` are those of `token_network`.
    """
    if mlp_ratio < 0:
        raise ValueError(f"Argument `mlp_ratio` must be at least 0, got {mlp_ratio}; try 4, or 0 for no MLP.")

    def functions() -> dict[str, nn.Module]:
        mlp = {"mlp": Mlp(width, max(1, round(mlp_ratio * width)))} if mlp_ratio else {}
        return {**dict([mixing()]), **mlp}

    network = token_network(functions, width=width, class_token=False, pool="avg", **options)
    preserve_variance(network.blocks)
    return network
