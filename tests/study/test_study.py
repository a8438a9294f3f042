"""A whole study: its quantities, its resumption and its reproducibility."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.studies import CONVOLUTION, DIGITS, tiny_study
from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from lightning_topolip import TopoLipCallback, analyze
from lightning_topolip.network.probe import take_probe
from lightning_topolip.robustness import evaluate_robustness
from lightning_topolip.study.config import ClassSpec, Lipschitz, Robustness, Smoothness, Training
from lightning_topolip.study.execution import run_study
from lightning_topolip.study.job import Job
from lightning_topolip.study.judging.results import Results
from lightning_topolip.study.recipe import read_config
from lightning_topolip.study.runs import Run, make_data, make_model, runs_of
from lightning_topolip.study.snapshots import snapshots_in
from lightning_topolip.study.training import train
from lightning_topolip.topology.engine_choice import process_choice


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return folder, run_study(tiny_study(), folder)


def test_every_quantity_is_measured_of_every_model(study):
    _, results = study
    expected = {
        "accuracy", "topolip", "speed_mean", "speed_max", "noise", "signal", "input_drift", "drift", "epoch_drift",
        "path_length", "paired_drift", "paired_speed",
        "scale", "total_variance", "two_nn_dimension", "participation_ratio", "covering_dimension",
        "pairwise_lipschitz", "local_lipschitz", "lipschitz_bound", "covering_number", "packing_number", "images",
        "perturbation_drift", "perturbation_gain", "perturbation_displacement", "parameters", "masked_gradients",
    }  # fmt: skip
    for model in ("convolution", "attention"):
        assert set(results.where(model=model).unique("quantity")) == expected
        assert results.where(model=model, quantity="topolip").unique("epoch") == [0.0, 1.0, 2.0]
        assert set(results.where(model=model, quantity="accuracy", epoch=2.0).unique("condition")) == {
            "validation", "clean", "fog", "fgsm", "pgd",
        }  # fmt: skip


to_six_digits = partial(pytest.approx, rel=1e-5)


def test_numbers_equal_those_of_the_public_functions(study):
    folder, results = study
    run = Run("digits", "convolution", 0, folder)
    data = make_data(DIGITS, 0)
    model = make_model(CONVOLUTION, data, 0)
    snapshots_in(run.folder / "snapshots")[-1].load_into(model)
    report = analyze(model, take_probe(iter(data.val_dataloader()), 24), order=math.inf)
    last = results.where(model="convolution", epoch=2.0)
    assert last.where(quantity="topolip", variant="scaled bottleneck").values() == to_six_digits([report.score])
    drifts = report.drifts["raw"]["all"]
    assert last.where(quantity="drift", variant="raw bottleneck").values() == to_six_digits(drifts)
    clean = evaluate_robustness(model, *take_probe(iter(data.test_dataloader()), 20), corruptions=(), attacks={}).clean
    assert last.where(quantity="accuracy", condition="clean").values() == [clean.value]


def test_a_path_is_the_sum_of_the_epoch_drifts(study):
    _, results = study
    variant = "scaled W2"
    for model in ("convolution", "attention"):
        drifts = results.where(model=model, quantity="epoch_drift", variant=variant)
        paths = results.where(model=model, quantity="path_length", variant=variant)
        assert paths.where(layer="").unique("epoch") == [1.0, 2.0]
        for layer in drifts.unique("layer"):
            moved = drifts.where(layer=layer).values().sum()
            assert paths.where(layer=layer).values() == to_six_digits([moved])
        lengths = [row.value for row in paths if row.layer]
        assert paths.where(layer="", epoch=2.0).values() == to_six_digits([np.mean(lengths)])


def test_every_run_says_which_engine_computed(study):
    """It is no part of the fingerprint, since all engines give the same numbers."""
    folder, _ = study
    runs = json.loads((folder / "about.json").read_text())["runs"]
    assert {run["engine"] for run in runs} == {str(process_choice("auto"))}
    assert all(run["engine"].startswith("redzed, ") for run in runs)
    config = tiny_study()
    run = runs_of(config, folder)[0]
    named, others = (replace(config.smoothness, **options) for options in ({"engine": "ripser"}, {"probe_size": 23}))
    expected = Job(run, config).measuring_fingerprint
    assert Job(run, replace(config, smoothness=named)).measuring_fingerprint == expected
    assert Job(run, replace(config, smoothness=others)).measuring_fingerprint != expected


def test_lower_bounds_stay_below_upper_bounds(study):
    _, results = study
    for model in ("convolution", "attention"):
        last = results.where(model=model, epoch=2.0)
        for layer in last.where(quantity="lipschitz_bound").unique("layer"):
            (upper,) = last.where(quantity="lipschitz_bound", layer=layer).values()
            assert last.where(quantity="local_lipschitz", layer=layer).values().max() <= upper * (1 + 1e-5)


def test_a_second_run_writes_the_same_file(study, tmp_path):
    folder, _ = study
    run_study(tiny_study(), tmp_path)
    assert (tmp_path / "results.csv").read_bytes() == (folder / "results.csv").read_bytes()


def test_finished_runs_are_not_repeated(study, tmp_path):
    folder, results = study
    before = {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*") if path.is_file()}
    messages = []
    again = run_study(tiny_study(), folder, on_progress=lambda *message: messages.append(message))
    assert messages == [(run, "measuring", 1, 1) for run in runs_of(tiny_study(), folder)]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert again.rows == results.rows


def test_other_measurements_keep_the_training(study):
    folder, _ = study
    weights = folder / "runs" / "digits" / "attention" / "seed=0" / "snapshots" / "epoch=2.ckpt"
    before = weights.stat().st_mtime_ns
    config = tiny_study(models={"attention": tiny_study().models["attention"]})
    results = run_study(replace(config, smoothness=replace(config.smoothness, probe_size=20)), folder)
    assert weights.stat().st_mtime_ns == before
    assert results.unique("model") == ["attention"]


class Interruption(Exception):
    pass


def test_an_interrupted_training_continues_to_the_same_weights(tmp_path):
    training = Training(epochs=3)

    def trained(folder: Path, interrupt_after: int | None = None) -> dict[str, torch.Tensor]:
        def interrupt(done: int, total: int) -> None:
            if done == interrupt_after:
                raise Interruption

        data = make_data(DIGITS, 1)
        model = make_model(replace(CONVOLUTION, init_args={**CONVOLUTION.init_args, "drop_path": 0.3}), data, 1)
        train(model, data, 3, training, folder, 1, on_progress=interrupt)
        return model.state_dict()

    expected = trained(tmp_path / "uninterrupted")
    with pytest.raises(Interruption):
        trained(tmp_path / "interrupted", interrupt_after=2)
    for name, weight in trained(tmp_path / "interrupted").items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=0)


def test_a_folder_of_checkpoints_yields_the_curves_logged_in_training(tmp_path):
    data = make_data(DIGITS, 0)
    model = make_model(CONVOLUTION, data, 0)
    probe = take_probe(iter(data.val_dataloader()), 24)
    Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=CSVLogger(tmp_path / "log", name="", version=""),
        callbacks=[TopoLipCallback(probe=probe, probe_size=24), ModelCheckpoint(tmp_path / "ckpt", save_top_k=-1)],
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(model, data)
    logged = [float(line["topolip/score"]) for line in _lines(tmp_path / "log" / "metrics.csv", "topolip/score")]
    models = {"convolution": replace(CONVOLUTION, checkpoints=str(tmp_path / "ckpt"))}
    results = run_study(tiny_study(models=models), tmp_path / "study")
    scores = results.where(quantity="topolip", variant="scaled W2")
    assert scores.unique("epoch") == [1.0, 2.0]
    assert scores.values() == pytest.approx(logged[-2:], rel=5e-6)  # the table has six digits


def test_a_failed_run_is_reported_and_the_others_are_kept(tmp_path):
    broken = ClassSpec("lightning_topolip.models.ViTClassifier", {"size": "micro", "patch_size": 5})
    study, messages = tiny_study(models={"broken": broken, "convolution": CONVOLUTION}), []
    results = run_study(study, tmp_path, on_progress=lambda *message: messages.append(message))
    assert messages[0] == (Run("digits", "broken", 0, tmp_path), "failed", 1, 1)
    assert results.unique("model") == ["convolution"]
    first, second = json.loads((tmp_path / "about.json").read_text())["runs"]
    assert "patch_size" in first["failure"]
    assert second["failure"] is None


def test_a_diverged_network_has_the_numbers_of_its_input_only(tmp_path):
    model = make_model(CONVOLUTION, make_data(DIGITS, 0), 0)
    for weight in model.parameters():
        weight.data.fill_(math.nan)
    torch.save({"state_dict": model.state_dict(), "epoch": 0, "global_step": 1}, tmp_path / "broken.ckpt")
    models = {"broken": replace(CONVOLUTION, checkpoints=str(tmp_path))}
    results = run_study(tiny_study(models=models), tmp_path / "study")
    (run,) = json.loads((tmp_path / "study" / "about.json").read_text())["runs"]
    assert run["failure"] is None
    assert any("not finite" in warning for warning in run["warnings"])
    for quantity in ("accuracy", "topolip", "drift"):
        assert np.isnan(results.where(quantity=quantity).values()).all()
    variance = {row.layer: row.value for row in results.where(quantity="total_variance")}
    assert [layer for layer, value in variance.items() if not math.isnan(value)] == ["<input>"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ClassSpec("ConvClassifier"), "full path of a class"),
        (ClassSpec("lightning_topolip.models.ConvClassifier", {"depht": 3}), "depht"),
        (ClassSpec("torch.nn.Identity"), "LightningModules"),
    ],
)
def test_an_invalid_model_is_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        make_model(spec, make_data(DIGITS, 0), 0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"corruptions": ["rain"]},
            r"`corruptions` must contain only values from \['gaussian_noise', .* got \['rain'\]",
        ),
        ({"severities": [0, 5]}, r"`severities` .* \[1, 2, 3, 4, 5\], got \[0\]"),
        ({"attacks": ["cw"]}, r"`attacks` .* \['fgsm', 'pgd', 'autoattack'\], got \['cw'\]"),
        ({"paths": {"fgsm": [1]}}, r"`paths` .* 'pgd'\], got \['fgsm'\]"),
        ({"paths": {"noise": [0.3, 0.1]}}, r"`paths` .* increasing positive strengths, got \[0.3, 0.1\] for 'noise'"),
        ({"paths": {"fog": [9]}}, r"`paths` .* severities 1 to 5 for 'fog', got \[9\]"),
        ({"paths": {"pgd": []}}, r"`paths` .* got \[\] for 'pgd'"),
        ({"epsilons": [-4]}, r"`epsilons` .* got \[-4\]"),
        ({"images": 0}, r"`images` must be a whole number >= 3, got 0"),
        ({"pgd_steps": -1}, r"`pgd_steps` must be .* got -1"),
    ],
)
def test_invalid_robustness_options_are_refused_before_training(wrong, message):
    with pytest.raises(ValueError, match=message):
        Robustness(**wrong)


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (Training, {"epochs": -1}, "`epochs` must be a whole number >= 1, got -1"),
        (Training, {"every_n_epochs": 0}, "`every_n_epochs` must be .* got 0"),
        (Smoothness, {"probe_size": 1}, "`probe_size` must be a whole number >= 3, got 1"),
        (Smoothness, {"halvings": -3}, "`halvings` must be .* got -3"),
        (Lipschitz, {"tolerance": 0.0}, "`tolerance` must be positive"),
        (ClassSpec, {"class_path": "a.B", "epochs": "many"}, "`epochs` must be .* got 'many'"),
        (ClassSpec, {"class_path": "a.B", "init_args": 3}, "`init_args` must be a mapping, got 3"),
        (
            ClassSpec,
            {"class_path": "a.B", "checkpoints": "x/{model}"},
            "`checkpoints` must be .* {data} and {seed}, got",
        ),
    ],
)
def test_invalid_fields_are_refused_before_training(kind, wrong, message):
    with pytest.raises(ValueError, match=message):
        kind(**wrong)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sizes:", "sizes` of study.yaml must map names"),
        ("sizes: [short]", "sizes` of study.yaml must map names"),
        ("sizes: {short: fast}", "sizes` of study.yaml must map names"),
        ("models: {no: {class_path: a.B}}", "`models` must contain one label or more.*got .False"),
    ],
)
def test_an_invalid_recipe_is_refused(text, message, tmp_path):
    (tmp_path / "study.yaml").write_text(f"title: a\nquestion: b\ndata: {{digits: {{class_path: c.D}}}}\n{text}\n")
    with pytest.raises(ValueError, match=message):
        read_config(tmp_path / "study.yaml")


def test_autoattack_without_its_package_is_refused_before_training(monkeypatch):
    monkeypatch.setattr("lightning_topolip.study.config.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"`attacks` .* pip install 'lightning_topolip\[autoattack\]'"):
        Robustness(attacks=["fgsm", "autoattack"])


@pytest.mark.slow
def test_autoattack_is_measured_on_request(tmp_path):
    pytest.importorskip("pyautoattack")
    config = tiny_study(models={"convolution": CONVOLUTION}, training=Training(epochs=1))
    config = replace(config, robustness=replace(config.robustness, images=6, attacks=["pgd", "autoattack"]))
    results = run_study(config, tmp_path)
    fgsm, pgd, strongest = (
        results.where(quantity="accuracy", condition=name).values().tolist() for name in ("fgsm", "pgd", "autoattack")
    )
    assert not fgsm
    assert len(pgd) == len(strongest) == 1
    assert strongest <= pgd


def test_seeds_share_split_and_probe_but_not_order():
    first, second = make_data(DIGITS, 0), make_data(DIGITS, 1)
    for one, other in zip(take_probe(first.val_dataloader(), 24), take_probe(second.val_dataloader(), 24), strict=True):
        assert torch.equal(one, other)
    one, other = (next(iter(data.train_dataloader()))[1] for data in (first, second))
    assert not torch.equal(one, other)


def test_results_are_read_as_they_were_written(study, tmp_path):
    _, results = study
    results.write(tmp_path / "results.csv")
    read = Results.read(tmp_path / "results.csv")
    assert [repr(row) for row in read] == [repr(row) for row in results]


def _lines(path: Path, column: str) -> list[dict[str, str]]:
    header, *lines = path.read_text().splitlines()
    rows = [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]
    return [row for row in rows if row[column]]
