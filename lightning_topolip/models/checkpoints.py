"""Trained models, loaded from checkpoints or by timm name without executing any code in the files."""

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
    model_class.__name__: model_class
    for model_class in (AttentionClassifier, ConvClassifier, ResNetClassifier, ViTClassifier)
}


def load_model(source: str, weights: str | None = None, *, pretrained: bool = False) -> nn.Module:
    """Load a network that takes pixels in [0, 1], from a checkpoint of `topolip fit` or by the name of a timm model.

    For a timm model, `weights` is a file with its state dictionary, and `pretrained` downloads timm's weights; with
    neither, the weights are random from a fixed seed.
    """
    if Path(source).suffix == ".ckpt" or Path(source).is_file():
        if weights is not None or pretrained:
            raise ValueError(
                f"Arguments `weights` and `pretrained` must be None and False for a checkpoint, got {weights!r} and "
                f"{pretrained}."
            )
        return _from_checkpoint(Path(source))
    import timm

    if not timm.is_model(source):
        similar = timm.list_models(f"*{source}*")[:5]
        raise ValueError(
            f"Argument `model` must be a checkpoint file or the name of a timm model, got {source!r}; "
            f"similar names: {', '.join(similar) or 'none, see timm.list_models()'}."
        )
    with kept_random_numbers(seed=0):
        model = timm.create_model(source, pretrained=pretrained)
    if weights is not None:
        timm.models.load_checkpoint(model, weights, weights_only=True)
    config = cast(dict[str, Any], model.pretrained_cfg)
    return Normalised(model, config["mean"], config["std"])


class Normalised(nn.Module):
    """A network with the normalisation that it was trained with: one mean and one std per channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return the network's output for pixels in [0, 1], (batch, channels, height, width)."""
        output: Tensor = self.network((images - self.mean) / self.std)
        return output


def _from_checkpoint(path: Path) -> ImageClassifier:
    if not path.is_file():
        raise ValueError(f"Argument `model` must be an existing checkpoint, got {str(path)!r}; check the path.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"Argument `model` must be a checkpoint of plain values and tensors, got {str(path)!r}, which is damaged "
            "or cannot be read without executing code in it; nothing of it was executed."
        ) from error
    name = content.get("model_class") if isinstance(content, dict) else None
    if name not in _CLASSES:
        raise ValueError(
            f"Argument `model` must be a checkpoint of {sorted(_CLASSES)} written by this package, "
            f"got one of {name!r}; for other models call lightning_topolip.analyze(model, batch) in Python."
        )
    arguments = {key: value for key, value in content["hyper_parameters"].items() if not key.startswith("_")}
    model = _CLASSES[name](**arguments)
    model.load_state_dict(content["state_dict"])
    return model
