"""Folders of image files, one folder per class: the classes, the files that are read, and those that are not."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS

__all__ = ["class_names_in", "list_images", "unread_files"]


def class_names_in(root: Path) -> tuple[str, ...]:
    """Return the names of the class folders, which must be the same in every part of the data."""
    for folder in (root, root / "train", root / "test"):
        if not folder.is_dir():
            raise FileNotFoundError(
                f"Argument `root` must be a folder with train/<class>/* and test/<class>/*, got {root}; {folder} does "
                "not exist."
            )
    names = {
        part.name: sorted(path.name for path in part.iterdir() if path.is_dir() and not path.name.startswith("."))
        for part in (root / "train", root / "test", root / "val")
        if part.is_dir()
    }
    for part, part_names in names.items():
        unmatched = sorted(set(names["train"]) ^ set(part_names))
        if unmatched:
            raise ValueError(
                f"Argument `root` must hold the same classes in train and {part}, got {unmatched} in only one of them "
                f"in {root}; rename, add or remove those folders."
            )
    if len(names["train"]) < 2:
        raise ValueError(
            f"Argument `root` must hold at least two classes, got {names['train']} in {root / 'train'}; put the images "
            "of each class into a folder train/<class>."
        )
    return tuple(names["train"])


def list_images(folder: Path, class_names: Sequence[str]) -> tuple[list[Path], Tensor]:
    """Return the image files of `folder/<class>/*`, sorted by class and name, and their labels."""
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(class_names):
        files = sorted(Path(entry.path) for entry in os.scandir(folder / name) if _is_read(entry))
        if not files:
            raise FileNotFoundError(
                f"Argument `root` must hold at least one image per class, got none in {folder / name}; add images "
                f"({', '.join(IMG_EXTENSIONS)}), or remove the class everywhere."
            )
        paths += files
        labels += [label] * len(files)
    return paths, torch.tensor(labels)


def unread_files(folder: Path, class_names: Sequence[str]) -> list[Path]:
    """List the files below `folder/<class>` that `list_images` leaves out, without hidden ones, sorted."""
    unread: list[Path] = []
    for name in class_names:
        for entry in os.scandir(folder / name):
            if entry.name.startswith(".") or _is_read(entry):
                continue
            unread += _files_below(Path(entry.path)) if entry.is_dir() else [Path(entry.path)]
    return sorted(unread)


def _is_read(entry: os.DirEntry[str]) -> bool:
    is_image = os.path.splitext(entry.name)[1].lower() in IMG_EXTENSIONS
    return is_image and not entry.name.startswith(".") and entry.is_file()


def _files_below(folder: Path) -> list[Path]:
    return [Path(parent, name) for parent, _, names in os.walk(folder) for name in names if not name.startswith(".")]
