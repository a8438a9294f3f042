"""Residual convolution networks for small images."""

from collections.abc import Sequence
from typing import Any, Literal

from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import Tensor, nn

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
_STAGES_BY_LENGTH = (2, 1, 0)  # as in ResNet-50 and ResNet-101, a later block is one of the third stage


class ResNetClassifier(ImageClassifier):
    """Residual network (arXiv 1512.03385) of four stages, built by timm, with a stem that fits the image.

    Its norms and its residual connections can be switched off.

    Below 128 pixels the stem is one 3x3 convolution of stride 1 without pooling, as is usual for CIFAR; from
    128 on it is ImageNet's 7x7 convolution of stride 2 and a max-pool. Each stage halves height and width
    (not the first) and doubles the channels; a block gives (batch, channels, height, width). The blocks are
    `network.layer1.0` to `network.layer4.M`.

    The weights are timm's: He's, and zero for the last norm of a block, so that a block starts as the identity.
    Without norms the last convolution of a block starts at zero in its place; without residual connections none
    does, there is no projection past a block either, and a weight's variance is two over the number of its inputs
    (arXiv 1502.01852). Convolutions have no biases, so a network without norms has one in its head alone.

    | size | block | width | blocks a stage | parameters, 10 classes |
    | --- | --- | --- | --- | --- |
    | micro | basic | 16 | 2, 2, 2, 2 | 0.7 million, ResNet-18 at a quarter of its width |
    | tiny | basic | 32 | 2, 2, 2, 2 | 2.8 million, ResNet-18 at half its width |
    | small | basic | 64 | 2, 2, 2, 2 | 11 million, ResNet-18 |
    | base | bottleneck | 64 | 3, 4, 6, 3 | 24 million, ResNet-50 |

    Args:
        size: Named shape, see the table.
        num_classes: Number of classes, two or more.
        image_size: Height and width of an image in pixels, 8 or more; it chooses the stem only.
        in_channels: Channels of an image.
        width: Channels of the first stage (a bottleneck gives four times as many), even; None takes it from
            `size`.
        blocks: Blocks of the four stages; None takes them from `depth` or `size`.
        depth: Number of all blocks, four or more, instead of `blocks`: a quarter in each stage, and of what is left
            one in the third, in the second and in the first, in this order, so that 4 is 1, 1, 1, 1 and 11 is 3,
            3, 3, 2. None takes it from `blocks` or `size`.
        norm: "batch" (each channel over all positions of the batch), "layer" (each position over its channels, as
            in ConvNeXt, arXiv 2201.03545) or "none".
        residual: Whether the blocks have residual connections.
        drop_path: Highest rate of stochastic depth, reached in the last block; 0 without `residual`.
        learning_rate: Highest learning rate, reached when the warm-up ends.
        **recipe: Normalisation and training options of `ImageClassifier`: `mean`, `std`, `optimizer`,
            `weight_decay`, `momentum`, `warmup_fraction` and `label_smoothing`.

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
        if size not in _SIZES:
            raise ValueError(
                f"size must be one of {', '.join(_SIZES)}; got {size!r}. Choose the nearest and set width and blocks."
            )
        if image_size < 8:
            raise ValueError(
                f"image_size must be at least 8 pixels, the stages halve it three times; got "
                f"{image_size}. Enlarge the images."
            )
        check_switches(norm, residual, drop_path)
        block, named_width, named_blocks = _SIZES[size]
        width_ = named_width if width is None else width
        blocks_ = named_blocks if blocks is None else tuple(blocks)
        if depth is not None:
            if blocks is not None:
                raise ValueError(
                    f"depth must be None where blocks is given; got depth={depth} and blocks={list(blocks_)}. Give one."
                )
            blocks_ = _blocks_of(depth)
        if width_ < 2 or width_ % 2:
            raise ValueError(f"width must be even and at least 2; got {width_}. Give for example 16.")
        if len(blocks_) != _STAGES or min(blocks_) < 1:
            raise ValueError(
                f"blocks must be four numbers of at least 1, one a stage; got {list(blocks_)}. Give for "
                "example [2, 2, 2, 2]."
            )
        network = ResNet(
            block=block,  # type: ignore[arg-type]  # timm means the class, its annotation says an instance
            layers=blocks_,
            num_classes=num_classes,
            in_chans=in_channels,
            channels=(width_, 2 * width_, 4 * width_, 8 * width_),
            stem_type="deep",  # the only stem of timm that takes a width; its convolution is replaced below
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
            _cut_shortcuts(network)
        elif norm == "none":
            _start_as_identity(network)
        super().__init__(network, num_classes, in_channels, learning_rate=learning_rate, **recipe)


class NoShortcut(nn.Module):
    """What stands in the place of a residual connection that is switched off: nothing is added."""

    def forward(self, maps: Tensor) -> Tensor:
        """Give one zero for any input."""
        return maps.new_zeros(())


def _blocks_of(depth: int) -> tuple[int, ...]:
    """Give the blocks of each stage."""
    if depth < _STAGES:
        raise ValueError(f"depth must be at least {_STAGES}, one block a stage; got {depth}. Give for example 8.")
    longer = _STAGES_BY_LENGTH[: depth % _STAGES]
    return tuple(depth // _STAGES + (stage in longer) for stage in range(_STAGES))


def _cut_shortcuts(network: ResNet) -> None:
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
