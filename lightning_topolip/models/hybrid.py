"""A network of convolution blocks followed by attention blocks, both of the controlled pair."""

from typing import Any

from lightning_topolip.arguments import require_whole_number
from lightning_topolip.models.attention import TokenAttention
from lightning_topolip.models.classifier import ImageClassifier
from lightning_topolip.models.controlled_pair import ControlledSize, controlled_network, controlled_shape
from lightning_topolip.models.convolution import TokenConvolution
from lightning_topolip.models.switches import Norm

__all__ = ["HybridClassifier"]


class HybridClassifier(ImageClassifier):
    """Network whose first blocks mix tokens by convolution and whose last ones do so by attention.

    It lies between `ConvClassifier` and `AttentionClassifier`: the blocks are theirs, and everything around them and
    the number of parameters are the same. Convolutions first, attention later is the order that works best
    (arXiv 2106.04803).

    Args:
        size: Named shape, as in `AttentionClassifier`.
        num_classes: Number of classes, two or more.
        image_size: Height and width of an image in pixels, a multiple of `patch_size`.
        patch_size: Height and width of a patch in pixels.
        in_channels: Channels of an image.
        convolutions: Number of blocks that convolve, from 0 to all; None for half of them.
        width: As in `AttentionClassifier`, and a multiple of 3 if a block convolves.
        depth: Number of blocks; None takes it from `size`.
        heads: Attention heads of a block; None takes it from `size`.
        mlp_ratio: Hidden features of the MLP of each block, divided by `width`; 0 for no MLP.
        norm: "layer", "batch" or "none".
        residual: Whether the functions of a block have residual connections.
        pre_norm: Whether the norms come before the functions of a block.
        drop_path: Highest rate of stochastic depth; must be 0 without `residual`.
        **recipe: Options of `ImageClassifier`.

    Raises:
        ValueError: If an argument is not allowed.

    Example:
        >>> from lightning_topolip.models import HybridClassifier
        >>> blocks = HybridClassifier(size="micro", depth=4).network.blocks
        >>> [next(name for name, _ in block.named_children() if name in ("conv", "attn")) for block in blocks]
        ['conv', 'conv', 'attn', 'attn']
    """

    def __init__(
        self,
        size: ControlledSize = "small",
        num_classes: int = 10,
        image_size: int = 32,
        patch_size: int = 4,
        *,
        in_channels: int = 3,
        convolutions: int | None = None,
        width: int | None = None,
        depth: int | None = None,
        heads: int | None = None,
        mlp_ratio: float = 0.0,
        norm: Norm = "layer",
        residual: bool = True,
        pre_norm: bool = True,
        drop_path: float = 0.0,
        **recipe: Any,
    ) -> None:
        """Check the arguments and build the network."""
        width_, depth_, heads_ = controlled_shape(size, width, depth, heads)
        count = depth_ // 2 if convolutions is None else convolutions
        require_whole_number("convolutions", count, 0, hint="None is half of the blocks")
        if count > depth_:
            raise ValueError(
                f"Argument `convolutions` must be at most the {depth_} blocks, got {convolutions!r}; None is half."
            )
        left = iter([True] * count + [False] * (depth_ - count))
        network = controlled_network(
            lambda: ("conv", TokenConvolution(width_)) if next(left) else ("attn", TokenAttention(width_, heads_)),
            num_classes=num_classes,
            image_size=image_size,
            patch_size=patch_size,
            in_channels=in_channels,
            width=width_,
            depth=depth_,
            mlp_ratio=mlp_ratio,
            norm=norm,
            residual=residual,
            pre_norm=pre_norm,
            drop_path=drop_path,
        )
        super().__init__(network, num_classes, in_channels, **recipe)
