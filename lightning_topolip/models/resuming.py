"""Checkpoints from which the command continues or tests: refused before Lightning's parser and Trainer read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning_topolip.models.weights import read_trained

__all__ = ["read_resumed"]

_KEYWORDS = ("best", "last", "hpc", "registry")
_SHARDED = "meta.pt"  # in the folder that a sharded strategy writes


def read_resumed(ckpt_path: str, class_name: str, *, trains: bool) -> dict[str, Any]:
    """Read the checkpoint that `topolip fit`, `validate`, `test` or `predict` is to load.

    Args:
        ckpt_path: The argument ``ckpt_path``.
        class_name: The class of the model in the recipe.
        trains: Whether the training continues, which needs the state of the optimizer.

    Returns:
        The content of the file; nothing for a keyword, an address or a sharded checkpoint, which Lightning reads.

    Raises:
        ValueError: If it is no checkpoint of the Trainer, belongs to another class or cannot be continued; the text
            names the file.
    """
    path = Path(ckpt_path)
    if ckpt_path.split(":", maxsplit=1)[0] in _KEYWORDS or "://" in ckpt_path or (path / _SHARDED).is_file():
        return {}
    if path.is_dir():
        if any(inner.is_dir() for inner in path.iterdir()):
            return {}
        names = ", ".join(sorted(inner.name for inner in path.iterdir())[:3])
        raise ValueError(
            f"Argument `ckpt_path` must be a checkpoint file, got the folder {ckpt_path!r}; "
            f"{f'name one of its files: {names}' if names else 'it is empty'}."
        )
    content = read_trained(path, "ckpt_path")
    if "pytorch-lightning_version" not in content:
        _refuse(ckpt_path, "without pytorch-lightning_version", "save it with Trainer.save_checkpoint")
    if trains and "optimizer_states" not in content:
        _refuse(ckpt_path, "with weights alone", "save it with save_weights_only=False, or start a new training")
    arguments = dict(content.get("hyper_parameters") or {})
    arguments.pop("_instantiator", None)
    written_for = str(arguments.get("_class_path", "")).rpartition(".")[2]
    if arguments and not written_for:
        hint = f"call Trainer.{'fit' if trains else 'test'}(model, data, ckpt_path=...) there"
        _refuse(ckpt_path, "of a training in Python, whose hyper-parameters do not name their class", hint)
    if written_for and written_for != class_name:
        _refuse(ckpt_path, f"of {written_for} for the model {class_name}", f"pass --model {arguments['_class_path']}")
    return content


def _refuse(ckpt_path: str, kind: str, hint: str) -> None:
    raise ValueError(
        f"Argument `ckpt_path` must be a checkpoint of this model as the command writes it, got one {kind} in "
        f"{ckpt_path!r}; {hint}."
    )
