"""Trained models from checkpoint files and timm, loaded without executing code from the file."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from torch import Tensor, nn

from lightning_topolip.models import (
    AttentionClassifier,
    ConvClassifier,
    HybridClassifier,
    ImageClassifier,
    ResNetClassifier,
    ViTClassifier,
)
from lightning_topolip.models.class_path import is_class_path, load_class
from lightning_topolip.models.weights import load_weights, read_checkpoint, weights_for
from lightning_topolip.randomness import kept_random_numbers

_CLASSES: dict[str, type[ImageClassifier]] = {
    classifier.__name__: classifier
    for classifier in (AttentionClassifier, ConvClassifier, HybridClassifier, ResNetClassifier, ViTClassifier)
}

_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin", ".safetensors")
_NUMPY_SUFFIXES = (".npz", ".npy")


def load_model(
    source: str, weights: str | None = None, init_args: Mapping[str, Any] | None = None, *, pretrained: bool = False
) -> nn.Module:
    """Load a network: a checkpoint file, a timm model, or any module by the path of its class.

    Args:
        source: A checkpoint of a bundled model written by `topolip fit`, the name of a timm model, or the path of a
            class, such as ``my_package.MyModel``. The first two take pixels in [0, 1].
        weights: For a timm model, a file with its state dictionary (``.safetensors``, ``.pth``). It decides the number
            of classes. Parts of names that wrappers add, such as ``_orig_mod.`` and ``module.``, do not matter. For
            the path of a class, a checkpoint of Lightning or a state dictionary.
        init_args: For the path of a class, arguments of the class; they come before the checkpoint's hyper-parameters.
        pretrained: For a timm model, whether to load timm's published weights, which needs a network connection or a
            cache. Without ``weights`` and ``pretrained``, the weights are random, from a fixed seed.

    Returns:
        The network; a timm model includes its normalisation.

    Raises:
        ValueError: If ``source`` is none of the three, or ``weights`` or ``init_args`` are not those of the model.
    """
    if Path(source).is_dir():
        files = sorted(path.name for path in Path(source).iterdir() if path.suffix in _SUFFIXES)
        hint = f"name one of its files: {', '.join(files[:5])}" if files else f"it has no {', '.join(_SUFFIXES)} file"
        raise ValueError(
            "Argument `model` must be a checkpoint file, the name of a timm model or the path of a class, got "
            f"the folder {source!r}; {hint}."
        )
    if Path(source).suffix in _SUFFIXES or Path(source).is_file():
        if weights is not None or pretrained or init_args:
            raise ValueError(
                "Arguments `weights`, `pretrained` and `init_args` must not be given for a checkpoint of a bundled "
                f"model, got {weights!r}, {pretrained} and {init_args} for {source!r}; the file contains all of it."
            )
        return _from_checkpoint(Path(source))
    if is_class_path(source):
        if pretrained:
            raise ValueError(
                f"Argument `pretrained` must be given for a timm model only, got True for {source!r}; name the file of "
                "the weights with --weights."
            )
        return load_class(source, weights, init_args or {})
    if init_args:
        raise ValueError(
            f"Argument `init_args` must be given for the path of a class only, got {dict(init_args)} for {source!r}."
        )
    return _from_timm(source, weights, pretrained=pretrained)


def _from_timm(name: str, weights: str | None, *, pretrained: bool) -> nn.Module:
    import timm

    if not timm.is_model(name):
        models = timm.list_models()
        close = get_close_matches(name, models, n=5) or [known for known in models if name in known][:5]
        hint = f"close names are {', '.join(close)}" if close else "timm.list_models() lists its models"
        raise ValueError(
            "Argument `model` must be a checkpoint file, the name of a timm model or the path of a class, such as "
            f"my_package.MyModel, got {name!r}; {hint}."
        )
    state = None if weights is None else _read_weights(weights)
    model = _create(name, pretrained=pretrained)
    if state is not None:
        state = weights_for(model.state_dict(), state)
        classes = _classes_of(model, state)
        if classes is not None and classes != model.num_classes:
            model = _create(name, num_classes=classes)
        load_weights(model, state, "weights", str(weights))
    elif weights is not None:
        timm.models.load_checkpoint(model, weights)
    configuration = cast(dict[str, Any], model.pretrained_cfg)
    return Normalised(model, configuration["mean"], configuration["std"])


def _create(name: str, *, pretrained: bool = False, **options: Any) -> nn.Module:
    import timm

    with kept_random_numbers(seed=0):
        try:
            model: nn.Module = timm.create_model(name, pretrained=pretrained, **options)
        except (OSError, RuntimeError, ValueError) as error:
            if not pretrained:
                raise
            reason = " ".join(str(error).split())
            raise ValueError(
                f"Argument `pretrained` must be False where the weights of {name!r} cannot be had, got True "
                f"({reason}); check the network connection, or name a file with --weights."
            ) from error
    return model


def _read_weights(weights: str) -> dict[str, Tensor] | None:
    """The state dictionary in a file; None for an archive of numpy's, which timm reads itself."""
    import timm

    if not Path(weights).is_file():
        raise ValueError(f"Argument `weights` must be an existing file, got {weights!r}; check the path.")
    if Path(weights).suffix in _NUMPY_SUFFIXES:
        return None
    try:
        state: dict[str, Tensor] = timm.models.load_state_dict(weights, weights_only=True)
        if not state or not all(isinstance(weight, Tensor) for weight in state.values()):
            raise ValueError("it holds other values than tensors")
    except Exception as error:  # every format has errors of its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"Argument `weights` must be a file with a state dictionary, got {weights!r} ({reason}); "
            "save it with torch.save(model.state_dict(), path)."
        ) from error
    return state


