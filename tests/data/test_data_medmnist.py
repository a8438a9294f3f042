"""Medical images: the pixels and labels of a file in the official format, and nothing executed from it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.paths import ROOT
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.functional import resize

from lightning_topolip.data import MedMNISTDataModule
from lightning_topolip.study.config import ClassSpec
from lightning_topolip.study.recipe import read_config
from lightning_topolip.study.runs import make_data, make_model

COUNTS = {"train": 90, "val": 20, "test": 30}


def content(channels: int = 3, size: int = 28, classes: int = 5) -> dict[str, NDArray[Any]]:
    """The arrays of an official file: images uint8 (N, 28, 28) or (N, 28, 28, 3), labels (N, 1)."""
    random = np.random.default_rng(0)
    arrays: dict[str, NDArray[Any]] = {}
    for part, count in COUNTS.items():
        shape = (count, size, size) if channels == 1 else (count, size, size, channels)
        arrays[f"{part}_images"] = random.integers(0, 256, shape, dtype=np.uint8)
        arrays[f"{part}_labels"] = (np.arange(count) % classes).astype(np.uint8)[:, None]
    return arrays


def written(folder: Path, arrays: dict[str, Any], name: str = "bloodmnist") -> str:
    np.savez(folder / f"{name}.npz", **arrays)
    return str(folder)


def everything(data: MedMNISTDataModule, part: str) -> tuple[Tensor, Tensor]:
    batches = list(getattr(data, f"{part}_dataloader")())
    return torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])


@pytest.mark.parametrize("channels", [1, 3])
def test_images_and_labels_are_those_of_the_file(tmp_path: Path, channels: int) -> None:
    arrays = content(channels)
    data = MedMNISTDataModule(written(tmp_path, arrays), "BloodMNIST", image_size=28, augment=False)
    assert (data.num_classes, data.image_shape) == (5, (3, 28, 28))
    for part, count in COUNTS.items():
        images, labels = everything(data, part)
        pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        expected = arrays[f"{part}_images"] if channels == 3 else arrays[f"{part}_images"][..., None].repeat(3, axis=3)
        read = {(image.tobytes(), int(label)) for image, label in zip(pixels, labels, strict=True)}
        given = zip(expected, arrays[f"{part}_labels"][:, 0], strict=True)
        assert read == {(np.ascontiguousarray(image).tobytes(), int(label)) for image, label in given}
        assert len(read) == count


def test_other_sizes_are_resized(tmp_path: Path) -> None:
    arrays = content(size=64)
    data = MedMNISTDataModule(written(tmp_path, arrays, "pathmnist_64"), "pathmnist", file_size=64, augment=False)
    images, _ = everything(data, "test")
    expected = resize(torch.from_numpy(arrays["test_images"]).permute(0, 3, 1, 2), [32, 32]).float() / 255
    assert {image.numpy().tobytes() for image in images} == {image.numpy().tobytes() for image in expected}


def test_subset_seed_and_augmentation(tmp_path: Path) -> None:
    root = written(tmp_path, content())
    data = MedMNISTDataModule(root, subset=20, augment=False)
    images, labels = everything(data, "train")
    assert torch.bincount(labels).tolist() == [4] * 5
    shifted, _ = everything(MedMNISTDataModule(root, subset=20), "train")
    assert not torch.equal(shifted, images)
    one, other = (everything(MedMNISTDataModule(root, seed=seed), "val")[0] for seed in (0, 1))
    assert not torch.equal(one, other)


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (sys.exit, ("executed",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_labels": np.zeros((90, 14), dtype=np.uint8)}, "one label per image, got train_labels of shape"),
        ({"train_images": np.zeros((90, 28, 28, 28), dtype=np.uint8)}, "two-dimensional images, got train_images"),
        ({"train_images": np.zeros((90, 28, 28))}, r"in float64, in \S+bloodmnist\.npz"),
        ({"test_labels": np.full((30, 1), 7)}, "one label from 0 to 4 per image, .* from 7 to 7 in the part test"),
        ({"val_labels": np.zeros((3, 1), dtype=np.uint8)}, "20 images and 3 labels"),
        ({"train_images": np.array([Harmful()], dtype=object)}, "cannot be read .*allow_pickle"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    root = written(tmp_path, content() | change)
    with pytest.raises(ValueError, match=f"Argument `name` must .*{message}"):
        MedMNISTDataModule(root).setup("fit")


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"`root` must hold bloodmnist\.npz, got .* https://medmnist\.com"):
        MedMNISTDataModule(str(tmp_path)).prepare_data()
    (tmp_path / "bloodmnist.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="which cannot be read"):
        MedMNISTDataModule(str(tmp_path)).setup("fit")
    with pytest.raises(ValueError, match="`image_size` must be"):
        MedMNISTDataModule(str(tmp_path), image_size=4)


def test_a_download_asks_medmnist_where_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"url_64": "https://example.org/file", "MD5_64": "abc"}
    calls: list[tuple[str, ...]] = []
    monkeypatch.setitem(sys.modules, "medmnist", SimpleNamespace(INFO={"bloodmnist": entry}))
    monkeypatch.setattr("torchvision.datasets.utils.download_url", lambda *call: calls.append(call))
    with pytest.raises(FileNotFoundError):
        MedMNISTDataModule(str(tmp_path), file_size=64, download=True).prepare_data()
    assert calls == [("https://example.org/file", str(tmp_path), "bloodmnist_64.npz", "abc")]
    with pytest.raises(ValueError, match=r"`name` must be a set of MedMNIST out of bloodmnist, .* got 'unknown' in 28"):
        MedMNISTDataModule(str(tmp_path), "unknown", download=True).prepare_data()
    monkeypatch.setitem(sys.modules, "medmnist", None)
    with pytest.raises(ModuleNotFoundError, match="pip install medmnist"):
        MedMNISTDataModule(str(tmp_path), download=True).prepare_data()


def test_the_medical_size_of_the_study_reads_its_files(tmp_path: Path) -> None:
    for name in ("bloodmnist", "pathmnist", "dermamnist"):
        written(tmp_path, content(), name)
    study = read_config(ROOT / "examples" / "datasets.yaml", "medical", str(tmp_path))
    assert list(study.data) == ["blood", "tissue", "skin"]
    for spec in study.data.values():
        data = make_data(ClassSpec(spec.class_path, {**spec.init_args, "subset": None}), 0)
        assert all(make_model(model, data, 0).num_classes == 5 for model in study.models.values())
