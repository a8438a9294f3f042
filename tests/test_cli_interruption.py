"""Ctrl-C in every command: one line, what is kept, how to go on."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.command import fitted, said
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_topolip.cli import analyze, main


class PressesCtrlC(Callback):
    """Presses it at the start of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def _in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["topolip"])
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)  # the trainer ignores it from the first one on


def interrupted(epoch: int, *options: str) -> list[str]:
    return fitted(
        "--data.subset", "64", "--data.num_workers", "0", "--trainer.max_epochs", "3", "--trainer.accelerator", "cpu",
        "--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false",
        "--trainer.logger", "false", "--trainer.callbacks+=test_cli_interruption.PressesCtrlC",
        f"--trainer.callbacks.epoch={epoch}", *options, model="ResNetClassifier",
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_a_fit_names_its_checkpoint_and_the_command_that_continues_it() -> None:
    text = said(interrupted(1, "--model.size", "micro"), code=130)
    (checkpoint,) = Path("checkpoints").glob("epoch=0*.ckpt")
    begun, command = text.split(", continue with: ")
    assert begun == f"topolip fit: interrupted in epoch 1; {checkpoint.absolute()} is kept"
    again = shlex.split(command)
    assert again[:2] == ["topolip", "fit"]
    assert again[-2:] == ["--ckpt_path", str(checkpoint.absolute())]
    resumed = [word.replace("epoch=1", "epoch=2") for word in again[1:]]
    text = said(resumed, code=130)
    assert "interrupted in epoch 2; " in text
    assert text.count("--ckpt_path") == 1


def test_a_fit_without_a_checkpoint_says_so() -> None:
    assert said(interrupted(0, "--model.size", "micro"), code=130) == (
        "topolip fit: interrupted in epoch 0; no checkpoint was written yet, so the next call begins anew."
    )


def test_another_command_has_written_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def press(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(analyze, "load_model", press)
    text = said(["analyze", "--model", "resnet10t", "--data", "DigitsDataModule"], code=130)
    assert text == "topolip analyze: interrupted; nothing was written."
    assert list(Path().iterdir()) == []


def test_a_study_names_what_is_kept_and_the_command_that_continues_it(tmp_path: Path) -> None:
    recipe = tmp_path / "interrupted.yaml"
    recipe.write_text(
        "title: Interrupted\nquestion: Is it kept?\n"
        "models:\n"
        "  convolution:\n"
        "    class_path: lightning_topolip.models.ConvClassifier\n"
        "    init_args: {size: micro, patch_size: 8}\n"
        "    callbacks: [{class_path: test_cli_interruption.PressesCtrlC, init_args: {epoch: 1}}]\n"
        "data:\n"
        "  digits: {class_path: lightning_topolip.data.DigitsDataModule, init_args: {subset: 64, num_workers: 0}}\n"
        "seeds: [0]\n"
        "training: {epochs: 2, every_n_epochs: 1}\n"
    )
    output = tmp_path / "out"
    command = ["study", "--config", str(recipe), "--output", str(output)]
    assert said(command, code=130) == (
        f"topolip study: interrupted; finished runs and snapshots are in {output}, continue with: topolip study "
        f"--config {recipe} --size short --output {output} --workers 0"
    )
    assert [path.name for path in output.rglob("epoch=1.ckpt")] == ["epoch=1.ckpt"]
    assert not list(output.rglob("lock"))


def test_debug_shows_where_an_error_was_raised() -> None:
    with pytest.raises(ValueError, match="probe_size"):
        main(["analyze", "--model", "resnet10t", "--data", "DigitsDataModule", "--probe_size", "1", "--debug"])
