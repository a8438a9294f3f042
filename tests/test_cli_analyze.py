"""The command `topolip analyze` on modules by the paths of their classes, and the files that it writes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from helpers.command import said

from lightning_topolip.analysis import analyze
from lightning_topolip.cli import main
from lightning_topolip.files import require_new
from lightning_topolip.network.probe import take_probe

THEIRS = """
import torch
from lightning import LightningDataModule, LightningModule
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def loader():
    features = torch.randn(40, 6, generator=torch.Generator().manual_seed(3))
    return DataLoader(TensorDataset(features, features.sum(1)), batch_size=16)


class Theirs(LightningModule):
    def __init__(self, width, depth=3):
        super().__init__()
        self.save_hyperparameters()
        self.body = nn.Sequential(nn.Linear(6, width), *[nn.Linear(width, width) for _ in range(depth)])
        self.head = nn.Linear(width, 1)
        self.upgraded = False

    def forward(self, features):
        return self.head(self.body(features))

    def validation_step(self, batch, batch_idx):
        return nn.functional.mse_loss(self(batch[0])[:, 0], batch[1])

    def on_load_checkpoint(self, checkpoint):
        self.upgraded = True

    def val_dataloader(self):
        return loader()


class TheirData(LightningDataModule):
    def test_dataloader(self):
        return loader()


class UnreadableData(LightningDataModule):
    def test_dataloader(self):
        raise KeyError("their file")
