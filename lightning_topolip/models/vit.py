"""Vision transformers for small images."""

from typing import Any, Literal

from timm.layers.mlp import Mlp
from timm.models.vision_transformer import Attention  # type: ignore[attr-defined]  # public, not in its `__all__`

from lightning_topolip.arguments import require_one_of
from lightning_topolip.models.classifier import ImageClassifier
from lightning_topolip.models.switches import Norm
from lightning_topolip.models.token_block import preserve_variance
from lightning_topolip.models.token_network import token_network

__all__ = ["ViTClassifier"]

_SIZES = {  # width, depth, heads
    "micro": (64, 6, 4),
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
}
_MLP_RATIO = 4


class ViTClassifier(ImageClassifier):
    """Vision transformer (arXiv 2010.11929) with switchable norms and residual connections, built with timm.

    The image is cut into square patches; each block returns (batch, tokens, width) with tokens = (image_size /
    patch_size)^2 + 1, the class token first. The blocks are `network.blocks.0` and so on;
    `lightning_topolip.models.token_block.TokenBlock` shows the effect of the switches.

    The initial weights are timm's, which are so small that a block starts near the identity. Without residual
    connections signals would vanish in such blocks, so their weights are drawn to preserve the size of signals, see
    `lightning_topolip.models.token_block.preserve_variance`.

    | size | width | depth | heads | parameters at 32 pixels, 10 classes |
    | --- | --- | --- | --- | --- |
    | micro | 64 | 6 | 4 | 0.3 million, for small data on a CPU |
    | tiny | 192 | 12 | 3 | 5.4 million |
    | small | 384 | 12 | 6 | 21 million |
    | base | 768 | 12 | 12 | 85 million |

    Args:
        size: Named shape, see the table.
        num_classes: Number of classes, two or more.
        image_size: Height and width of an image in pixels, a multiple of `patch_size`.
        patch_size: Height and width of a patch in pixels.
        in_channels: Channels of an image.
        width: Features of a token, a multiple of `heads`; None takes it from `size`.
        depth: Number of blocks; None takes it from `size`.
        heads: Attention heads of a block; None takes it from `size`.
        pool: Input of the head: "avg", the mean of all patch tokens, which learns small data faster, or "token", the
            class token, as in the paper. The network has a class token in both cases.
        norm: "layer" (each token over its features), "batch" (each feature over all tokens of the batch) or "none".
        residual: Whether attention and MLP have residual connections.
        pre_norm: Whether the norms come before attention and MLP, with one more before the head, or after the sum,
            as in the original transformer (arXiv 1706.03762).
        drop_path: Highest rate of stochastic depth, reached in the last block; must be 0 without `residual`.
        **recipe: Normalisation and training options of `ImageClassifier`: `mean`, `std`, `optimizer`,
            `learning_rate`, `weight_decay`, `momentum`, `warmup_fraction`, `label_smoothing`, `gradient_penalty`
            and `spectral_norm`.

    Raises:
        ValueError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> from lightning_topolip.models import ViTClassifier
        >>> model = ViTClassifier(size="micro", num_classes=10, image_size=32, patch_size=4)
        >>> model(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
        >>> len(model.network.blocks)
        6
    """

    def __init__(
        self,
        size: Literal["micro", "tiny", "small", "base"] = "small",
        num_classes: int = 10,
        image_size: int = 32,
        patch_size: int = 4,
        *,
        in_channels: int = 3,
        width: int | None = None,
        depth: int | None = None,
        heads: int | None = None,
        pool: Literal["avg", "token"] = "avg",
        norm: Norm = "layer",
        residual: bool = True,
        pre_norm: bool = True,
        drop_path: float = 0.0,
        **recipe: Any,
    ) -> None:
        """Check the arguments and build the network."""
        require_one_of("size", size, tuple(_SIZES))
        require_one_of("pool", pool, ("avg", "token"))
        width_, depth_, heads_ = (
            default if value is None else value
            for value, default in zip((width, depth, heads), _SIZES[size], strict=True)
        )
        if min(width_, depth_, heads_) < 1 or width_ % heads_:
            raise ValueError(
                "Arguments `width`, `depth` and `heads` must be at least 1, and `width` a multiple of `heads`, "
                f"got width={width_}, depth={depth_} and heads={heads_}; set width and heads together."
            )
        network = token_network(
            lambda: {
                "attn": Attention(width_, heads_, qkv_bias=True),
                "mlp": Mlp(width_, _MLP_RATIO * width_),
            },
            num_classes=num_classes,
            image_size=image_size,
            patch_size=patch_size,
            in_channels=in_channels,
            width=width_,
            depth=depth_,
            class_token=True,
            pool=pool,
            norm=norm,
            residual=residual,
            pre_norm=pre_norm,
            drop_path=drop_path,
        )
        if not residual:
            preserve_variance(network.blocks)
        super().__init__(network, num_classes, in_channels, **recipe)
