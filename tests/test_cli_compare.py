"""The command `topolip compare`: two reports, or two models on one probe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.command import said
from matplotlib.figure import Figure
from torch import nn

from lightning_topolip import analyze, compare
from lightning_topolip.cli import main
from lightning_topolip.files import write_json

PROBE = torch.randn(24, 6, generator=torch.Generator().manual_seed(0))


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(*[nn.Linear(6, 6) for _ in range(5)])


def written(folder: Path, seed: int, probe: torch.Tensor = PROBE, **settings: float) -> str:
    path = folder / f"{seed}.json"
    write_json(path, {"model": str(seed), **analyze(network(seed), probe, **settings).to_dict()})
    return str(path)


def test_two_reports_are_compared_as_in_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (written(tmp_path, seed) for seed in (1, 2))
    main(["compare", first, second, "--output", str(tmp_path / "c.json"), "--figure", str(tmp_path / "c.png")])
    comparison = compare(*(analyze(network(seed), PROBE) for seed in (1, 2)))
    assert str(comparison) in capsys.readouterr().out
    values = json.loads((tmp_path / "c.json").read_text())
    assert values["score"]["difference"] == pytest.approx(float(comparison.differences["score"].value))
    assert values["score"]["error"] == pytest.approx(float(comparison.differences["score"].error))
    assert list(values["steps"]) == ["0", "1", "2", "3"]
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("files", "legend"),
    [(("vit.json", "resnet.json"), ("vit", "resnet")), (("a/vit.json", "b/vit.json"), ("first", "second"))],
)
def test_the_picture_says_which_curve_is_whose(
    files: tuple[str, str], legend: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr("lightning_topolip.cli.compare.save_figure", lambda figure, path: figures.append(figure))
    for seed, file in enumerate(files):
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        write_json(path, analyze(network(seed), PROBE).to_dict())
    main(["compare", *(str(tmp_path / file) for file in files), "--figure", str(tmp_path / "c.png")])
    assert tuple(text.get_text().split(":")[0] for text in figures[0].legends[0].get_texts()) == legend


def test_two_models_are_analysed_on_one_probe(capsys: pytest.CaptureFixture[str]) -> None:
    probe = ["--data", "DigitsDataModule", "--data.num_workers", "0", "--probe_size", "12"]
    main(["compare", "--models", "resnet10t", "resnet10t", "--layers", "network.layer*.0", *probe])
    printed = capsys.readouterr().out
    assert "first: resnet10t" in printed
    assert "to layer2.0" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "must be two files .* got reports [] and models []"),
        (["a.json"], r"got reports ['a.json']"),
        (["--models", "a.ckpt", "b.ckpt"], "must be an existing checkpoint, got 'a.ckpt'"),
        (["a.json", "b.json"], "Argument `reports` must be files .* got 'a.json': No such file or directory"),
    ],
)
def test_what_is_missing_is_one_sentence(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for part in message.split(" .* "):
        assert part in said(["compare", *words])


def test_reports_that_do_not_compare_are_one_sentence(tmp_path: Path) -> None:
    first = written(tmp_path, 1)
    assert "the samples differ" in said(["compare", first, written(tmp_path, 2, PROBE + 1)])
    assert "the probes had 24 and 20 samples" in said(["compare", first, written(tmp_path, 3, PROBE[:20])])
    assert "the settings were order=2.0 and order=1.0." in said(["compare", first, written(tmp_path, 4, order=1.0)])


def test_files_that_are_no_reports_are_one_sentence(tmp_path: Path) -> None:
    first, other = written(tmp_path, 1), tmp_path / "other.json"
    for content, reason in (("{", "is not JSON"), ("[1]", "something else"), ('{"noise_splits": 4}', "older version")):
        other.write_text(content)
        sentence = said(["compare", first, str(other)])
        assert "other.json" in sentence
        assert reason in sentence
