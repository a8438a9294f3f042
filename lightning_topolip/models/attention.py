"""The attention network of the controlled pair."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_topolip.models.classifier import ImageClassifier
from lightning_topolip.models.controlled_pair import ControlledSize, controlled_network, controlled_shape
from lightning_topolip.models.switches import Norm

__all__ = ["AttentionClassifier", "TokenAttention"]


class AttentionClassifier(ImageClassifier):
    """Network that mixes tokens by self-attention alone; the counterpart of `ConvClassifier`.

    The two differ only in what mixes the tokens in a block. Patch embedding, learned positions, width, depth, norm,
    residual connections, mean over the tokens, linear head and the exact number of parameters are the same. There
    is no class token and, by default, no MLP. A block returns (batch, tokens, width) with tokens = (image_size /
    patch_size)^2; the blocks are `network.blocks.0` and so on.

    The mixing (`TokenAttention`) is multi-head self-attention (arXiv 1706.03762) followed by a projection, with
    4 width^2 + width parameters. The softmax is its only nonlinearity, and every block sees every token. Without MLP
    and residual connections, attention makes the tokens of a sample alike doubly exponentially with depth
    (arXiv 2103.03404).

    The weights of the blocks are drawn so that signals keep their size with or without norms, see
    `lightning_topolip.models.token_block.preserve_variance`.

    | size | width | depth | heads | parameters at 32 pixels, patches of 4, 10 classes |
    | --- | --- | --- | --- | --- |
    | micro | 96 | 6 | 3 | 0.23 million, for small data on a CPU |
    | tiny | 192 | 12 | 3 | 1.8 million |
    | small | 384 | 12 | 6 | 7.1 million |
    | base | 768 | 12 | 12 | 28 million |

    Args:
        size: Named shape, see the table.
        num_classes: Number of classes, two or more.
        image_size: Height and width of an image in pixels, a multiple of `patch_size`.
        patch_size: Height and width of a patch in pixels.
        in_channels: Channels of an image.
        width: Features of a token, a multiple of `heads` (and of 3 for an equal `ConvClassifier`); None takes it
            from `size`.
        depth: Number of blocks; None takes it from `size`.
        heads: Attention heads of a block; None takes it from `size`.
        mlp_ratio: Hidden features of the MLP after the mixing of each block, divided by `width`; 0 for no MLP.
        norm: "layer" (each token over its features), "batch" (each feature over all tokens of the batch) or "none".
        residual: Whether the functions of a block have residual connections.
        pre_norm: Whether the norms come before the functions of a block, with one more before the head, or after
            the sum.
        drop_path: Highest rate of stochastic depth, reached in the last block; must be 0 without `residual`.
        **recipe: Normalisation and training options of `ImageClassifier`: `mean`, `std`, `optimizer`,
            `learning_rate`, `weight_decay`, `momentum`, `warmup_fraction`, `label_smoothing`, `gradient_penalty`
            and `spectral_norm`.

    Raises:
        ValueError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> from lightning_topolip.models import AttentionClassifier
        >>> model = AttentionClassifier(size="micro", num_classes=10, image_size=32, patch_size=4)
        >>> model(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
        >>> model.network.blocks[0](torch.rand(2, 64, 96)).shape
        torch.Size([2, 64, 96])
    """

    def __init__(
        self,
        size: ControlledSize = "small",
        num_classes: int = 10,
        image_size: int = 32,
        patch_size: int = 4,
        *,
        in_channels: int = 3,
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
        network = controlled_network(
            lambda: ("attn", TokenAttention(width_, heads_)),
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


class TokenAttention(nn.Module):
    """Multi-head self-attention (arXiv 1706.03762) over all tokens, then a projection of each token.

    Query, key and value have no biases, like the convolution of `TokenConvolution`.

    Example:
        >>> import torch
        >>> sum(parameter.numel() for parameter in TokenAttention(96, heads=3).parameters()) == 4 * 96**2 + 96
        True
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(
                f"Argument `width` must be a multiple of `heads`, got width={width} and heads={heads}; set both."
            )
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, width) to the same shape."""
        batch, count, width = tokens.shape
        query, key, value = self.qkv(tokens).reshape(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(batch, count, width)
        projected: Tensor = self.proj(mixed)
        return projected