def _classes_of(model: nn.Module, state: dict[str, Tensor]) -> int | None:
    """The number of classes that a state dictionary was trained for; None if it has no head."""
    heads = cast(dict[str, Any], model.pretrained_cfg).get("classifier") or ()
    names = [heads] if isinstance(heads, str) else heads
    return next((len(state[f"{name}.weight"]) for name in names if f"{name}.weight" in state), None)


def require_images(model: nn.Module, images: Tensor, source: str) -> None:
    """Raise a `ValueError` unless a network for images takes those of this shape, with the shape that it was made for.

    Other modules are not tried: what reaches their ``forward`` is for `analyze` to find out.

    Args:
        model: The result of `load_model`.
        images: Pixels, shape ``(n, C, H, W)``.
        source: The name of the model in the text.
    """
    if not isinstance(model, (ImageClassifier, Normalised)):
        return
    shape = tuple(images.shape[1:])
    try:
        with torch.no_grad(), kept_random_numbers(seed=0):
            model.eval()(images[:2])
    except Exception as error:  # every network has errors of its own
        expected = _image_shape(model)
        size = "" if expected is None else f" {expected[-1]}"
        hint = "--data.channels" if expected and shape[0] != expected[0] else f"--data.image_size{size}"
        reason = " ".join(str(error).split()).rstrip(".")
        raise ValueError(
            f"Argument `data` must hold images that {source} takes{f', {expected}' if expected else ''}, got {shape} "
            f"({reason}); pass {hint}."
        ) from error


def _image_shape(model: nn.Module) -> tuple[int, ...] | None:
    """The shape of the images that a model was made for, as far as it says so."""
    if isinstance(model, Normalised):
        return tuple(cast(dict[str, Any], model.network.pretrained_cfg)["input_size"])
    if isinstance(model, ImageClassifier) and model.required_image_size is not None:
        return (model.in_channels, *model.required_image_size)
    return None


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
    if path.suffix == ".safetensors" and path.is_file():
        _refuse_bare(path)
    content = read_checkpoint(path)
    class_name = content.get("model_class")
    if class_name not in _CLASSES:
        _refuse_checkpoint(path, content)
    arguments = content.get("hyper_parameters")
    if not arguments or "state_dict" not in content:
        lacking = "weights" if arguments else "hyper-parameters"
        raise ValueError(
            f"Argument `model` must be a checkpoint with hyper-parameters and weights, got {str(path)!r} without "
            f"{lacking}; build the model in Python, load its weights, and call lightning_topolip.analyze(model, batch)."
        )
    try:
        with kept_random_numbers(seed=0):
            model = _CLASSES[class_name](**{name: value for name, value in arguments.items() if name[:1] != "_"})
    except TypeError as error:
        raise ValueError(
            f"Argument `model` must be a checkpoint whose hyper-parameters {class_name} takes, got {str(path)!r} "
            f"({error}); it may come from another version."
        ) from error
    load_weights(model, content["state_dict"], "model", str(path))
    return model


def _refuse_checkpoint(path: Path, content: dict[str, Any]) -> NoReturn:
    if content and all(isinstance(value, Tensor) for value in content.values()):
        _refuse_bare(path)
    raise ValueError(
        f"Argument `model` must be a checkpoint that `topolip fit` wrote of {', '.join(sorted(_CLASSES))}, got "
        f"{str(path)!r} of {content.get('model_class') or 'another class'}; name that class by its path and the file "
        f"as its weights: --model my_package.MyModel --weights {path}."
    )


def _refuse_bare(path: Path) -> NoReturn:
    raise ValueError(
        f"Argument `model` must name an architecture, got a bare state dictionary in {str(path)!r}; "
        f"pass --model with the name of a timm model or the path of a class, and --weights {path}."
    )
