"""The runs of a study: what is kept, what is done again, and what a process that dies takes with it."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from helpers.studies import CONVOLUTION, tiny_study
from lightning.pytorch import LightningDataModule

from lightning_topolip.study.config import Choice, StudyConfig, Training
from lightning_topolip.study.engine import run_study
from lightning_topolip.study.job import Job
from lightning_topolip.study.processes import work
from lightning_topolip.study.runs import make_data, make_model, runs_of


class Interruption(Exception):
    pass


def job_of(config: StudyConfig, output: Path) -> Job:
    return Job(runs_of(config, output)[0], config)


def recipe(learning_rate: float = 1e-3, pgd_steps: int = 2) -> StudyConfig:
    choice = replace(CONVOLUTION, init_args={**CONVOLUTION.init_args, "learning_rate": learning_rate})
    config = tiny_study(models={"convolution": choice}, training=Training(epochs=1))
    return replace(config, robustness=replace(config.robustness, pgd_steps=pgd_steps))


def interrupted(job: Job) -> None:
    def tell(stage: str, done: int, total: int) -> None:
        if stage == "training":
            raise Interruption

    with pytest.raises(Interruption):
        job.do(tell=tell)


def test_weights_of_an_interrupted_other_recipe_are_not_taken_for_those_of_this_one(tmp_path: Path) -> None:
    job_of(recipe(), tmp_path).do()
    weights = tmp_path / "runs/digits/convolution/seed=0/snapshots/epoch=1.ckpt"
    expected = torch.load(weights, weights_only=True)["state_dict"]
    interrupted(job_of(recipe(learning_rate=0.1), tmp_path))
    again = job_of(recipe(pgd_steps=3), tmp_path)
    assert not again.trained
    again.do()
    torch.testing.assert_close(torch.load(weights, weights_only=True)["state_dict"], expected, rtol=0, atol=0)


def test_numbers_that_were_half_replaced_are_not_taken_for_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = job_of(recipe(), tmp_path), job_of(recipe(pgd_steps=3), tmp_path)
    first.do()
    assert first.measured

    def full(path: Path, values: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("lightning_topolip.study.job.write_json", full)
    with pytest.raises(OSError, match="No space"):
        second.do()
    assert not first.measured
    assert not second.measured
    assert second.trained


def test_new_checkpoints_are_measured(tmp_path: Path) -> None:
    data = make_data(tiny_study().data["digits"], 0)
    content = {"state_dict": make_model(CONVOLUTION, data, 0).state_dict(), "epoch": 0, "global_step": 0}
    (tmp_path / "given").mkdir()
    torch.save(content, tmp_path / "given" / "first.ckpt")
    config = tiny_study(models={"given": replace(CONVOLUTION, checkpoints=str(tmp_path / "given"))})
    assert run_study(config, tmp_path / "study").unique("epoch") == [0.0]
    torch.save({**content, "global_step": 3}, tmp_path / "given" / "second.ckpt")
    assert run_study(config, tmp_path / "study").unique("epoch") == [0.0, 1.0]


def test_a_run_that_failed_is_not_described_by_what_another_recipe_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_study(recipe(), tmp_path)
    monkeypatch.setattr("lightning_topolip.study.job.train", lambda *_: 1 / 0)
    run_study(recipe(learning_rate=0.1), tmp_path)
    (run,) = json.loads((tmp_path / "about.json").read_text())["runs"]
    assert "ZeroDivisionError" in run["failure"]
    assert (run["seconds training"], run["seconds measuring"], run["warnings"]) == (None, None, [])


def test_what_was_kept_from_other_versions_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_topolip.study.job.versions", lambda: {"torch": "0.4.1"})
    run_study(recipe(), tmp_path)
    (run,) = json.loads((tmp_path / "about.json").read_text())["runs"]
    assert run["warnings"][-2:] == ["trained before, with torch 0.4.1", "measured before, with torch 0.4.1"]


def test_a_probe_that_is_smaller_than_asked_for_says_so(tmp_path: Path) -> None:
    config = recipe()
    run_study(replace(config, smoothness=replace(config.smoothness, probe_size=400, noise_splits=0)), tmp_path)
    (run,) = json.loads((tmp_path / "about.json").read_text())["runs"]
    assert any(warning.startswith("The probe has 359 samples, not 400") for warning in run["warnings"])


@dataclass(frozen=True)
class Chore:
    """Ends well, by an error, or with its process."""

    end: str

    def do(self, device: str, tell: object) -> None:
        if self.end == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.end == "broken":
            raise ValueError(f"broken on {device}")


@pytest.mark.slow
def test_a_killed_process_takes_only_its_own_run_with_it() -> None:
    told: list[tuple[object, ...]] = []
    chores = [Chore(end) for end in ("killed", "well", "broken", "well")]
    killed, *ends = work(chores, 1, ["here"], lambda *message: told.append(message))  # type: ignore[arg-type]
    assert "killed" in str(killed)
    assert str(ends.pop(1)).startswith("ValueError: broken on here")
    assert ends == [None, None]
    assert sorted(told) == [(0, "failed", 1, 1), (2, "failed", 1, 1)]


class Drawn(LightningDataModule):
    def setup(self, stage: str) -> None:
        self.split = torch.randperm(50)


def test_a_split_that_is_drawn_at_random_is_the_same_in_every_run() -> None:
    choice = Choice(f"{__name__}.Drawn")
    first, second = make_data(choice, 0), make_data(choice, 1)
    assert torch.equal(first.split, second.split)  # type: ignore[attr-defined]
