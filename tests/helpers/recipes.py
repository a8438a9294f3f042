"""Recipes of `examples/` in a short form."""

from __future__ import annotations

from pathlib import Path

import yaml


def with_small_probe(recipe: Path, folder: Path) -> Path:
    """Copy a recipe, with a probe of 32 samples for the callback that has 256 otherwise."""
    content = yaml.safe_load(recipe.read_text())
    (callback,) = (one for one in content["trainer"]["callbacks"] if one["class_path"].endswith("TopoLipCallback"))
    callback["init_args"] = {"probe_size": 32, **callback.get("init_args", {})}
    (folder / recipe.name).write_text(yaml.safe_dump(content, sort_keys=False))
    return folder / recipe.name
