"""Trained models from checkpoint files and timm, loaded without executing code from the file."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from lightning_topolip.models import (
    AttentionClassifier,
    ConvClassifier,
    ImageClassifier,
    ResNetClassifier,
    ViTClassifier,
)
from lightning_topolip.randomness import kept_random_numbers

_CLASSES: dict[str, type[ImageClassifier]] = {
    classifier.__name__: classifier
    for classifier in (AttentionClassifier, ConvClassifier, ResNetClassifier, ViTClassifier)
}


def load_model(source: str, weights: str | None = None, *, pretrained: bool = False) -> nn.Module:
    """Load a network that takes pixels in [0, 1]: a checkpoint file or a timm model.

    Args:
        source: A checkpoint written by `topolip fit`, or the name of a timm model.
        weights: For a timm model, a file with its state dictionary (``.safetensors``, ``.pth``).
        pretrained: For a timm model, whether to load timm's published weights, which needs a network connection or a
            cache. Without ``weights`` and ``pretrained``, the weights are random, from a fixed seed.

    Returns:
        The network; a timm model includes its normalisation.

    Raises:
        ValueError: If ``source`` is neither a readable checkpoint of this package nor a timm model.
    """
    if Path(source).suffix == ".ckpt" or Path(source).is_file():
        if weights is not None or pretrained:
            raise ValueError(
                "Arguments `weights` and `pretrained` must be given for a timm model only, "
                f"got {weights!r} and {pretrained} for {source!r}; a checkpoint contains its weights."
            )
        return _from_checkpoint(Path(source))
    return _from_timm(source, weights, pretrained=pretrained)


def _from_timm(name: str, weights: str | None, *, pretrained: bool) -> nn.Module:
    import timm

    if not timm.is_model(name):
        close = timm.list_models(f"*{name}*")[:5]
        raise ValueError(
            f"Argument `model` must be a checkpoint file or the name of a timm model, got {name!r}; "
            f"close names: {', '.join(close) or 'none, see timm.list_models()'}."
        )
    with kept_random_numbers(seed=0):
        model = timm.create_model(name, pretrained=pretrained)
    if weights is not None:
        timm.models.load_checkpoint(model, weights, weights_only=True)
    configuration = cast(dict[str, Any], model.pretrained_cfg)
    return Normalised(model, configuration["mean"], configuration["std"])


class Normalised(nn.Module):
    """A network that normalises its images as in its training.

    Args:
        network: Takes normalised images, shape ``(n, C, H, W)``.
        mean: Subtracted from the pixels, one number per channel.
        std: Divides the centred pixels, one number per channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Map pixels in [0, 1], shape ``(n, C, H, W)``, to the network's output."""
        output: Tensor = self.network((images - self.mean) / self.std)
        return output


def _from_checkpoint(path: Path) -> ImageClassifier:
    if not path.is_file():
        raise ValueError(f"Argument `model` must be an existing checkpoint, got {str(path)!r}; check the path.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"Argument `model` must be a complete checkpoint of plain values and tensors, got {str(path)!r}; "
            "it is damaged or would run code when loaded, and nothing of it was executed."
        ) from error
    class_name = content.get("model_class") if isinstance(content, dict) else None
    if class_name not in _CLASSES:
        raise ValueError(
            f"Argument `model` must be a checkpoint of {sorted(_CLASSES)} written by this package, "
            f"got one of {class_name!r}; for other models call lightning_topolip.analyze(model, batch) in Python."
        )
    arguments = {name: value for name, value in content["hyper_parameters"].items() if not name.startswith("_")}
    model = _CLASSES[class_name](**arguments)
    model.load_state_dict(content["state_dict"])
    return model
