"""Residual convolution networks for small images."""

from collections.abc import Sequence
from typing import Literal

from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import nn

from lightning_topolip.models.classifier import ImageClassifier

__all__ = ["ResNetClassifier"]

_SIZES: dict[str, tuple[type[BasicBlock] | type[Bottleneck], int, tuple[int, ...]]] = {  # block, width, blocks
    "micro": (BasicBlock, 16, (2, 2, 2, 2)),
    "tiny": (BasicBlock, 32, (2, 2, 2, 2)),
    "small": (BasicBlock, 64, (2, 2, 2, 2)),
    "base": (Bottleneck, 64, (3, 4, 6, 3)),
}
_IMAGENET_STEM_FROM = 128  # pixels


class ResNetClassifier(ImageClassifier):
    """Residual network (arXiv 1512.03385) of four stages, built by timm, with a stem that fits the image.

    Below 128 pixels the stem is one 3x3 convolution of stride 1 without pooling, as is usual for CIFAR; from
    128 on it is ImageNet's 7x7 convolution of stride 2 and a max-pool. Each stage halves height and width
    (not the first) and doubles the channels; a block gives (batch, channels, height, width). The blocks are
    `network.layer1.0` to `network.layer4.M`.

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
        blocks: Blocks of the four stages; None takes them from `size`.
        drop_path: Highest rate of stochastic depth, reached in the last block.
        mean: Subtracted from the pixels, one number a channel; None is 0.5 each.
        std: Divides the pixels after that, one positive number a channel; None is 0.25 each.
        optimizer: "adamw" or "sgd".
        learning_rate: Highest learning rate, reached when the warm-up ends.
        weight_decay: Strength of weight decay on matrices and kernels.
        momentum: Nesterov momentum of SGD; AdamW ignores it.
        warmup_fraction: Part of all optimizer steps spent warming up, from 0 to below 1.
        label_smoothing: Probability spread evenly over all classes in the training loss.

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
        drop_path: float = 0.0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        optimizer: Literal["adamw", "sgd"] = "adamw",
        learning_rate: float = 3e-3,
        weight_decay: float = 0.05,
        momentum: float = 0.9,
        warmup_fraction: float = 0.1,
        label_smoothing: float = 0.1,
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
        block, named_width, named_blocks = _SIZES[size]
        width_ = named_width if width is None else width
        blocks_ = named_blocks if blocks is None else tuple(blocks)
        if width_ < 2 or width_ % 2:
            raise ValueError(f"width must be even and at least 2; got {width_}. Give for example 16.")
        if len(blocks_) != 4 or min(blocks_) < 1:
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
            drop_path_rate=drop_path,
        )
        small = image_size < _IMAGENET_STEM_FROM
        kernel, stride = (3, 1) if small else (7, 2)
        stem = nn.Conv2d(in_channels, width_, kernel, stride, padding=kernel // 2, bias=False)
        nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
        network.set_submodule("conv1", stem)
        if small:
            network.set_submodule("maxpool", nn.Identity())
        super().__init__(
            network,
            num_classes=num_classes,
            in_channels=in_channels,
            mean=mean,
            std=std,
            optimizer=optimizer,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            momentum=momentum,
            warmup_fraction=warmup_fraction,
            label_smoothing=label_smoothing,
        )
