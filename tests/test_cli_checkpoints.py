"""Trained weights that the command cannot use: one sentence with the file, what is expected and what to do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.command import QUICK, analysed, said

from lightning_topolip.cli import main
from lightning_topolip.models import ResNetClassifier, ViTClassifier
from lightning_topolip.study.snapshots import Snapshot, snapshots_in


@pytest.fixture(autouse=True)
def _no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["topolip"])


def checkpoint(model: torch.nn.Module, without: str = "", **parts: Any) -> dict[str, Any]:
    content = {
        "epoch": 1, "global_step": 8, "pytorch-lightning_version": "2.6.0", "state_dict": model.state_dict(), **parts
    }  # fmt: skip
    return {name: part for name, part in content.items() if name != without}


def resnet() -> ResNetClassifier:
    return ResNetClassifier(size="micro")


def vit() -> ViTClassifier:
    return ViTClassifier(size="micro")


def study_of(folder: Path, checkpoints: Path) -> list[str]:
    (folder / "study.yaml").write_text(
        "title: a\nquestion: b\n"
        "models:\n"
        "  vit:\n"
        "    class_path: lightning_topolip.models.ViTClassifier\n"
        f"    init_args: {{size: micro}}\n    checkpoints: {checkpoints}\n"
        "data:\n"
        "  digits: {class_path: lightning_topolip.data.DigitsDataModule, init_args: {num_workers: 0, subset: 20}}\n"
    )
    return ["study", "--config", str(folder / "study.yaml"), "--workers", "0", "--output", str(folder / "out")]


def resumed_by(path: Path, command: str = "test") -> list[str]:
    return [
        command, "--model", "ViTClassifier", "--model.size", "micro", "--data", "DigitsDataModule",
        "--data.subset", "20", *QUICK, "--ckpt_path", str(path),
    ]  # fmt: skip


UNUSABLE = [
    pytest.param(lambda: vit().state_dict(), "bare weights", id="bare-weights"),
    pytest.param(lambda: checkpoint(vit(), without="state_dict"), "without state_dict", id="no-weights"),
    pytest.param(lambda: checkpoint(vit(), without="epoch"), "without epoch", id="no-epoch"),
    pytest.param(lambda: [1, 2], "got list", id="list"),
    pytest.param(vit, "would run code", id="pickled-model"),
    pytest.param(lambda: b"no checkpoint", "is damaged, no checkpoint", id="text"),
    pytest.param(lambda: b"", "is damaged, no checkpoint", id="empty-file"),
]


@pytest.mark.parametrize(("make", "problem"), UNUSABLE)
def test_a_file_that_no_training_wrote(tmp_path: Path, make: Any, problem: str) -> None:
    content, path = make(), tmp_path / "trained.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    text = said(resumed_by(path))
    assert text.startswith("topolip test: Argument `ckpt_path` must ")
    assert problem in text
    assert str(path) in text
    assert "save it" in text
    with pytest.raises(ValueError, match=r"^Argument `checkpoints` must ") as refused:
        snapshots_in(tmp_path)
    assert str(refused.value) == text.removeprefix("topolip test: ").replace("ckpt_path", "checkpoints")


def test_a_study_names_the_run_the_file_and_nothing_of_our_code(tmp_path: Path) -> None:
    torch.save(vit().state_dict(), tmp_path / "trained.ckpt")
    text = said(study_of(tmp_path, tmp_path), code=1)
    assert "vit on digits, seed 0: Argument `checkpoints` must name a checkpoint as Lightning writes it, got " in text
    assert f"got bare weights in {str(tmp_path / 'trained.ckpt')!r}; save it with " in text
    assert "snapshots.py" not in text


@pytest.mark.parametrize(
    ("files", "hint"),
    [
        ([], "which is empty; write them"),
        (["weights.pt"], "which holds weights.pt but no *.ckpt; write them"),
        (["seed0/last.ckpt"], "lie deeper; name their folder, such as "),
        (None, "does not exist; check the path."),
    ],
)
def test_a_folder_without_checkpoints(tmp_path: Path, files: list[str] | None, hint: str) -> None:
    folder = tmp_path / "checkpoints"
    for name in files or []:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    if files is not None:
        folder.mkdir(exist_ok=True)
    with pytest.raises(
        ValueError, match=r"^Argument `checkpoints` must be a folder with \*.ckpt files, got "
    ) as refused:
        snapshots_in(folder)
    assert hint in str(refused.value)
    assert str(folder) in str(refused.value)
    if files != ["seed0/last.ckpt"]:
        text = said(resumed_by(folder))
        assert text.startswith("topolip test: Argument `ckpt_path` must be ")
        assert str(folder) in text


def test_the_weights_of_another_class(tmp_path: Path) -> None:
    path = tmp_path / "trained.ckpt"
    torch.save(checkpoint(resnet()), path)
    expected = (
        f"hold the weights of this ViTClassifier, got {str(path)!r}, where 80 weights are missing, such as "
        "'network.blocks.0.attn.proj.bias', and 122 weights are unknown, such as 'network.bn1.bias'; check that "
        "architecture and options are those of the training."
    )
    with pytest.raises(ValueError, match=r"^Argument `checkpoints` must hold") as refused:
        Snapshot(2, path).load_into(vit())
    assert str(refused.value) == f"Argument `checkpoints` must {expected}"
    assert said(resumed_by(path)) == f"topolip test: Argument `ckpt_path` must {expected}"


def test_a_snapshot_of_a_compiled_network_is_loaded_under_the_plain_names(tmp_path: Path) -> None:
    trained, model = vit(), vit()
    state = {name.replace("network.", "network._orig_mod."): weight for name, weight in trained.state_dict().items()}
    torch.save(checkpoint(trained) | {"state_dict": state}, tmp_path / "trained.ckpt")
    assert not torch.equal(trained.network.head.weight, model.network.head.weight)
    Snapshot(2, tmp_path / "trained.ckpt").load_into(model)
    for name, weight in trained.state_dict().items():
        assert torch.equal(weight, model.state_dict()[name])


@pytest.mark.parametrize(
    ("arguments", "command", "problem"),
    [
        ({"_class_path": "lightning_topolip.models.ResNetClassifier", "size": "micro"}, "test",
         "got one of ResNetClassifier for the model ViTClassifier in "),
        ({"size": "micro"}, "test", "got one of a training in Python, whose hyper-parameters do not name their class"),
        ({}, "fit", "got one with weights alone in "),
    ],
)  # fmt: skip
def test_a_checkpoint_that_the_command_cannot_continue(
    tmp_path: Path, arguments: dict[str, str], command: str, problem: str
) -> None:
    path = tmp_path / "trained.ckpt"
    torch.save(checkpoint(vit(), hyper_parameters=arguments), path)
    text = said(resumed_by(path, command))
    assert problem in text
    assert str(path) in text


def test_a_checkpoint_without_hyper_parameters_is_tested_and_analysed_only_with_its_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "trained.ckpt"
    torch.save(checkpoint(vit(), model_class="ViTClassifier"), path)
    main(resumed_by(path))
    assert "test/accuracy" in capsys.readouterr().out
    text = said(analysed(str(path)))
    assert f"got {str(path)!r} without hyper-parameters; build the model in Python" in text
