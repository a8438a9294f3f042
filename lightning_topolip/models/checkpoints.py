"""Trained models from files and names, without executing anything in them."""

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

_KINDS = (AttentionClassifier, ConvClassifier, ResNetClassifier, ViTClassifier)
_CLASSES: dict[str, type[ImageClassifier]] = {kind.__name__: kind for kind in _KINDS}


def load_model(source: str, weights: str | None = None, pretrained: bool = False) -> nn.Module:
    """Load a trained network that takes pixels in [0, 1].

    Args:
        source: A checkpoint that `topolip fit` wrote, or the name of a timm model.
        weights: For a timm model: a file with its state dictionary (``.safetensors``, ``.pth``).
        pretrained: For a timm model: take timm's published weights, which needs a network or a cache. With neither
            the weights are random, from a fixed seed.

    Returns:
        The network; a timm model behind its own normalisation.

    Raises:
        ValueError: If ``source`` is neither a file nor a timm model, or the checkpoint is of another kind.
    """
    if Path(source).suffix == ".ckpt" or Path(source).is_file():
        if weights is not None or pretrained:
            raise ValueError("Arguments `weights` and `pretrained` are for timm models; a checkpoint brings its own.")
        return _from_checkpoint(Path(source))
    import timm

    if not timm.is_model(source):
        close = timm.list_models(f"*{source}*")[:5]
        raise ValueError(
            f"Argument `model` must be a checkpoint file or the name of a timm model, got {source!r}; "
            f"close names: {', '.join(close) or 'none, see timm.list_models()'}."
        )
    with kept_random_numbers(seed=0):
        model = timm.create_model(source, pretrained=pretrained)
    if weights is not None:
        timm.models.load_checkpoint(model, weights, weights_only=True)
    configuration = cast(dict[str, Any], model.pretrained_cfg)
    return Normalised(model, configuration["mean"], configuration["std"])


class Normalised(nn.Module):
    """A network behind the normalisation that it was trained with.

    Args:
        network: Takes normalised images, shape ``(n, C, H, W)``.
        mean: Subtracted from the pixels, one number a channel.
        std: Divides the pixels after that, one number a channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Map pixels in [0, 1], shape ``(n, C, H, W)``, to what the network gives."""
        output: Tensor = self.network((images - self.mean) / self.std)
        return output


def _from_checkpoint(path: Path) -> ImageClassifier:
    if not path.is_file():
        raise ValueError(f"Argument `model` must be an existing checkpoint, got {str(path)!r}; check the path.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"Argument `model` must be a whole checkpoint of plain values and tensors, got {str(path)!r}, which cannot "
            "be read without executing what is in it, or is damaged; nothing of it was executed."
        ) from error
    kind = content.get("model_class") if isinstance(content, dict) else None
    if kind not in _CLASSES:
        raise ValueError(
            f"Argument `model` must be a checkpoint of {sorted(_CLASSES)} written by this package, "
            f"got one of {kind!r}; for other models call lightning_topolip.analyze(model, batch) in Python."
        )
    arguments = {name: value for name, value in content["hyper_parameters"].items() if not name.startswith("_")}
    model = _CLASSES[kind](**arguments)
    model.load_state_dict(content["state_dict"])
    return model
