"""What the command says if a file or an option is wrong: one sentence, with its name and what to do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from helpers.command import QUICK, analysed, said
from PIL import Image

from lightning_topolip.cli import main
from lightning_topolip.models import ResNetClassifier, ViTClassifier
from lightning_topolip.models.checkpoints import load_model


@pytest.fixture(autouse=True)
def _no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["topolip"])


def images(folder: Path, per_class: int = 4, *, size: int = 32, damaged: bool = False) -> Path:
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (folder / part / name).mkdir(parents=True)
            for number in range(per_class):
                Image.effect_noise((size, size), 90).convert("RGB").save(folder / part / name / f"{number}.png")
    if damaged:
        file = folder / "test" / "cat" / "0.png"
        file.write_bytes(file.read_bytes()[:100])
    return folder


def test_weights_that_do_not_exist() -> None:
    text = said(analysed("resnet10t", "--weights", "nowhere.pth"))
    assert text == "topolip analyze: Argument `weights` must be an existing file, got 'nowhere.pth'; check the path."


@pytest.mark.parametrize("content", [b"", b"no weights", None])
def test_weights_in_a_file_of_something_else(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "weights.pth"
    torch.save([1, 2], path) if content is None else path.write_bytes(content)
    text = said(analysed("resnet10t", "--weights", str(path)))
    assert text.startswith("topolip analyze: Argument `weights` must be a file with a state dictionary, got ")
    assert str(path) in text


@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module.", "module._orig_mod.", "model."])
def test_prefixes_of_wrappers_do_not_matter_and_the_head_decides_the_classes(tmp_path: Path, prefix: str) -> None:
    trained = timm.create_model("resnet10t", num_classes=7)
    torch.save({prefix + name: weight for name, weight in trained.state_dict().items()}, tmp_path / "w.pth")
    loaded = load_model("resnet10t", str(tmp_path / "w.pth"))
    for weight, other in zip(trained.state_dict().values(), loaded.network.state_dict().values(), strict=True):
        assert torch.equal(weight, other)


def test_weights_of_another_network(tmp_path: Path) -> None:
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "w.pth")
    text = said(analysed("resnet10t", "--weights", str(tmp_path / "w.pth")))
    assert "Argument `weights` must hold the weights of this ResNet, got " in text
    assert "are unknown" in text or "has shape" in text


def test_a_timm_model_of_another_image_size(tmp_path: Path) -> None:
    text = said(analysed("vit_tiny_patch16_224"))
    assert "Argument `data` must hold images that vit_tiny_patch16_224 takes, (3, 224, 224), got (3, 32, 32)" in text
    assert text.endswith("pass --data.image_size 224.")


@pytest.mark.parametrize("name", ["weights.pth", "weights.pt", "last.ckpt"])
def test_a_bare_state_dictionary(tmp_path: Path, name: str) -> None:
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / name)
    text = said(analysed(str(tmp_path / name)))
    assert "Argument `model` must name an architecture, got a bare state dictionary in " in text
    assert f"--weights {tmp_path / name}" in text


def test_a_folder(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "weights.pth")
    assert "got the folder" in (text := said(analysed(str(tmp_path))))
    assert text.endswith("name one of its files: weights.pth.")


@pytest.mark.parametrize("lost", ["hyper_parameters", "state_dict"])
def test_a_checkpoint_without_its_parts(tmp_path: Path, lost: str) -> None:
    model = ResNetClassifier(size="micro")
    content = {
        "model_class": "ResNetClassifier", "hyper_parameters": dict(model.hparams), "state_dict": model.state_dict()
    }  # fmt: skip
    torch.save({name: value for name, value in content.items() if name != lost}, tmp_path / "last.ckpt")
    text = said(analysed(str(tmp_path / "last.ckpt")))
    assert "Argument `model` must be a checkpoint with hyper-parameters and weights, got " in text


@pytest.mark.parametrize("prefix", ["_orig_mod.", "network._orig_mod."])
def test_a_checkpoint_of_a_compiled_network_is_read(tmp_path: Path, prefix: str) -> None:
    model = ViTClassifier(size="micro")
    state = {
        prefix + name if prefix[0] == "_" else name.replace("network.", prefix): weight
        for name, weight in model.state_dict().items()
    }
    content = {"model_class": "ViTClassifier", "hyper_parameters": dict(model.hparams), "state_dict": state}
    torch.save(content, tmp_path / "last.ckpt")
    loaded = load_model(str(tmp_path / "last.ckpt"))
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, loaded.state_dict()[name])


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_damaged_image(tmp_path: Path, workers: str) -> None:
    root = images(tmp_path, damaged=True)
    text = said([
        "analyze", "--model", "resnet10t", "--data", "ImageFolderDataModule", "--data.root", str(root),
        "--data.num_workers", workers,
    ])  # fmt: skip
    assert str(root / "test" / "cat" / "0.png") in text


def recipe(folder: Path, **model: Any) -> str:
    content = {
        "model": {"class_path": "lightning_topolip.models.ViTClassifier", "init_args": {"size": "micro", **model}},
        "data": {"class_path": "lightning_topolip.data.ImageFolderDataModule", "init_args": {"root": str(folder)}},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.mark.parametrize("size", [32, 64])
def test_the_shape_of_the_model_comes_from_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.chdir(tmp_path)
    config = recipe(images(tmp_path / "images", size=size))
    main(["fit", "--config", config, *QUICK, "--data.image_size", str(size), "--data.batch_size", "2"])


def test_one_channel_comes_from_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    main([
        "fit", "--model", "ResNetClassifier", "--model.size", "micro", "--data", "DigitsDataModule",
        "--data.channels", "1", "--data.subset", "20", *QUICK,
    ])  # fmt: skip


def test_a_shape_that_was_given_stays_and_is_compared_with_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = recipe(images(tmp_path / "images"), image_size=64)
    text = said(["fit", "--config", config, *QUICK])
    assert text.startswith("topolip fit: Argument `image_size` must be 32, as in the data's images (3, 32, 32), got 64")


def test_one_image_per_class_without_a_validation_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = said(["fit", "--config", recipe(images(tmp_path / "images", per_class=1)), *QUICK])
    assert text.startswith("topolip fit: Argument `")
    assert "val" in text
