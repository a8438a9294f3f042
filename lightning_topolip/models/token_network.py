"""A timm vision transformer whose blocks apply any functions of tokens."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from timm.models.vision_transformer import VisionTransformer
from torch import nn

from lightning_topolip.models.switches import TOKEN_NORMS, Norm, check_switches
from lightning_topolip.models.token_block import TokenBlock

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

    `functions` is called once per block and returns the functions of its `TokenBlock`. `norm` is also the norm
    before the head, which exists with `pre_norm` only.

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
    check_switches(norm, drop_path, residual=residual)
    if patch_size < 1 or image_size < 1 or image_size % patch_size:
        raise ValueError(
            f"Argument `image_size` must be a multiple of `patch_size`, got image_size={image_size} and "
            f"patch_size={patch_size}; resize the images or choose another patch size."
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
        # Batch norm must come before pooling: after it, a batch of one image would have no statistics.
        fc_norm=False if norm == "batch" else None,
        drop_path_rate=drop_path,
        norm_layer=TOKEN_NORMS[norm],
        block_fn=block,  # type: ignore[arg-type]  # timm annotates a class, but only calls it
    )
