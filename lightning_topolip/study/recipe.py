"""Reading the configuration of a study from a YAML recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from lightning_topolip.arguments import require_one_of
from lightning_topolip.sentence import parser_sentence
from lightning_topolip.study.config import ClassSpec, StudyConfig

_SIZES = "sizes"
_IMAGES = "{images}"
_CLASS_SPECS = ("models", "data")


def read_config(
    path: Path, size: str = "short", images: str | None = None, seeds: list[int] | None = None
) -> StudyConfig:
    """Read the configuration of a study from a YAML recipe.

    Args:
        path: YAML file with the fields of `StudyConfig` and, under ``sizes``, the fields that differ by size. The
            mappings of a size are merged into the recipe's; its other values replace those of the recipe.
        size: Name of a size.
        images: A folder of images, ``train/<class>/*`` and ``test/<class>/*``, that replaces ``{images}``.
        seeds: Replace the seeds of the recipe.

    Returns:
        The configuration.

    Raises:
        ValueError: If the file, a field or the size is not valid.

    Example:
        >>> import tempfile
        >>> recipe = Path(tempfile.mkdtemp()) / "study.yaml"
        >>> _ = recipe.write_text('''
        ... title: Two widths
        ... question: Does width matter?
        ... models:
        ...   thin: {class_path: lightning_topolip.models.ConvClassifier, init_args: {size: micro}}
        ... data:
        ...   digits: {class_path: lightning_topolip.data.DigitsDataModule}
        ... sizes:
        ...   short: {training: {epochs: 2}}
        ...   paper: {training: {epochs: 200}, seeds: [0, 1, 2]}
        ... ''')
        >>> read_config(recipe).training.epochs, read_config(recipe, "paper").seeds
        (2, [0, 1, 2])
    """
    recipe = _load_yaml(path)
    sizes = recipe.pop(_SIZES, {"short": {}})
    if not isinstance(sizes, Mapping) or not all(isinstance(entry or {}, Mapping) for entry in sizes.values()):
        raise ValueError(f"Argument `{_SIZES}` of {path.name} must map names to fields of a study, got {sizes!r}.")
    require_one_of("size", size, list(sizes), hint=f"these are the sizes in {path.name}")
    recipe = _merge(recipe, sizes[size] or {})
    if seeds is not None:
        recipe["seeds"] = seeds
    recipe = _fill_in_images(recipe, images)
    try:
        return _parse(recipe)
    except ArgumentError as error:
        raise ValueError(f"{path.name}, size {size}: {parser_sentence(str(error), program='')}") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path.name}, size {size}: {error}") from error


def _load_yaml(path: Path) -> dict[str, Any]:
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise ValueError(
            f"Argument `config` must be a readable YAML file, got {str(path)!r} ({reason}); check "
            "the path and the file."
        ) from error
    if not isinstance(recipe, dict):
        raise ValueError(f"Argument `config` must be a YAML file with the fields of a study, got {str(path)!r}.")
    return recipe


def _merge(base: Any, changes: Any) -> Any:
    if not (isinstance(base, Mapping) and isinstance(changes, Mapping)):
        return changes
    return {**base, **{key: _merge(base[key], value) if key in base else value for key, value in changes.items()}}


def _fill_in_images(value: Any, images: str | None) -> Any:
    if isinstance(value, Mapping):
        return {key: _fill_in_images(inner, images) for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill_in_images(inner, images) for inner in value]
    if isinstance(value, str) and _IMAGES in value:
        if images is None:
            raise ValueError(
                "Argument `images` must be a folder with train/<class>/* and test/<class>/* for this size, got none; "
                "add --images PATH, or use the size short."
            )
        return value.replace(_IMAGES, images)
    return value


def _parse(recipe: dict[str, Any]) -> StudyConfig:
    models, data = (_class_specs(name, recipe.pop(name, None)) for name in _CLASS_SPECS)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(StudyConfig, skip=set(_CLASS_SPECS), instantiate=False)
    fields_of_study: dict[str, Any] = vars(parser.instantiate_classes(parser.parse_object(recipe)))
    return StudyConfig(models=models, data=data, **fields_of_study)


def _class_specs(name: str, entries: Any) -> dict[str, ClassSpec]:
    if not isinstance(entries, Mapping):
        raise ValueError(f"Argument `{name}` must map labels to a class_path, got {entries!r}.")
    keys = [field.name for field in fields(ClassSpec)]
    for label, entry in entries.items():
        if not isinstance(entry, Mapping) or "class_path" not in entry or not set(entry) <= set(keys):
            raise ValueError(
                f"Argument `{name}` must have for {label} the key class_path and no others than {keys}, got {entry!r}."
            )
    return {label: ClassSpec(**entry) for label, entry in entries.items()}
