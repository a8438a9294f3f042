"""The data modules: real pixels, stratified and reproducible splits, and errors."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision.datasets.cifar as torchvision_cifar
from helpers.paths import ROOT
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import CIFAR10

from lightning_topolip.data import CIFAR10DataModule, DigitsDataModule, ImageDataModule, ImageFolderDataModule
from lightning_topolip.data.images import LabelledImages, mixed_order


def labels_of(data: ImageDataModule, stage: str) -> Tensor:
    loader = getattr(data, f"{stage}_dataloader")()
    return torch.cat([labels for _, labels in loader])


def images_of(data: ImageDataModule, stage: str) -> Tensor:
    loader = getattr(data, f"{stage}_dataloader")()
    return torch.cat([images for images, _ in loader])


def rows(images: Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write 3 classes, 20 training and 5 test images each, each image of its own colour."""
    for part, count in (("train", 20), ("test", 5)):
        for label, name in enumerate(("ant", "bee", "cow")):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                colour = (60 * label + 20, 10 * number, 200 if part == "test" else 0)
                Image.new("RGB", (16, 16), colour).save(tmp_path / part / name / f"{number:02}.png")
    return tmp_path


@pytest.fixture
def batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the official layout with 40 images per file, and skip the check of the published checksums."""
    monkeypatch.setattr(torchvision_cifar, "check_integrity", lambda path, md5=None: Path(path).is_file())
    base = tmp_path / CIFAR10.base_folder
    base.mkdir()
    random = np.random.default_rng(0)
    for name, _ in CIFAR10.train_list + CIFAR10.test_list:
        pixels = random.integers(0, 256, (40, 3072), dtype=np.uint8)
        (base / name).write_bytes(pickle.dumps({"data": pixels, "labels": list(range(10)) * 4}))
    names = list(CIFAR10DataModule.class_names)
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    return tmp_path


def test_every_prefix_of_a_mixed_order_is_stratified() -> None:
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    order = mixed_order(labels, torch.Generator().manual_seed(1))
    assert sorted(order.tolist()) == list(range(100))
    for k in range(1, 101):
        counts = labels[order[:k]].bincount(minlength=3)
        assert (counts - torch.tensor([0.6, 0.3, 0.1]) * k).abs().max() <= 1


def test_a_balanced_order_takes_equal_numbers_as_far_as_possible() -> None:
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    order = mixed_order(labels, torch.Generator().manual_seed(1), balanced=True)
    assert labels[order[:30]].bincount().tolist() == [10, 10, 10]
    assert labels[order[:60]].bincount().tolist() == [25, 25, 10]


def test_digits_are_real_pixels_in_three_channels() -> None:
    data = DigitsDataModule(batch_size=16)
    images, labels = next(iter(data.train_dataloader()))
    assert images.shape == (16, *data.image_shape) == (16, 3, 32, 32)
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert images.min() == 0
    assert 0.9 < images.max() <= 1
    assert torch.equal(images[:, 0], images[:, 2])
    assert data.num_classes == 10
    assert data.class_names[3] == "3"


def test_digits_split_is_disjoint_complete_and_stratified() -> None:
    data = DigitsDataModule(augment=False)
    parts = {stage: labels_of(data, stage) for stage in ("train", "val", "test")}
    assert {stage: len(labels) for stage, labels in parts.items()} == {"train": 1079, "val": 359, "test": 359}
    complete = torch.cat(list(parts.values())).bincount()
    assert complete.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    for labels in parts.values():
        assert (labels.bincount() - complete * len(labels) / 1797).abs().max() <= 2
    seen = [rows(images_of(data, stage)) for stage in parts]
    assert not (seen[0] & seen[1])
    assert not (seen[0] & seen[2])
    assert not (seen[1] & seen[2])


def test_the_seed_decides_split_order_and_augmentation() -> None:
    first, again, other = (next(iter(DigitsDataModule(seed=s).train_dataloader())) for s in (0, 0, 1))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])
    test_sets = [rows(images_of(DigitsDataModule(seed=s), "test")) for s in (0, 0, 1)]
    assert test_sets[0] == test_sets[1] != test_sets[2]


def test_only_training_images_are_reshuffled_each_epoch() -> None:
    data = DigitsDataModule()
    loader = data.train_dataloader()
    first, second = ([labels.tolist() for _, labels in loader] for _ in range(2))
    assert first != second
    assert torch.equal(images_of(data, "val"), images_of(data, "val"))


def test_loading_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    data = DigitsDataModule()
    images_of(data, "train"), images_of(data, "val")
    assert torch.equal(before, torch.get_rng_state())


def test_the_first_validation_images_hold_every_class() -> None:
    labels = labels_of(DigitsDataModule(), "val")
    assert (labels[:30].bincount(minlength=10) - 3).abs().max() <= 1


def test_a_subset_is_balanced_nested_and_checked() -> None:
    large, small = (DigitsDataModule(subset=n, augment=False) for n in (200, 50))
    assert labels_of(small, "train").bincount().tolist() == [5] * 10
    assert rows(images_of(small, "train")) < rows(images_of(large, "train"))
    with pytest.raises(ValueError, match=r"`subset` must be between 10 .* and 1079 .*, got 2000"):
        DigitsDataModule(subset=2000).train_dataloader()


def test_augmentation_shifts_and_flips_images() -> None:
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 4, 3] = 1
    pairs = LabelledImages(image, torch.tensor([0]), padding=2, flip=True)
    positions = {tuple(pairs[0][0][0].nonzero().squeeze(0).tolist()) for _ in range(400)}
    assert {row for row, _ in positions} == {2, 3, 4, 5, 6}
    assert {column for _, column in positions} == {1, 2, 3, 4, 5, 6}
    assert all(pairs[0][0].shape == (1, 8, 8) for _ in range(3))


def test_workers_augment_differently_but_reproducibly() -> None:
    def run() -> Tensor:
        data = DigitsDataModule(num_workers=2, batch_size=1, subset=10)
        data.setup("fit")
        data._sets["train"].images = torch.rand(1, 1, 32, 32).expand(1797, 1, 32, 32) * 0 + torch.eye(32)
        return images_of(data, "train")

    first = run()
    assert not torch.equal(first[0::2], first[1::2])
    assert torch.equal(first, run())


def test_a_spawned_worker_augments_as_a_forked_one() -> None:
    data = LabelledImages(torch.rand(6, 1, 8, 8), torch.zeros(6), padding=2, flip=True)

    def read(context: str) -> Tensor:
        torch.manual_seed(0)
        loader = DataLoader(data, batch_size=2, num_workers=1, multiprocessing_context=context)
        return torch.cat([images for images, _ in loader])

    assert torch.equal(read("spawn"), read("fork"))


def test_digits_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match=r"`image_size` must be at least 8 .* got 4 and 3"):
        DigitsDataModule(image_size=4)
    with pytest.raises(ValueError, match=r"`batch_size` must be at least 1 .* got 0 and 0"):
        DigitsDataModule(batch_size=0)


def test_importing_the_data_does_not_import_scikit_learn() -> None:
    # other modules of the package may import scikit-learn, so its `__init__` must not run
    code = (
        "import sys, types; package = types.ModuleType('lightning_topolip'); "
        f"package.__path__ = [{str(ROOT / 'lightning_topolip')!r}]; "
        "sys.modules['lightning_topolip'] = package; import lightning_topolip.data; "
        "assert 'lightning_topolip.data.digits' in sys.modules and 'sklearn.datasets' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_is_split_and_read(folder: Path) -> None:
    data = ImageFolderDataModule(str(folder), 16, val_fraction=0.2, num_workers=0, augment=False)
    assert data.class_names == ("ant", "bee", "cow")
    assert data.image_shape == (3, 16, 16)
    assert labels_of(data, "train").bincount().tolist() == [16, 16, 16]
    assert labels_of(data, "val").bincount().tolist() == [4, 4, 4]
    assert labels_of(data, "test").bincount().tolist() == [5, 5, 5]
    assert labels_of(data, "test")[:3].sort().values.tolist() == [0, 1, 2]
    assert not rows(images_of(data, "train")) & rows(images_of(data, "val"))
    for stage in ("train", "val", "test"):
        for images, labels in getattr(data, f"{stage}_dataloader")():
            assert torch.allclose(images[:, 0, 0, 0], (60 * labels + 20) / 255)
            assert torch.all(images[:, 2] == (200 / 255 if stage == "test" else 0))


def test_a_validation_folder_is_used_if_there_is_one(folder: Path) -> None:
    (folder / "test").rename(folder / "val")
    (folder / "test").mkdir()
    for name in ("ant", "bee", "cow"):
        (folder / "test" / name).mkdir()
        Image.new("L", (50, 30), 255).save(folder / "test" / name / "grey.jpg")
    data = ImageFolderDataModule(str(folder), 16, num_workers=0)
    assert len(labels_of(data, "train")) == 60
    assert len(labels_of(data, "val")) == 15
    assert images_of(data, "test").shape == (3, 3, 16, 16)


def test_another_size_is_resized_and_cropped_to_the_centre(folder: Path) -> None:
    wide = Image.new("RGB", (64, 32), "blue")
    wide.paste("red", (16, 0, 48, 32))
    wide.save(folder / "test" / "ant" / "00.png")
    data = ImageFolderDataModule(str(folder), 16, num_workers=0)
    red = torch.tensor([1.0, 0, 0]).view(3, 1, 1).expand(3, 16, 16)
    assert any(torch.equal(image[:, :, 1:-1], red[:, :, 1:-1]) for image in images_of(data, "test"))


def test_folder_errors_name_the_problem(folder: Path) -> None:
    def match(text: str) -> Any:
        return pytest.raises((FileNotFoundError, ValueError), match=text)

    with match("`root` must be a folder .* got .*nowhere; .*nowhere does not exist"):
        ImageFolderDataModule(str(folder / "nowhere"))
    with match("`val_fraction` must be between 0 and 1, got 1.0"):
        ImageFolderDataModule(str(folder), val_fraction=1.0)
    (folder / "train" / "dog").mkdir()
    with match(r"same classes in train and test, got \['dog'\] in only one of them"):
        ImageFolderDataModule(str(folder))
    (folder / "test" / "dog").mkdir()
    with match("at least one image per class, got none in .*dog; add images"):
        ImageFolderDataModule(str(folder)).setup("fit")
    (folder / "test").rename(folder / "elsewhere")
    with match("test does not exist"):
        ImageFolderDataModule(str(folder))


@pytest.mark.parametrize("augment", [False, True])
def test_cifar10_is_split_nine_to_one_and_keeps_the_test_order(batches: Path, augment: bool) -> None:
    data = CIFAR10DataModule(str(batches), num_workers=0, augment=augment)
    assert labels_of(data, "train").bincount().tolist() == [18] * 10
    assert labels_of(data, "val").bincount().tolist() == [2] * 10
    assert labels_of(data, "test").tolist() == list(range(10)) * 4
    official = torch.from_numpy(CIFAR10(str(batches), train=True).data).permute(0, 3, 1, 2).float() / 255
    train, val = rows(images_of(data, "train")), rows(images_of(data, "val"))
    assert not train & val
    assert (train | val == rows(official)) is not augment
    test = torch.from_numpy(CIFAR10(str(batches), train=False).data).permute(0, 3, 1, 2).float() / 255
    assert torch.equal(images_of(data, "test"), test)


def test_missing_cifar10_files_are_an_error_with_both_remedies(tmp_path: Path) -> None:
    data = CIFAR10DataModule(str(tmp_path))
    for ask in (data.prepare_data, data.train_dataloader, lambda: data.setup("fit")):
        with pytest.raises(FileNotFoundError, match="download is off") as caught:
            ask()
        for hint in ("download=True", "cifar-10-batches-py", "ImageFolderDataModule", str(tmp_path)):
            assert hint in str(caught.value)


def test_a_failed_download_is_the_same_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torchvision_cifar, "download_and_extract_archive", fail)
    with pytest.raises(FileNotFoundError, match=r"the download failed .*no route to host.*, or put"):
        CIFAR10DataModule(str(tmp_path), download=True).prepare_data()


def test_real_photographs_in_jpeg_can_be_read(tmp_path: Path) -> None:
    for name, pixels in zip(("temple", "flower"), load_sample_images().images, strict=True):
        for part in ("train", "test"):
            (tmp_path / part / name).mkdir(parents=True)
            for index in range(8):
                crop = pixels[32 * index : 32 * index + 32, 200:232]
                Image.fromarray(crop).save(tmp_path / part / name / f"{index}.jpg", quality=90)
    data = ImageFolderDataModule(str(tmp_path), val_fraction=0.25, batch_size=4, num_workers=2)
    images, _ = next(iter(data.train_dataloader()))
    assert images.shape == (4, 3, 32, 32)
    assert images.std() > 0.05
    assert labels_of(data, "train").bincount().tolist() == [6, 6]


def test_random_labels_are_exchanged_once_among_the_training_images(folder: Path) -> None:
    plain, mixed = (
        ImageFolderDataModule(str(folder), 16, val_fraction=0.2, num_workers=0, augment=False, random_labels=random)
        for random in (False, True)
    )
    for stage in ("val", "test"):
        assert torch.equal(labels_of(mixed, stage), labels_of(plain, stage))
    mixed.train_dataloader()
    before, after, again = ([label for _, label in data._sets["train"]] for data in (plain, mixed, mixed))
    assert after == again
    assert sorted(after) == sorted(before)
    assert 0.1 < sum(one == other for one, other in zip(before, after, strict=True)) / len(before) < 0.7
    mixed.reseed(5)
    assert labels_of(mixed, "train").sort().values.tolist() == sorted(before)
    assert [label for _, label in mixed._sets["train"]] == after
