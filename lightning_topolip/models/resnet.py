"""Residual networks for small images."""

from collections.abc import Sequence
from typing import Any, Literal

from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import Tensor, nn

from lightning_topolip.arguments import require_one_of
from lightning_topolip.models.classifier import ImageClassifier
from lightning_topolip.models.switches import MAP_NORMS, Norm, check_switches

__all__ = ["ResNetClassifier"]

_SIZES: dict[str, tuple[type[BasicBlock] | type[Bottleneck], int, tuple[int, ...]]] = {  # block, width, blocks
    "micro": (BasicBlock, 16, (2, 2, 2, 2)),
    "tiny": (BasicBlock, 32, (2, 2, 2, 2)),
    "small": (BasicBlock, 64, (2, 2, 2, 2)),
    "base": (Bottleneck, 64, (3, 4, 6, 3)),
}
_IMAGENET_STEM_FROM = 128  # pixels
_STAGES = 4
_STAGES_TO_LENGTHEN = (2, 1, 0)  # third stage first, as in ResNet-50 and ResNet-101


class ResNetClassifier(ImageClassifier):
    """Residual network (arXiv 1512.03385) with switchable norms and residual connections, built with timm.

    Below 128 pixels the stem is one 3x3 convolution of stride 1 without pooling, as is usual for CIFAR; from
    128 pixels on it is ImageNet's 7x7 convolution of stride 2 and a max-pool. Each of the four stages but the first
    halves height and width and doubles the channels; a block returns (batch, channels, height, width). The blocks
    are `network.layer1.0` to `network.layer4.M`.

    The initial weights are timm's: He's, with zeros in the last norm of a block, so that a block starts as the
    identity. Without norms, the last convolution of a block starts at zero instead. Without residual connections,
    nothing starts at zero, projections are removed as well, and a weight's variance is two over the number of its
    inputs (arXiv 1502.01852). Convolutions have no biases, so a network without norms has a bias in its head only.

    | size | block | width | blocks per stage | parameters, 10 classes |
    | --- | --- | --- | --- | --- |
    | micro | basic | 16 | 2, 2, 2, 2 | 0.7 million, ResNet-18 with a quarter of its width |
    | tiny | basic | 32 | 2, 2, 2, 2 | 2.8 million, ResNet-18 with half its width |
    | small | basic | 64 | 2, 2, 2, 2 | 11 million, ResNet-18 |
    | base | bottleneck | 64 | 3, 4, 6, 3 | 24 million, ResNet-50 |

    Args:
        size: Named shape, see the table.
        num_classes: Number of classes, two or more.
        image_size: Height and width of an image in pixels, 8 or more; it only selects the stem.
        in_channels: Channels of an image.
        width: Channels of the first stage, an even number (a bottleneck block returns four times as many); None takes
            it from `size`.
        blocks: Blocks of the four stages; None takes them from `depth` or `size`.
        depth: Total number of blocks, four or more, instead of `blocks`: a quarter per stage, with the remainder in
            the third, second and first stage, in this order; 4 is 1, 1, 1, 1 and 11 is 3, 3, 3, 2. None takes it
            from `blocks` or `size`.
        norm: "batch" (each channel over all positions of the batch), "layer" (each position over its channels, as
            in ConvNeXt, arXiv 2201.03545) or "none".
        residual: Whether the blocks have residual connections.
        drop_path: Highest rate of stochastic depth, reached in the last block; must be 0 without `residual`.
        learning_rate: Highest learning rate, reached when the warm-up ends.
        **recipe: Normalisation and training options of `ImageClassifier`: `mean`, `std`, `optimizer`,
            `weight_decay`, `momentum`, `warmup_fraction`, `label_smoothing`, `gradient_penalty`
            and `spectral_norm`.

    Raises:
        ValueError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> from lightning_topolip.models import ResNetClassifier
        >>> model = ResNetClassifier(size="micro", num_classes=10, image_size=32)
        >>> model(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
        >>> model.network.layer1[0](torch.rand(2, 16, 32, 32)).shape
        torch.Size([2, 16, 32, 32])
    """

    def __init__(
        self,
        size: Literal["micro", "tiny", "small", "base"] = "small",
        num_classes: int = 10,
        image_size: int = 32,
        *,
        in_channels: int = 3,
        width: int | None = None,
        blocks: Sequence[int] | None = None,
        depth: int | None = None,
        norm: Norm = "batch",
        residual: bool = True,
        drop_path: float = 0.0,
        learning_rate: float = 3e-3,
        **recipe: Any,
    ) -> None:
        """Check the arguments and build the network."""
        require_one_of("size", size, tuple(_SIZES))
        if image_size < 8:
            raise ValueError(
                f"Argument `image_size` must be at least 8, got {image_size}; the stages halve it three times, so "
                "enlarge the images."
            )
        check_switches(norm, drop_path, residual=residual)
        block, default_width, default_blocks = _SIZES[size]
        width_ = default_width if width is None else width
        if width_ < 2 or width_ % 2:
            raise ValueError(f"Argument `width` must be even and at least 2, got {width_}; try 16.")
        network = ResNet(
            block=block,  # type: ignore[arg-type]  # timm annotates an instance, but takes the class
            layers=_blocks_per_stage(blocks, depth, default_blocks),
            num_classes=num_classes,
            in_chans=in_channels,
            channels=(width_, 2 * width_, 4 * width_, 8 * width_),
            stem_type="deep",  # timm's only stem with a width; its convolution is replaced below
            stem_width=width_ // 2,
            norm_layer=MAP_NORMS[norm],
            drop_path_rate=drop_path,
            zero_init_last=residual,
        )
        small = image_size < _IMAGENET_STEM_FROM
        kernel, stride = (3, 1) if small else (7, 2)
        stem = nn.Conv2d(in_channels, width_, kernel, stride, padding=kernel // 2, bias=False)
        nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
        network.set_submodule("conv1", stem)
        if small:
            network.set_submodule("maxpool", nn.Identity())
        if not residual:
            _remove_shortcuts(network)
        elif norm == "none":
            _start_as_identity(network)
        super().__init__(network, num_classes, in_channels, learning_rate=learning_rate, **recipe)


class NoShortcut(nn.Module):
    """Stands in for the shortcut of a block without residual connection: nothing is added."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return a single zero."""
        return maps.new_zeros(())


def _blocks_per_stage(blocks: Sequence[int] | None, depth: int | None, default: tuple[int, ...]) -> tuple[int, ...]:
    """Return the number of blocks per stage, from whichever of `blocks` and `depth` is given."""
    if depth is None:
        stages = default if blocks is None else tuple(blocks)
        if len(stages) != _STAGES or min(stages) < 1:
            raise ValueError(
                f"Argument `blocks` must be four numbers of at least 1, one per stage, got {list(stages)}; "
                "try [2, 2, 2, 2]."
            )
        return stages
    if blocks is not None:
        raise ValueError(f"Argument `depth` must be None with `blocks={list(blocks)}`, got {depth}; set only one.")
    if depth < _STAGES:
        raise ValueError(f"Argument `depth` must be at least {_STAGES}, one block per stage, got {depth}; try 8.")
    longer = _STAGES_TO_LENGTHEN[: depth % _STAGES]
    return tuple(depth // _STAGES + (stage in longer) for stage in range(_STAGES))


def _remove_shortcuts(network: ResNet) -> None:
    for module in network.modules():
        if isinstance(module, BasicBlock | Bottleneck):
            module.downsample = NoShortcut()
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")


def _start_as_identity(network: ResNet) -> None:
    for module in network.modules():
        if isinstance(module, BasicBlock | Bottleneck):
            last = module.conv3 if isinstance(module, Bottleneck) else module.conv2
            nn.init.zeros_(last.weight)
