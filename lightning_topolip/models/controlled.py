"""What the two networks of the controlled comparison share: their sizes, and all but the mixing."""

from collections.abc import Callable
from typing import Literal

from timm.layers.mlp import Mlp
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from lightning_topolip.models.block import preserve_variance
from lightning_topolip.models.switches import Norm
from lightning_topolip.models.tokens import token_network

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
    """Give width, depth and heads of a size, or what was given in their place.

    Args:
        size: Named shape.
        width: Features of a token; None takes it from `size`.
        depth: Number of blocks; None takes it from `size`.
        heads: Attention heads of a block; None takes it from `size`.

    Returns:
        Width, depth and heads.

    Raises:
        ValueError: If there is no such size, or no such network.

    Example:
        >>> controlled_shape("micro", None, 24, None)
        (96, 24, 3)
    """
    if size not in _SIZES:
        raise ValueError(
            f"size must be one of {', '.join(_SIZES)}; got {size!r}. Choose the nearest and set width and depth."
        )
    given = (width, depth, heads)
    chosen = [named if value is None else value for value, named in zip(given, _SIZES[size], strict=True)]
    if min(chosen) < 1:
        raise ValueError(
            f"width, depth and heads must be at least 1; got {', '.join(map(str, chosen))}. Give for example 96, 6, 3."
        )
    return chosen[0], chosen[1], chosen[2]


def controlled_network(
    mixing: Callable[[], tuple[str, nn.Module]],
    *,
    num_classes: int,
    image_size: int,
    patch_size: int,
    in_channels: int,
    width: int,
    depth: int,
    mlp_ratio: float,
    norm: Norm,
    residual: bool,
    pre_norm: bool,
    drop_path: float,
) -> VisionTransformer:
    """Build patch embedding, learned positions, blocks that mix tokens, the mean over tokens and a linear head.

    Args:
        mixing: Makes what mixes the tokens in one block, and its name.
        num_classes: Number of classes.
        image_size: Height and width of an image in pixels, a multiple of `patch_size`.
        patch_size: Height and width of a patch in pixels.
        in_channels: Channels of an image.
        width: Features of a token.
        depth: Number of blocks.
        mlp_ratio: Hidden features of the MLP of a block over `width`; 0 builds none.
        norm: Normalisation.
        residual: Whether the blocks have residual connections.
        pre_norm: Whether the norms come before the functions.
        drop_path: Highest rate of stochastic depth, reached in the last block.

    Returns:
        The network; its blocks are `blocks.0` and so on.

    Raises:
        ValueError: If an argument is not allowed.
    """
    if mlp_ratio < 0:
        raise ValueError(f"mlp_ratio must be at least 0; got {mlp_ratio}. Give 0 for no MLP, or for example 4.")

    def functions() -> dict[str, nn.Module]:
        mlp = {"mlp": Mlp(width, max(1, round(mlp_ratio * width)))} if mlp_ratio else {}
        return {**dict([mixing()]), **mlp}

    network = token_network(
        functions,
        num_classes=num_classes,
        image_size=image_size,
        patch_size=patch_size,
        in_channels=in_channels,
        width=width,
        depth=depth,
        class_token=False,
        pool="avg",
        norm=norm,
        residual=residual,
        pre_norm=pre_norm,
        drop_path=drop_path,
    )
    preserve_variance(network.blocks)
    return network
