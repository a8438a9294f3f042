"""What the command says if an argument is wrong: one sentence, also where its parser says a page."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from helpers.command import QUICK, analysed, fitted, said

from lightning_topolip.cli import main


@pytest.fixture(autouse=True)
def _no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["topolip"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            fitted("--data.batch_size", "0"),
            "Argument `batch_size` must be at least 1 and `num_workers` at least 0, got 0 and 0; try 64 and 2.",
        ),
        (
            fitted("--data.root", "nowhere", "--data.val_fraction", "2", data="ImageFolderDataModule"),
            "Argument `val_fraction` must be between 0 and 1, got 2.0; try 0.1.",
        ),
        (
            fitted("--data.root", "nowhere", data="ImageFolderDataModule"),
            "Argument `root` must be a folder with train/<class>/* and test/<class>/*, got nowhere; nowhere does not "
            "exist.",
        ),
        (
            fitted("--model.learning_rate", "0"),
            "Argument `learning_rate` must be above 0 and `weight_decay` at least 0, got 0.0 and 0.05; try 1e-3 and "
            "0.05.",
        ),
        (
            fitted(
                "--trainer.callbacks+=lightning_topolip.TopoLipCallback", "--trainer.callbacks.probe_size=1"
            ),
            "Argument `probe_size` must be a whole number >= 3, got 1.",
        ),
        (
            fitted("--model.size", "huge"),
            "Argument `model.size` must be one of 'micro', 'tiny', 'small', 'base', got 'huge'.",
        ),
        (fitted("--model.depth", "x"), "Argument `model.depth` must be a whole number or null, got 'x'."),
        (
            fitted("--trainer.callbacks+=lightning_topolip.TopoLipCallback", "--trainer.callbacks.view=odd"),
            "Argument `trainer.callbacks.view` must be one of 'scaled', 'raw', got 'odd'.",
        ),
        (
            fitted("--data.val_fraction", "2"),
            "Argument `data.val_fraction` must be an argument of lightning_topolip.data.DigitsDataModule, got an "
            "unknown name; `topolip fit --data.help lightning_topolip.data.DigitsDataModule` lists them.",
        ),
        (fitted("--nothing", "1"), "Argument `nothing` must be an option of `topolip fit`, got an unknown name; "
         "`topolip fit --help` lists them."),
        (
            fitted(data="ImageFolderDataModule"),
            "Argument `data.root` must be given for lightning_topolip.data.ImageFolderDataModule, got none; add it as "
            "--data.root.",
        ),
        (fitted("--trainer.max_epoch", "1"), "Argument `trainer.max_epoch` must be an option of `topolip fit`, got an "
         "unknown name; `topolip fit --help` lists them."),
        (["fit"], "Argument `config` must be given where --model and --data are not, got none; name a recipe, such as "
         "--config examples/vit_digits.yaml."),
        (["fit", "--data", "DigitsDataModule"], "Argument `model` must be given, got none; add it as --model."),
    ],
)  # fmt: skip
def test_wrong_arguments_of_fit(arguments: list[str], sentence: str) -> None:
    assert said(arguments) == f"topolip fit: {sentence}"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("Nothing", "Expected a dot import path"),
        ("nowhere.Nothing", "No module named 'nowhere'"),
        ("lightning_topolip.data.Nothing", "has no attribute 'Nothing'"),
        ("torch.nn.Linear", "not correspond to a subclass of Lightning"),
    ],
)
def test_a_wrong_class_path(path: str, reason: str) -> None:
    for arguments, name in (
        (fitted(model=path), "model"),
        (fitted(data=path), "data"),
        (analysed("resnet10t", data=path)[:5], "data"),
    ):
        text = said(arguments)
        assert f": Argument `{name}` must name a class, got '{path}' (" in text
        assert reason in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data.num_workers", "x"], "Argument `data.num_workers` must be a whole number, got 'x'."),
        (["--split", "all"], "Argument `split` must be one of 'train', 'val', 'test' or null, got 'all'."),
        (["--dimensions", "x"], "Argument `dimensions` must be a list, got 'x'."),
        (["--init_args", "x"], "Argument `init_args` must be a mapping or null, got 'x'."),
        (["--spli", "val"], "Argument `spli` must be an option of `topolip analyze`, got an unknown name; `topolip "
         "analyze --help` lists them."),
        (["--data.batch_size", "0"], "Argument `batch_size` must be at least 1 and `num_workers` at least 0, got 0 "
         "and 0; try 64 and 2."),
    ],
)  # fmt: skip
def test_wrong_arguments_of_analyze(arguments: list[str], sentence: str) -> None:
    assert said(analysed("resnet10t", *arguments)) == f"topolip analyze: {sentence}"


def test_what_the_parser_says_in_other_words_is_one_line_too(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("model: {class_path: [\n")
    assert said(["fit", "--config", str(tmp_path / "recipe.yaml")]).endswith("`topolip fit --help` lists the options.")
    assert said(["analyze", "--model"]) == (
        "topolip analyze: argument --model: expected one argument; `topolip analyze --help` lists the options."
    )
    assert "must be an existing file, got " in said(["fit", "--config", str(tmp_path / "nowhere.yaml")])


def test_an_error_of_the_users_own_class_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_network.py").write_text(
        "from lightning import LightningModule\n"
        "class Theirs(LightningModule):\n"
        "    def __init__(self):\n"
        "        raise ValueError('their own text')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="their own text"):
        main(fitted(*QUICK, model="their_network.Theirs"))


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ("training: {epochs: many}", "Argument `training.epochs` must be a whole number, got 'many'."),
        ("training: {epoch: 3}", "Argument `epoch` must be a known field, got an unknown name"),
        ("trainings: {epochs: 3}", "Argument `trainings.epochs` must be a known field, got an unknown name"),
    ],
)
def test_wrong_fields_of_a_study(tmp_path: Path, field: str, sentence: str) -> None:
    (tmp_path / "study.yaml").write_text(
        f"title: a\nquestion: b\nmodels: {{m: {{class_path: c.D}}}}\ndata: {{d: {{class_path: e.F}}}}\n{field}\n"
    )
    text = said(["study", "--config", str(tmp_path / "study.yaml")])
    assert text.startswith(f"topolip study: study.yaml, size short: {sentence}")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (
            ["--trainer.callbacks+=lightning_topolip.TopoLipCallback", "--trainer.callbacks.layers=nope"],
            "Argument `layers` must name modules of the model, got 'nope', which matches none",
        ),
        (["--trainer.max_epochs=-5"], "You passed in -5; --debug shows where."),
        (["--trainer.accelerator=tpuu"], "You selected an invalid accelerator name: `accelerator='tpuu'`"),
    ],
)
def test_what_the_trainer_and_the_setup_of_a_fit_refuse(
    options: list[str], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = said(fitted(*QUICK[1:], "--model.size", "micro", *options))
    assert text.startswith("topolip fit: ")
    assert part in text
