"""The base class of all image classifiers: pixels in, logits out, one training recipe."""

import math
from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics.classification import MulticlassAccuracy

from lightning_topolip.models.smoothing import penalised_loss, with_spectral_norm

__all__ = ["ImageClassifier"]


class ImageClassifier(LightningModule):
    """Train a network that turns images into logits.

    Images are pixels in [0, 1]. They are normalised inside `forward`, so attacks and corruptions work on pixels. A
    batch is a pair (images, labels): float (batch, channels, height, width) and integer (batch,).

    The loss is cross entropy in nats, with label smoothing (arXiv 1512.00567) in training only. The optimizer is
    AdamW (arXiv 1711.05101) or SGD with Nesterov momentum. Weight decay acts on matrices and kernels only: not on
    biases, norms and other one-dimensional parameters, nor on parameters that the network lists in timm's
    `no_weight_decay()` (position embeddings, class token). The learning rate rises linearly, then falls to zero
    along half a cosine, and changes with every optimizer step.

    Logged once per epoch: `train/loss`, `train/accuracy`, `val/loss`, `val/accuracy`, `test/loss`,
    `test/accuracy` (losses in nats, accuracies between 0 and 1).

    Args:
        network: Module from (batch, in_channels, height, width) to logits (batch, num_classes).
        num_classes: Number of classes, two or more.
        in_channels: Channels of an image.
        mean: Subtracted from the pixels, one number per channel; None for 0.5 each.
        std: Divides the pixels after that, one positive number per channel; None for 0.25 each.
        optimizer: "adamw" or "sgd".
        learning_rate: Highest learning rate, reached when the warm-up ends.
        weight_decay: Strength of weight decay, decoupled in AdamW and added to the gradient in SGD.
        momentum: Nesterov momentum of SGD; AdamW ignores it.
        warmup_fraction: Fraction of all optimizer steps spent warming up, from 0 (none) to below 1.
        label_smoothing: Probability spread evenly over all classes in the training loss, from 0 to below 1.
        gradient_penalty: Weight in the training loss of the squared norm of the gradient of a sample's loss with
            respect to its pixels (arXiv 1711.09404), 0 for none. It needs a second derivative, so steps take longer.
        spectral_norm: Whether every convolution and matrix is divided by its largest singular value, the convolutions
            as matrices from patches to channels (arXiv 1802.05957).

    Raises:
        ValueError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from lightning_topolip.models import ImageClassifier
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10))
        >>> model = ImageClassifier(network, num_classes=10)
        >>> model(torch.rand(4, 3, 8, 8)).shape
        torch.Size([4, 10])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        optimizer: Literal["adamw", "sgd"] = "adamw",
        learning_rate: float = 1e-3,
        weight_decay: float = 0.05,
        momentum: float = 0.9,
        warmup_fraction: float = 0.1,
        label_smoothing: float = 0.1,
        gradient_penalty: float = 0.0,
        spectral_norm: bool = False,
    ) -> None:
        """Check the arguments and keep the network."""
        super().__init__()
        self.save_hyperparameters(ignore=["network"])
        if num_classes < 2:
            raise ValueError(f"Argument `num_classes` must be at least 2, got {num_classes}.")
        if optimizer not in ("adamw", "sgd"):
            raise ValueError(
                f"Argument `optimizer` must be 'adamw' or 'sgd', got {optimizer!r}; for another one, override "
                "`configure_optimizers`."
            )
        for name, value in (("warmup_fraction", warmup_fraction), ("label_smoothing", label_smoothing)):
            if not 0 <= value < 1:
                raise ValueError(f"Argument `{name}` must be at least 0 and below 1, got {value}; try 0.1.")
        if std is not None and min(std, default=1) <= 0:
            raise ValueError(
                f"Argument `std` must be positive in every channel, got {list(std)}; use 1.0 for a constant channel."
            )
        if learning_rate <= 0 or weight_decay < 0:
            raise ValueError(
                "Argument `learning_rate` must be above 0 and `weight_decay` at least 0, "
                f"got {learning_rate} and {weight_decay}; try 1e-3 and 0.05."
            )
        if gradient_penalty < 0:
            raise ValueError(f"Argument `gradient_penalty` must be at least 0, got {gradient_penalty}; 0 is for none.")
        self.network = with_spectral_norm(network) if spectral_norm else network
        self.gradient_penalty = gradient_penalty
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.optimizer_name = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.momentum = momentum
        self.warmup_fraction = warmup_fraction
        self.label_smoothing = label_smoothing
        self.register_buffer("mean", _per_channel("mean", mean, 0.5, in_channels))
        self.register_buffer("std", _per_channel("std", std, 0.25, in_channels))
        self.train_accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.val_accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.test_accuracy = MulticlassAccuracy(num_classes, average="micro")

    @property
    def required_image_size(self) -> tuple[int, int] | None:
        """Height and width of the only images that the network takes; None if it takes others too."""
        patches = getattr(self.network, "patch_embed", None)
        strict = getattr(patches, "strict_img_size", False)
        return cast(tuple[int, int], getattr(patches, "img_size")) if strict else None  # noqa: B009  untyped in timm

    def setup(self, stage: str) -> None:
        """Check that the images and classes of the data module are those that the network is made for."""
        data = getattr(self.trainer, "datamodule", None)
        classes = getattr(data, "num_classes", None)
        if isinstance(classes, int) and classes > self.num_classes:
            raise ValueError(
                f"Argument `num_classes` must be at least {classes}, the number of classes of the data, got "
                f"{self.num_classes}; pass num_classes={classes} to the model."
            )
        shape = tuple(getattr(data, "image_shape", None) or ())
        if len(shape) != 3 or shape[1] != shape[2]:
            return
        if shape[0] != self.in_channels:
            raise ValueError(
                f"Argument `in_channels` must be {shape[0]}, as in the data's images {shape}, got {self.in_channels}; "
                f"pass in_channels={shape[0]} to the model, or other data."
            )
        size = self.required_image_size
        if size is not None and size != shape[1:]:
            raise ValueError(
                f"Argument `image_size` must be {shape[1]}, as in the data's images {shape}, got {size[0]}; "
                f"pass image_size={shape[1]} to the model, or the model's to the data."
            )

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (batch, num_classes), of pixels in [0, 1], (batch, in_channels, height, width)."""
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise ValueError(
                f"Argument `images` must have shape (batch, {self.in_channels}, height, width), got "
                f"{tuple(images.shape)}; pass a batch of images, or set `in_channels`."
            )
        size = self.required_image_size
        if size is not None and size != tuple(images.shape[2:]):
            raise ValueError(
                f"Argument `images` must have shape (batch, {self.in_channels}, {size[0]}, {size[1]}), got "
                f"{tuple(images.shape)}; resize the images, or set `image_size`."
            )
        return cast(Tensor, self.network((images - self.mean) / self.std))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of one batch, and log it with the accuracy."""
        return self._step(batch, "train", self.train_accuracy, self.label_smoothing)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Log loss and accuracy of one validation batch."""
        return self._step(batch, "val", self.val_accuracy)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Log loss and accuracy of one test batch."""
        return self._step(batch, "test", self.test_accuracy)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the logits of one batch, which is (images, labels) or images alone."""
        images = batch if isinstance(batch, Tensor) else batch[0]
        return cast(Tensor, self(images))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the name of the class, so that `topolip analyze` can load the checkpoint without running its code."""
        checkpoint["model_class"] = type(self).__name__

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build the optimizer and the schedule over all steps of this run."""
        steps = self.trainer.estimated_stepping_batches
        if not math.isfinite(steps):
            raise ValueError(
                "Argument `max_epochs` of the Trainer must be finite for the cosine schedule, got -1; "
                "set `max_epochs` or `max_steps`."
            )
        total = max(1, int(steps))
        warmup = math.ceil(self.warmup_fraction * total)
        groups = self._parameter_groups()
        optimizer: Optimizer
        if self.optimizer_name == "adamw":
            optimizer = AdamW(groups, lr=self.learning_rate)
        else:
            optimizer = SGD(groups, lr=self.learning_rate, momentum=self.momentum, nesterov=self.momentum > 0)
        schedule = LambdaLR(optimizer, lambda step: _warmup_cosine(step, warmup, total))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _step(
        self, batch: tuple[Tensor, Tensor], stage: str, accuracy: MulticlassAccuracy, smoothing: float = 0.0
    ) -> Tensor:
        images, labels = batch
        if stage == "train" and self.gradient_penalty:
            logits, loss = penalised_loss(self, images, labels, smoothing, self.gradient_penalty)
        else:
            logits = self(images)
            loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        accuracy(logits, labels)
        options: Any = {"on_step": False, "on_epoch": True, "prog_bar": True, "batch_size": len(labels)}
        self.log(f"{stage}/loss", loss, sync_dist=stage != "train", **options)
        self.log(f"{stage}/accuracy", accuracy, **options)
        return loss

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Split the trained parameters into those with weight decay and those without."""
        no_weight_decay = getattr(self.network, "no_weight_decay", None)
        exempt: set[str] = set() if no_weight_decay is None else no_weight_decay()
        groups: tuple[list[Tensor], list[Tensor]] = ([], [])
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                groups[parameter.ndim <= 1 or name in exempt].append(parameter)
        decays = (self.weight_decay, 0.0)
        return [{"params": group, "weight_decay": decay} for group, decay in zip(groups, decays, strict=True) if group]


def _warmup_cosine(step: int, warmup: int, total: int) -> float:
    """Return the learning rate of an optimizer step divided by the highest: 1 after `warmup`, 0 at `total`."""
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def _per_channel(name: str, values: Sequence[float] | None, default: float, channels: int) -> Tensor:
    """Return the values as (channels, 1, 1), to be broadcast over a batch of images."""
    per_channel = [default] * channels if values is None else list(values)
    if len(per_channel) != channels:
        raise ValueError(
            f"Argument `{name}` must have one number for each of the {channels} channels, got {per_channel}; "
            f"None means {default} each."
        )
    return torch.tensor(per_channel, dtype=torch.float32).view(-1, 1, 1)
