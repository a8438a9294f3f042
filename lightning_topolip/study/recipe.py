"""A study read from its recipe in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from lightning_topolip.study.config import Choice, StudyConfig

SIZES = "sizes"
IMAGES = "{images}"
_CHOICES = ("models", "data")


def read_config(
    path: Path, size: str = "short", images: str | None = None, seeds: list[int] | None = None
) -> StudyConfig:
    """Read a study from its recipe.

    Args:
        path: YAML with the fields of `StudyConfig`, and under ``sizes`` by name what differs in a size; mappings are
            joined, everything else is replaced.
        size: Which size.
        images: A folder of images, ``train/<class>/*`` and ``test/<class>/*``, that takes the place of ``{images}``.
        seeds: Instead of the recipe's.

    Returns:
        The study.

    Raises:
        ValueError: If the file, a field or the size is not allowed.

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
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"Argument `config` must be a readable YAML file, got {str(path)!r}: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"Argument `config` must be a file with the fields of a study, got {str(path)!r}.")
    sizes = found.pop(SIZES, {"short": {}})
    if not isinstance(sizes, Mapping) or not all(isinstance(entry or {}, Mapping) for entry in sizes.values()):
        raise ValueError(f"`{SIZES}` of {path.name} must hold fields of a study by the name of a size, got {sizes!r}.")
    if size not in sizes:
        raise ValueError(f"Argument `size` must be one of those in {path.name}, {sorted(sizes)}, got {size!r}.")
    merged = _merged(_merged(found, sizes[size] or {}), {} if seeds is None else {"seeds": seeds})
    filled = _filled(merged, images)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(StudyConfig, skip=set(_CHOICES), instantiate=False)
    try:
        models, data = (_chosen(kind, filled.pop(kind, None)) for kind in _CHOICES)
        rest: dict[str, Any] = vars(parser.instantiate_classes(parser.parse_object(filled)))
        return StudyConfig(models=models, data=data, **rest)
    except (ArgumentError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name}, size {size}: {error}") from error


def _chosen(kind: str, entries: Any) -> dict[str, Choice]:
    known = {entry.name for entry in fields(Choice)}
    if not isinstance(entries, Mapping):
        raise ValueError(f"Argument `{kind}` must hold a class_path by label, got {entries!r}.")
    for label, entry in entries.items():
        if not isinstance(entry, Mapping) or "class_path" not in entry or not set(entry) <= known:
            raise ValueError(f"{label} of `{kind}` must hold class_path and may hold {sorted(known)}, got {entry!r}.")
    return {label: Choice(**entry) for label, entry in entries.items()}


def _merged(first: Any, second: Any) -> Any:
    if not (isinstance(first, Mapping) and isinstance(second, Mapping)):
        return second
    return {**first, **{key: _merged(first[key], value) if key in first else value for key, value in second.items()}}


def _filled(value: Any, images: str | None) -> Any:
    if isinstance(value, Mapping):
        return {key: _filled(inner, images) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, images) for inner in value]
    if isinstance(value, str) and IMAGES in value:
        if images is None:
            raise ValueError(
                "Argument `images` must be a folder with train/<class>/* and test/<class>/* for this size, got none; "
                "give --images PATH, or take the size short."
            )
        return value.replace(IMAGES, images)
    return value
