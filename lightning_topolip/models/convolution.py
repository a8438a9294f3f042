"""The convolutional network of the controlled pair."""

from typing import Any

from torch import Tensor, nn

from lightning_topolip.models.classifier import ImageClassifier
from lightning_topolip.models.controlled_pair import ControlledSize, controlled_network, controlled_shape
from lightning_topolip.models.switches import Norm

__all__ = ["ConvClassifier", "TokenConvolution"]

_KERNEL = 3
_GROUPS = 3  # 3 x 3 x width / 3 inputs per output: as many weights as query, key and value


class ConvClassifier(ImageClassifier):
    """Network that mixes tokens by convolution alone; the counterpart of `AttentionClassifier`.

    The two differ only in what mixes the tokens in a block. Patch embedding, learned positions, width, depth, norm,
    residual connections, mean over the tokens, linear head and the exact number of parameters are the same. There
    is no class token and, by default, no MLP. A block returns (batch, tokens, width) with tokens = (image_size /
    patch_size)^2; the blocks are `network.blocks.0` and so on.

    The mixing (`TokenConvolution`) is a 3 x 3 convolution of the grid of tokens, GELU and a projection, with
    4 width^2 + width parameters. One block sees the 3 x 3 neighbourhood of a token, L blocks see (2 L + 1) x
    (2 L + 1). On the 8 x 8 grid of a 32-pixel image in patches of 4, every token has seen every other after seven
    blocks; attention needs one. This difference belongs to the mechanisms and is not controlled for.

    The weights of the blocks are drawn so that signals keep their size with or without norms, see
    `lightning_topolip.models.token_block.preserve_variance`.

    | size | width | depth | parameters at 32 pixels, patches of 4, 10 classes |
    | --- | --- | --- | --- |
    | micro | 96 | 6 | 0.23 million, for small data on a CPU |
    | tiny | 192 | 12 | 1.8 million |
    | small | 384 | 12 | 7.1 million |
    | base | 768 | 12 | 28 million |

    Args:
        size: Named shape, see the table.
        num_classes: Number of classes, two or more.
        image_size: Height and width of an image in pixels, a multiple of `patch_size`.
        patch_size: Height and width of a patch in pixels.
        in_channels: Channels of an image.
        width: Features of a token, a multiple of 3; None takes it from `size`.
        depth: Number of blocks; None takes it from `size`.
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
        >>> from lightning_topolip.models import ConvClassifier
        >>> model = ConvClassifier(size="micro", num_classes=10, image_size=32, patch_size=4)
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
        mlp_ratio: float = 0.0,
        norm: Norm = "layer",
        residual: bool = True,
        pre_norm: bool = True,
        drop_path: float = 0.0,
        **recipe: Any,
    ) -> None:
        """Check the arguments and build the network."""
        width_, depth_, _ = controlled_shape(size, width, depth, heads=None)
        network = controlled_network(
            lambda: ("conv", TokenConvolution(width_)),
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


class TokenConvolution(nn.Module):
    """A 3 x 3 convolution of the square grid of tokens in three groups, GELU and a projection of each token.

    The grid is padded with zeros. The convolution has 9 width (width / 3) = 3 width^2 weights and no bias, as many
    as query, key and value of attention together. Each group mixes a third of the features; the projection, the
    same as in attention, joins the thirds.

    Example:
        >>> import torch
        >>> sum(parameter.numel() for parameter in TokenConvolution(96).parameters()) == 4 * 96**2 + 96
        True
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % _GROUPS:
            raise ValueError(
                f"Argument `width` must be a multiple of the {_GROUPS} groups of the convolution, got {width}; try 96."
            )
        self.spatial = nn.Conv2d(width, width, _KERNEL, padding=_KERNEL // 2, groups=_GROUPS, bias=False)
        self.act = nn.GELU()
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, width), row by row of the grid, to the same shape."""
        side = round(tokens.shape[1] ** 0.5)
        grid = tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)
        mixed = self.spatial(grid).flatten(2).transpose(1, 2)
        projected: Tensor = self.proj(self.act(mixed))
        return projected
