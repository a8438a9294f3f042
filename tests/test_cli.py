"""The command `topolip`: a short fit, the analysis of its checkpoint, and the errors of invalid arguments."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.command import said
from helpers.paths import EXAMPLES
from helpers.recipes import with_small_probe

from lightning_topolip.cli import main
from lightning_topolip.models.checkpoints import load_model

QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.accelerator=cpu"]


def test_fit_writes_a_checkpoint_that_analyze_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["topolip"])
    short = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--data.batch_size=32"]
    main(["fit", "--config", str(with_small_probe(EXAMPLES / "vit_digits.yaml", tmp_path)), *QUIET, *short])
    (checkpoint,) = tmp_path.glob("runs/vit_digits/version_0/checkpoints/last.ckpt")
    torch.load(checkpoint, weights_only=True)
    main(["analyze", "--model", str(checkpoint), "--data", "DigitsDataModule", "--probe_size", "40"])
    printed = capsys.readouterr().out
    assert "TopoLip" in printed
    values = json.loads((tmp_path / "topolip.json").read_text())
    layer = values["layers"][-1]
    (line,) = [line for line in printed.splitlines() if line.startswith(f"{layer} ")]
    assert "…" not in line
    assert " ± " in line
    assert values["points"] == 40
    assert len(values["layers"]) == 7
    assert values["weights"] == "trained"


def test_analyze_a_timm_model_with_the_bottleneck_distance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = ["--model", "resnet10t", "--layers", "network.layer*.0", "--order", "inf"]
    probe = ["--data", "DigitsDataModule", "--split", "val", "--probe_size", "12"]
    main(["analyze", *model, *probe, "--output", "out/report.json"])
    printed = capsys.readouterr().out
    assert "Smoothness on 12 samples, scaled bottleneck per sample" in printed
    assert "random weights" in printed
    values = json.loads((tmp_path / "out" / "report.json").read_text())
    assert values["order"] == "inf"
    assert values["layers"] == ["<input>", *(f"network.layer{i}.0" for i in range(1, 5))]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("resnet19", "the name of a timm model or the path of a class, such as my_package.MyModel, got 'resnet19'"),
        ("resnet18x", "got 'resnet18x'; close names are resnet18, resnet18d, "),
        ("vit_base_patch16_225", "; close names are vit_base_patch16_224, "),
        ("qqqq", "got 'qqqq'; timm.list_models() lists its models."),
        ("missing.ckpt", "must be an existing checkpoint, got 'missing.ckpt'"),
    ],
)
def test_an_unknown_model_ends_with_one_sentence(model: str, message: str) -> None:
    assert message in said(["analyze", "--model", model, "--data", "DigitsDataModule"])


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0
    assert "topolip fit --config examples/vit_digits.yaml" in capsys.readouterr().out


def test_the_usage_and_a_misspelt_command_import_neither_torch_nor_lightning() -> None:
    program = (
        "import sys\nfrom lightning_topolip.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as end: code = end.code\n"
        "heavy = {'torch', 'lightning', 'jsonargparse', 'numba'} & set(sys.modules)\n"
        "print(code, sorted(heavy))"
    )
    for word, code in (("--help", 0), ("--version", 0), ("fitt", 2)):
        ended = subprocess.run([sys.executable, "-c", program, word], capture_output=True, text=True, check=True)
        assert ended.stdout.splitlines()[-1] == f"{code} []"
    assert ended.stderr == (
        "topolip: the command must be one of fit, validate, test, predict, analyze, compare, study, got 'fitt'; "
        "did you mean 'fit'?\n"
    )


class Malicious:
    def __reduce__(self) -> object:
        return (print, ("executed",))


def test_a_checkpoint_cannot_execute_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil.ckpt"
    torch.save({"model_class": "ViTClassifier", "hyper_parameters": Malicious()}, path)
    with pytest.raises(ValueError, match="nothing of it was executed"):
        load_model(str(path))
    assert "executed" not in capsys.readouterr().out


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.ckpt"
    torch.save({"state_dict": {}}, path)
    with pytest.raises(ValueError, match=r"of another class; name that class by its path .*--weights .*other.ckpt\.$"):
        load_model(str(path))


def test_timm_models_are_normalised_as_in_their_training() -> None:
    model = load_model("resnet10t").eval()
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = model.network((images - model.mean) / model.std)  # type: ignore[operator]
        assert torch.equal(model(images), expected)
    assert model.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])  # type: ignore[operator, union-attr]


def test_study_ends_with_an_error_if_a_run_failed(tmp_path: Path) -> None:
    recipe = tmp_path / "broken.yaml"
    recipe.write_text(
        "title: Broken\nquestion: Is the failure reported?\n"
        "models: {nothing: {class_path: lightning_topolip.models.Nothing}}\n"
        "data: {digits: {class_path: lightning_topolip.data.DigitsDataModule}}\n"
    )
    output = tmp_path / "True out"
    given = ["--workers", "0", "--seeds", "[0]", "--join", "true"]
    text = said(["study", "--config", str(recipe), *given, "--output", str(output)], code=1)
    assert re.search(r"1 run failed, .*nothing on digits, seed 0.*class_path", text)
    about = json.loads((output / "about.json").read_text())
    assert shlex.split(about["command"]) == [
        *("topolip", "study", "--config", str(recipe), "--size", "short", "--output", str(output), *given),
    ]


def test_a_study_says_once_before_its_first_run_that_images_are_missing(tmp_path: Path) -> None:
    output = tmp_path / "out"
    given = ["--size", "cpu", "--images", str(tmp_path / "nowhere"), "--output", str(output)]
    text = said(["study", "--config", str(EXAMPLES / "vit_vs_resnet.yaml"), *given])
    assert text == (
        "topolip study: cifar10: Argument `root` must be a folder with "
        f"train/<class>/* and test/<class>/*, got {tmp_path / 'nowhere'}; {tmp_path / 'nowhere'} does not exist."
    )
    assert not (output / "about.json").exists()