"""


@pytest.fixture(autouse=True)
def _their_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "network_of_users.py").write_text(THEIRS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "network_of_users", raising=False)
    monkeypatch.chdir(tmp_path)


def checkpoint(path: Path, width: int = 5) -> str:
    import network_of_users

    torch.manual_seed(7)
    module = network_of_users.Theirs(width=width)
    torch.save({"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}, path)
    return str(path)


def called(*options: str, model: str = "network_of_users.Theirs") -> list[str]:
    return ["analyze", "--model", model, *options]


@pytest.mark.parametrize("own_data", [True, False])
def test_any_module_by_the_path_of_its_class_with_its_checkpoint(tmp_path: Path, own_data: bool) -> None:
    data = ["--split", "val"] if own_data else ["--data", "network_of_users.TheirData"]
    main(called("--weights", checkpoint(tmp_path / "theirs.ckpt"), *data))
    import network_of_users

    torch.manual_seed(7)
    report = analyze(network_of_users.Theirs(width=5), take_probe(network_of_users.loader(), 256))
    values = json.loads(Path("topolip.json").read_text())
    assert (values["weights"], values["points"]) == ("trained", 40)
    assert values["score"] == report.to_dict()["score"]
    assert values["layers"] == list(report.layers)
    assert Path("topolip.png").read_bytes().startswith(b"\x89PNG")


def test_the_arguments_of_a_class_are_given_or_come_from_the_checkpoint(tmp_path: Path) -> None:
    main(called("--init_args", "{width: 4, depth: 5}", "--split", "val", "--output", "random.json"))
    values = json.loads(Path("random.json").read_text())
    assert values["weights"] == "random weights"
    assert [name for name in values["layers"] if name.startswith("body")] == [f"body.{i}" for i in range(6)]
    assert "must hold the arguments of network_of_users.Theirs, got []" in said(called("--split", "val"))
    weights = checkpoint(tmp_path / "theirs.ckpt")
    text = said(called("--weights", weights, "--init_args.width", "9", "--split", "val"))
    assert "must hold the weights of this Theirs" in text
    assert "has shape" in text


@pytest.mark.parametrize(
    ("model", "part"),
    [
        ("network_of_users.Their", "got 'network_of_users.Their', and network_of_users has no 'Their'; name one of its "
         "classes, such as Theirs."),
        ("network_of_users.TheirData", "has another object as 'TheirData'; name one of its classes, such as Theirs."),
        ("lightning_topolip.files.Model", "and lightning_topolip.files has no 'Model'; name another module."),
        ("nowhere.Theirs", "got 'nowhere.Theirs', and there is no module 'nowhere'; it must be importable from here"),
        ("resnet10t", "must be a class with a `test_dataloader` or a `val_dataloader`, got Normalised without one"),
        ("lightning_topolip.models.ViTClassifier", "got ViTClassifier without one; name a data module with --data"),
    ],
)  # fmt: skip
def test_a_model_that_is_none(model: str, part: str) -> None:
    assert part in said(called(model=model))


def test_files_are_not_replaced_unasked(tmp_path: Path) -> None:
    arguments = called("--init_args.width", "4", "--split", "val")
    for name in ("topolip.json", "topolip.png"):
        Path(name).write_text("kept")
        assert f"must be a new file, got '{name}', which exists" in said(arguments)
        assert Path(name).read_text() == "kept"
        Path(name).unlink()
    Path("topolip.json").write_text("old")
    main([*arguments, "--overwrite", "true"])
    assert json.loads(Path("topolip.json").read_text())["points"] == 40
    require_new("output", None, overwrite=False)


@pytest.mark.parametrize("size", ["-3", "0", "2"])
def test_a_probe_of_less_than_three_samples(size: str) -> None:
    text = said(called("--init_args.width", "4", "--split", "val", "--probe_size", size))
    assert text == f"topolip analyze: Argument `probe_size` must be a whole number >= 3, got {size}."


def test_a_forward_that_fails_on_the_data_is_one_sentence() -> None:
    text = said(called("--init_args.width", "4", "--data", "DigitsDataModule", "--data.num_workers", "0"))
    assert text.startswith(
        "topolip analyze: Argument `data` must hold batches that network_of_users.Theirs takes, got DigitsDataModule, "
        "where its forward raises RuntimeError: "
    )
    assert "mat1 and mat2 shapes cannot be multiplied" in text
    assert text.endswith("; name other data with --data, or see the traceback with --debug.")


def test_an_error_in_their_constructor_or_their_data_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="negative dimension"):
        main(called("--init_args.width", "-1", "--split", "val"))
    with pytest.raises(KeyError, match="their file"):
        main(called("--init_args.width", "4", "--data", "network_of_users.UnreadableData"))


def test_the_probe_is_of_the_validation_data_where_there_is_no_test(capsys: pytest.CaptureFixture[str]) -> None:
    main(called("--init_args.width", "4"))
    assert json.loads(Path("topolip.json").read_text())["split"] == "val"
    assert "network_of_users.Theirs (random weights) on its own data, val\n" in capsys.readouterr().out
    assert "must be a class with a `test_dataloader`, got Theirs" in said(
        called("--init_args.width", "4", "--split", "test", "--output", "other.json")
    )


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--init_args.width", "4", "--layers", "bodi.0"], "Argument `layers` must name modules"),
        (["--init_args.width", "4", "--probe_size", "1"], "Argument `probe_size` must"),
        (["--init_args.width", "4", "--order", "0.5"], "Argument `order` must"),
        (["--init_args.width", "4", "--split", "test"], "Argument `data` must"),
        (["--weights", "nowhere.ckpt"], "Argument `weights` must"),
        (["--init_args.widht", "4"], "Argument `init_args` must"),
        (["--init_args.width", "4"], "Argument `output` must be a new file, got 'topolip.json'"),
    ],
)
def test_a_file_that_exists_is_named_after_every_other_mistake(options: list[str], part: str) -> None:
    Path("topolip.json").write_text("kept")
    assert part in said(called(*options))
    assert Path("topolip.json").read_text() == "kept"


@pytest.mark.parametrize(
    ("output", "part"),
    [
        (".", "Argument `output` must be a file, got the folder '.'; name a file in it."),
        ("curve.png", "Argument `output` must be a JSON file, got 'curve.png', where the picture is drawn; name one "
         "such as curve.json."),
    ],
)  # fmt: skip
def test_an_output_that_is_no_file_for_numbers(output: str, part: str) -> None:
    assert said(called("--init_args.width", "4", "--output", output)) == f"topolip analyze: {part}"
