"""Jobs of a study: which stages are kept or repeated, and what happens when a process is killed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.studies import CONVOLUTION, tiny_study
from lightning.pytorch import LightningDataModule

from lightning_topolip.study.config import ClassSpec, StudyConfig, Training
from lightning_topolip.study.execution import run_study
from lightning_topolip.study.job import Job
from lightning_topolip.study.runs import make_callbacks, make_data, make_model, runs_of


class Interruption(Exception):
    pass


def job_of(config: StudyConfig, output: Path) -> Job:
    return Job(runs_of(config, output)[0], config)


def recipe(learning_rate: float = 1e-3, pgd_steps: int = 2) -> StudyConfig:
    spec = replace(CONVOLUTION, init_args={**CONVOLUTION.init_args, "learning_rate": learning_rate})
    config = tiny_study(models={"convolution": spec}, training=Training(epochs=1))
    return replace(config, robustness=replace(config.robustness, pgd_steps=pgd_steps))


def interrupted(job: Job) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "training":
            raise Interruption

    with pytest.raises(Interruption):
        job.execute(on_progress=interrupt)


def test_weights_of_another_interrupted_recipe_are_not_reused(tmp_path: Path) -> None:
    job_of(recipe(), tmp_path).execute()
    weights = tmp_path / "runs/digits/convolution/seed=0/snapshots/epoch=1.ckpt"
    expected = torch.load(weights, weights_only=True)["state_dict"]
    interrupted(job_of(recipe(learning_rate=0.1), tmp_path))
    again = job_of(recipe(pgd_steps=3), tmp_path)
    assert not again.training_record
    again.execute()
    torch.testing.assert_close(torch.load(weights, weights_only=True)["state_dict"], expected, rtol=0, atol=0)


def test_partly_replaced_numbers_are_not_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = job_of(recipe(), tmp_path), job_of(recipe(pgd_steps=3), tmp_path)
    first.execute()
    assert first.measuring_record

    def full(path: Path, values: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("lightning_topolip.study.job.write_compact_json", full)
    with pytest.raises(OSError, match="No space"):
        second.execute()
    assert not first.measuring_record
    assert not second.measuring_record
    assert second.training_record


def test_new_checkpoints_are_measured(tmp_path: Path) -> None:
    data = make_data(tiny_study().data["digits"], 0)
    content = {"state_dict": make_model(CONVOLUTION, data, 0).state_dict(), "epoch": 0, "global_step": 0}
    (tmp_path / "given").mkdir()
    torch.save(content, tmp_path / "given" / "first.ckpt")
    config = tiny_study(models={"given": replace(CONVOLUTION, checkpoints=str(tmp_path / "given"))})
    assert run_study(config, tmp_path / "study").unique("epoch") == [0.0]
    torch.save({**content, "global_step": 3}, tmp_path / "given" / "second.ckpt")
    assert run_study(config, tmp_path / "study").unique("epoch") == [0.0, 1.0]


def test_a_failed_run_is_not_described_by_the_records_of_another_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(recipe(), tmp_path)
    monkeypatch.setattr("lightning_topolip.study.job.train", lambda *_: 1 / 0)
    run_study(recipe(learning_rate=0.1), tmp_path)
    (run,) = json.loads((tmp_path / "about.json").read_text())["runs"]
    assert "ZeroDivisionError" in run["failure"]
    assert (run["seconds training"], run["seconds measuring"], run["warnings"]) == (None, None, [])


def test_results_kept_from_other_versions_have_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_topolip.study.job.versions", lambda: {"torch": "0.4.1"})
    run_study(recipe(), tmp_path)
    (run,) = json.loads((tmp_path / "about.json").read_text())["runs"]
    assert run["warnings"][-2:] == ["trained before, with torch 0.4.1", "measured before, with torch 0.4.1"]


def test_a_probe_smaller_than_requested_has_a_warning(tmp_path: Path) -> None:
    config = recipe()
    smoothness = replace(config.smoothness, probe_size=400, halvings=0)
    robustness = replace(config.robustness, paths={"noise": [0.1]})
    run_study(replace(config, smoothness=smoothness, robustness=robustness), tmp_path)
    (run,) = json.loads((tmp_path / "about.json").read_text())["runs"]
    assert any(warning.startswith("The probe has 359 samples, not 400") for warning in run["warnings"])


class RandomSplit(LightningDataModule):
    def setup(self, stage: str) -> None:
        self.split = torch.randperm(50)


def test_a_random_split_is_the_same_in_every_run() -> None:
    spec = ClassSpec(f"{__name__}.RandomSplit")
    first, second = make_data(spec, 0), make_data(spec, 1)
    assert torch.equal(first.split, second.split)  # type: ignore[attr-defined]


def test_a_model_is_trained_with_its_callbacks(tmp_path: Path) -> None:
    steered = {"class_path": "lightning_topolip.TopoLipRegularizer", "init_args": {"weight": 10.0, "max_ratio": None}}
    plain = replace(CONVOLUTION, callbacks=[])
    models = {"plain": plain, "steered": replace(CONVOLUTION, callbacks=[steered])}
    config = tiny_study(models=models, training=Training(epochs=1))
    jobs = [Job(run, config) for run in runs_of(config, tmp_path)]
    for job in jobs:
        job.execute()
    weights = [
        torch.load(job.run.folder / "snapshots" / "epoch=1.ckpt", weights_only=True)["state_dict"] for job in jobs
    ]
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ("EarlyStopping", "be a list with the keys class_path and init_args in each entry, got 'EarlyStopping'"),
        ([{"init_args": {}}], "be a list with the keys"),
        (
            [{"class_path": "torch.nn.Linear", "init_args": {"in_features": 1, "out_features": 1}}],
            "Lightning callbacks",
        ),
    ],
)
def test_wrong_callbacks_are_named(callbacks: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"Argument `callbacks` must .*{message}"):
        make_callbacks(replace(CONVOLUTION, callbacks=callbacks))


def test_accuracies_of_every_snapshot(tmp_path: Path) -> None:
    config = tiny_study(models={"convolution": CONVOLUTION}, training=Training(epochs=1))
    config = replace(config, robustness=replace(config.robustness, every_analysis=True))
    results = run_study(config, tmp_path)
    for condition in ("clean", "fog", "fgsm", "pgd"):
        assert results.where(quantity="accuracy", condition=condition).unique("epoch") == [0.0, 1.0]
    assert results.where(quantity="parameters").unique("epoch") == [1.0]
