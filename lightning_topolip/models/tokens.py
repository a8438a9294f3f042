"""Networks on the patches of an image, built by timm around blocks of one's own choice."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from timm.models.vision_transformer import VisionTransformer
from torch import nn

from lightning_topolip.models.block import TokenBlock
from lightning_topolip.models.switches import TOKEN_NORMS, Norm, check_switches

__all__ = ["token_network"]


def token_network(
    functions: Callable[[], Mapping[str, nn.Module]],
    *,
    num_classes: int,
    image_size: int,
    patch_size: int,
    in_channels: int,
    width: int,
    depth: int,
    class_token: bool,
    pool: Literal["avg", "token"],
    norm: Norm,
    residual: bool,
    pre_norm: bool,
    drop_path: float,
) -> VisionTransformer:
    """Build patch embedding, learned positions, blocks, pooling and a linear head.

    Args:
        functions: Makes the functions of one block, see `TokenBlock`.
        num_classes: Number of classes.
        image_size: Height and width of an image in pixels, a multiple of `patch_size`.
        patch_size: Height and width of a patch in pixels.
        in_channels: Channels of an image.
        width: Features of a token.
        depth: Number of blocks.
        class_token: Whether a class token stands before the patches.
        pool: What the head reads: "avg" or "token".
        norm: Normalisation of the blocks and, with `pre_norm`, in front of the head.
        residual: Whether the functions of a block have residual connections.
        pre_norm: Whether the norms come before the functions; after them, the head needs none of its own.
        drop_path: Highest rate of stochastic depth, reached in the last block.

    Returns:
        The network; its blocks are `blocks.0` and so on.

    Raises:
        ValueError: If an argument is not allowed.

    Example:
        >>> from torch import nn
        >>> shape = {"image_size": 8, "patch_size": 4, "in_channels": 1, "width": 6, "depth": 2, "num_classes": 10}
        >>> switches = {"norm": "none", "residual": True, "pre_norm": True, "drop_path": 0.0}
        >>> network = token_network(
        ...     lambda: {"mlp": nn.Linear(6, 6)}, class_token=False, pool="avg", **shape, **switches
        ... )
        >>> len(network.blocks)
        2
    """
    check_switches(norm, residual, drop_path)
    if patch_size < 1 or image_size < 1 or image_size % patch_size:
        raise ValueError(
            f"image_size must be a multiple of patch_size; got image_size={image_size} and "
            f"patch_size={patch_size}. Resize the images or choose a patch_size that divides "
            "them."
        )

    def block(dim: int, norm_layer: type[nn.Module], drop_path: float, **_: Any) -> TokenBlock:
        return TokenBlock(dim, functions(), norm_layer, residual=residual, pre_norm=pre_norm, drop_path=drop_path)

    return VisionTransformer(
        img_size=image_size,
        patch_size=patch_size,
        in_chans=in_channels,
        num_classes=num_classes,
        global_pool=pool,
        embed_dim=width,
        depth=depth,
        class_token=class_token,
        final_norm=pre_norm,
        # Statistics over a batch are taken before pooling: after it, a batch of one image would have none.
        fc_norm=False if norm == "batch" else None,
        drop_path_rate=drop_path,
        norm_layer=TOKEN_NORMS[norm],
        block_fn=block,  # type: ignore[arg-type]  # timm calls it, its annotation says a class
    )
