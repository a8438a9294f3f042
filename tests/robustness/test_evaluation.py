"""Accuracies against counts by hand, intervals against Wilson's formula, perturbation paths against known gains."""

import csv
import io
import math
import warnings
from functools import partial
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

from lightning_topolip import analyze, wasserstein_distance
from lightning_topolip.robustness import (
    CORRUPTIONS,
    Accuracy,
    RobustnessReport,
    attack_family,
    corrupt,
    corrupt_tensor,
    corruption_family,
    evaluate_robustness,
    fgsm,
    noise_family,
    perturbation_drifts,
    perturbed,
    pgd,
    predictor,
    read_cifar10_c,
    wilson_interval,
)
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.settings import Settings
from lightning_topolip.topology.smoothness_report import smoothness_report


@pytest.fixture(scope="module")
def photos() -> Tensor:
    """24 colour photographs of 32 x 32 pixels, cropped from scikit-learn's sample images."""
    small = Image.fromarray(load_sample_image("china.jpg")).resize((192, 128))
    image = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1).float() / 255
    return torch.stack([tile for row in image.split(32, 1) for tile in row.split(32, 2)])


def brightness_classifier(images: Tensor) -> Tensor:
    """Separate light images (class 1) from dark ones, with a margin above rounding errors."""
    light = images.double().mean(dim=(1, 2, 3)) - 0.503
    return torch.stack([-light, light], dim=1)


@pytest.fixture
def labels(photos: Tensor) -> Tensor:
    return brightness_classifier(photos).argmax(1)


def test_the_interval_is_the_closed_form_of_wilson() -> None:
    z = NormalDist().inv_cdf(0.9)
    for successes in (0, 3, 17):
        centre, half = successes + z * z / 2, z * math.sqrt(successes * (17 - successes) / 17 + z * z / 4)
        expected = [(centre + sign * half) / (17 + z * z) for sign in (-1, 1)]
        assert Accuracy("clean", "clean", 0, successes, 17).interval(0.8) == pytest.approx(expected, abs=1e-12)


def test_accuracies_count_correct_predictions(photos: Tensor, labels: Tensor) -> None:
    report = evaluate_robustness(
        brightness_classifier,
        photos,
        labels,
        corruptions=["brightness", "contrast", "fog"],
        severities=[2, 5],
        attacks={"fgsm": fgsm, "pgd": partial(pgd, steps=5)},
        epsilons=[2, 16],
        seed=3,
    )
    names = [(accuracy.kind, accuracy.name, accuracy.strength) for accuracy in report.accuracies]
    assert names == [
        ("clean", "clean", 0),
        *[("corruption", name, severity) for name in ("brightness", "contrast", "fog") for severity in (2, 5)],
        *[("attack", name, epsilon) for name in ("fgsm", "pgd") for epsilon in (2, 16)],
    ]
    assert {accuracy.total for accuracy in report.accuracies} == {24}
    assert report.clean.value == 1
    light = photos.mean(dim=(1, 2, 3))
    for accuracy in report.accuracies[1:7]:
        images = corrupt_tensor(photos, accuracy.name, int(accuracy.strength), seed=3)
        assert accuracy.correct == int((brightness_classifier(images).argmax(1) == labels).sum())
        assert report.drop(accuracy) == 1 - accuracy.value
    for accuracy in report.accuracies[7:]:
        # a constant shift is optimal, except for pixels at the limit of their range
        out_of_reach = ((light - 0.503).abs() > accuracy.strength / 255).sum()
        assert out_of_reach <= accuracy.correct <= out_of_reach + 2
    assert report.accuracies[2].value < 0.8


def test_all_corruptions_at_all_severities_by_default(photos: Tensor, labels: Tensor) -> None:
    calls: list[tuple[Accuracy, int, int]] = []
    report = evaluate_robustness(
        brightness_classifier, photos[:2], labels[:2], epsilons=[1], progress=lambda *call: calls.append(call)
    )
    assert len(report.accuracies) == 1 + 75 + 2
    assert [accuracy for accuracy, _, _ in calls] == list(report.accuracies)
    assert [(done, total) for _, done, total in calls] == [(done, 78) for done in range(1, 79)]
    assert {accuracy.name for accuracy in report.accuracies if accuracy.kind == "corruption"} == {*CORRUPTIONS}


def test_the_report_does_not_depend_on_the_batches_and_repeats(photos: Tensor, labels: Tensor) -> None:
    evaluate = partial(
        evaluate_robustness,
        brightness_classifier,
        photos,
        labels,
        corruptions=["impulse_noise", "snow", "frost"],
        severities=[1, 5],
        epsilons=[8],
    )
    first = evaluate()
    assert evaluate() == evaluate(batch_size=7) == first


class Sensitive(nn.Module):
    """A network with other outputs in training mode, which counts its calls in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(3, 2)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return self.head(self.norm(images).mean(dim=(2, 3)))


def test_a_module_is_borrowed(photos: Tensor, labels: Tensor) -> None:
    model = Sensitive().double()
    model(photos.double()).sum().backward()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [weight.grad.clone() for weight in model.parameters()]
    random_state = torch.get_rng_state()
    report = evaluate_robustness(model, photos.half().float(), labels, corruptions=["fog"], epsilons=[4])
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(weight.grad, kept) for weight, kept in zip(model.parameters(), gradients, strict=True))
    assert all(weight.requires_grad for weight in model.parameters())
    assert model.training
    assert model.norm.training
    assert torch.equal(torch.get_rng_state(), random_state)
    correct = model.eval()(photos.half().double()).argmax(1) == labels
    assert report.clean.correct == int(correct.sum())


def test_a_scripted_module_is_borrowed_too(photos: Tensor, labels: Tensor) -> None:
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(3 * 32 * 32), nn.Linear(3 * 32 * 32, 10)).eval()
    options = {"corruptions": ["fog"], "severities": [1], "attacks": {}}
    expected = evaluate_robustness(model, photos, labels, **options)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # newer versions of torch deprecate it
        scripted = torch.jit.script(model)
    report = evaluate_robustness(scripted, photos, labels, **options)  # type: ignore[arg-type]
    assert report.accuracies == expected.accuracies


def test_rows_make_one_tidy_table(photos: Tensor, labels: Tensor) -> None:
    report = evaluate_robustness(brightness_classifier, photos, labels, corruptions=["fog"], attacks={})
    rows = report.to_rows(model="mean", seed=0)
    file = io.StringIO()
    writer = csv.DictWriter(file, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    read = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert len(read) == 6
    measured = ["total", "correct", "accuracy", "low", "high", "drop", "masked"]
    assert list(read[0]) == ["model", "seed", "kind", "name", "strength", *measured]
    for row, accuracy in zip(read, report.accuracies, strict=True):
        assert (row["model"], row["kind"], row["name"]) == ("mean", accuracy.kind, accuracy.name)
        assert float(row["accuracy"]) == int(row["correct"]) / int(row["total"]) == accuracy.value
        assert float(row["drop"]) == report.clean.value - accuracy.value
        assert (float(row["low"]), float(row["high"])) == wilson_interval(accuracy.correct, 24)


def test_an_accuracy_with_logits_that_are_not_finite_is_nan_with_a_warning(photos: Tensor, labels: Tensor) -> None:
    def fragile(images: Tensor) -> Tensor:
        return brightness_classifier(images) / (images.mean() < photos.mean() + 0.15)

    with pytest.warns(UserWarning, match="brightness at strength 5 is NaN: the model's logits are not finite"):
        report = evaluate_robustness(fragile, photos, labels, corruptions=["brightness"], severities=[1, 5], attacks={})
    clean, mild, broken = report.accuracies
    assert not math.isnan(clean.value + mild.value)
    assert broken.correct is None
    row = report.to_rows()[2]
    assert all(math.isnan(row[name]) for name in ("accuracy", "low", "high", "drop"))


def test_official_files_replace_the_generated_corruptions(photos: Tensor, labels: Tensor, tmp_path: Path) -> None:
    pixels = (photos * 255).round().byte().permute(0, 2, 3, 1).numpy()
    np.save(tmp_path / "saturate.npy", np.concatenate([255 - pixels, *[pixels] * 4]))
    np.save(tmp_path / "labels.npy", np.tile(labels.numpy(), 5).astype(np.uint8))
    report = evaluate_robustness(
        brightness_classifier,
        photos,
        torch.from_numpy(read_cifar10_c(tmp_path, "saturate", 1)[1]),
        corruptions=["saturate"],
        severities=[1, 2],
        attacks={},
        corrupted=lambda *key: read_cifar10_c(tmp_path, *key)[0],
    )
    assert [accuracy.value for accuracy in report.accuracies] == [1, pytest.approx(0, abs=0.1), 1]


def test_wrong_arguments_are_named(photos: Tensor, labels: Tensor) -> None:
    def refuse(match: str, *arguments: object, **options: object) -> None:
        with pytest.raises(ValueError, match=match):
            evaluate_robustness(brightness_classifier, *(arguments or (photos, labels)), **options)  # type: ignore[arg-type]

    refuse(r"`corruptions` must hold names from .*got \['rain'\]", corruptions=["fog", "rain"])
    refuse(r"`severities` must hold whole numbers from 1 to 5, got \[0, 1\]", severities=[0, 1])
    refuse("`batch_size` must be a whole number >= 1, got 0", batch_size=0)
    refuse(r"in \[0, 1\] of at least one image.*from -1 to", photos - 1, labels)
    refuse(r"of at least one image.*shape \(0, 3, 32, 32\)", photos[:0], labels[:0])
    refuse(r"one whole number for each of 24 images, got torch.int64 of shape \(23,\)", photos, labels[1:])
    refuse(r"`epsilons` must hold 255ths of the pixel range, 0 to 255, got \[8, 300\]", epsilons=[8, 300])
    refuse(r"`epsilons` must hold 255ths", epsilons=[math.nan])
    refuse(r"one whole number for each of 24 images, got torch.bool", photos, labels > 3)
    refuse(
        "one image for each of 24 labels, got 23 for fog at severity 1",
        corrupted=lambda *key: corrupt(np.zeros((23, 32, 32, 3), np.uint8), *key),
        corruptions=["fog"],
    )
    with pytest.raises(ValueError, match=r"`confidence` must be between 0 and 1, got 95; take 0\.95"):
        RobustnessReport((Accuracy("clean", "clean", 0, 1, 2),)).to_rows(confidence=95)


class Triple(nn.Module):
    """Scale the input by three, then shift it: gains of exactly three in the raw view."""

    def __init__(self) -> None:
        super().__init__()
        self.stretch, self.shift = nn.Identity(), nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        return self.shift(self.stretch(3 * images) + 5)


def test_gains_are_those_of_known_layers(photos: Tensor) -> None:
    probes = perturbed(photos, noise_family(seed=1), strengths=[0.05, 0.1, 0.3])
    model = Triple()
    reports = {s: analyze(model, probe, ["stretch", "shift"], halvings=0) for s, probe in probes}
    raw = perturbation_drifts(reports, view="raw")
    assert raw.layers == ("<input>", "stretch", "shift")
    assert raw.strengths == (0, 0.05, 0.1, 0.3)
    assert raw.gains[0] == pytest.approx(1, abs=0)
    assert raw.gains[1:] == pytest.approx(np.full((2, 3), 3.0), rel=1e-4)
    assert perturbation_drifts(reports).gains == pytest.approx(np.ones((3, 3)), rel=1e-4)
    assert (raw.displacements[0] > 0).all()


def test_drifts_are_distances_per_unit_of_strength(photos: Tensor) -> None:
    strengths = [0.1, 0.3]
    order = 1.5
    reports = {
        s: analyze(nn.Sequential(nn.AvgPool2d(8)), probe, ["0"], order=order, view="raw", halvings=0)
        for s, probe in perturbed(photos, noise_family(), strengths)
    }
    path = perturbation_drifts(dict(reversed(reports.items())))
    diagrams = [reports[s].diagrams["0"] for s in (0, *strengths)]

    def distance(first: int, second: int) -> float:
        distances = [wasserstein_distance(diagrams[first][k], diagrams[second][k], order) for k in (0, 1)]
        return float(np.linalg.norm(distances, order)) / len(photos) ** (1 / order)

    assert path.drifts[1] == pytest.approx([distance(0, 1) / 0.1, distance(1, 2) / 0.2], rel=1e-9)
    assert path.displacements[1] == pytest.approx([distance(0, 1), distance(0, 2)], rel=1e-9)
    assert path.speed_mean["0"] == pytest.approx(path.drifts[1].mean())
    assert path.speed_max["0"] == path.drifts[1].max()
    assert path.topolip["0"] == pytest.approx(abs(path.drifts[1][1] - path.drifts[1][0]))
    row = path.to_rows(model="pool")[-1]
    assert row == {
        "model": "pool",
        "layer": "0",
        "strength": 0.3,
        "drift": path.drifts[1, 1],
        "displacement": path.displacements[1, 1],
        "gain": path.displacements[1, 1] / path.displacements[0, 1],
    }


def test_no_gain_without_a_moving_input() -> None:
    near, far = (np.array([[0, a, a], [a, 0, a], [a, a, 0]], dtype=np.float32) for a in (1.0, 2.0))
    still = {0.0: {"<input>": near, "layer": near}, 1.0: {"<input>": near, "layer": far}}
    no_input = {strength: {"layer": matrices["layer"]} for strength, matrices in still.items()}
    failed = {0.0: still[0.0], 1.0: {"<input>": near, "layer": None}}
    for case, displacement in ((still, (2 / 3) ** 0.5), (no_input, (2 / 3) ** 0.5), (failed, math.nan)):
        reports = {
            s: smoothness_report(Measurement(layers), Settings(view="raw", halvings=0)) for s, layers in case.items()
        }
        path = perturbation_drifts(reports)
        assert path.displacements[-1] == pytest.approx([displacement], nan_ok=True)
        assert np.isnan(path.gains).all()


def test_reports_that_do_not_form_a_path_are_refused(photos: Tensor) -> None:
    measure = partial(analyze, nn.Sequential(nn.AvgPool2d(8)), layers=["0"], halvings=0)
    first, other, smaller = measure(batch=photos), measure(batch=photos, order=1.0), measure(batch=photos[:9])
    for reports, match in (
        ({0: first}, r"at least one positive strength, got strengths \[0\]"),
        ({1: first, 2: first}, r"the clean probe at strength 0 .* got strengths \[1, 2\]"),
        ({0: first, 1: other}, "the same settings and probe size"),
        ({0: first, 1: smaller}, "the same settings and probe size"),
    ):
        with pytest.raises(ValueError, match=match):
            perturbation_drifts(reports)
    with pytest.raises(ValueError, match=r"`view` must be one of .* or None, got 'both'"):
        perturbation_drifts({0: first, 1: first}, view="both")  # type: ignore[arg-type]


def test_the_clean_probe_comes_first_and_the_noise_is_only_scaled(photos: Tensor) -> None:
    path = list(perturbed(photos, noise_family(seed=2), [1e-4, 2e-4]))
    assert [strength for strength, _ in path] == [0, 1e-4, 2e-4]
    assert path[0][1] is photos
    small, large = (probe.double() - photos.double() for _, probe in path[1:])
    inside = ((photos > 0.01) & (photos < 0.99)).flatten()
    assert torch.allclose(2 * small.flatten()[inside], large.flatten()[inside], atol=1e-6)
    assert small.flatten()[inside].std() == pytest.approx(1e-4, rel=0.01)
    assert torch.equal(noise_family(seed=2)(photos, 1e-4), path[1][1])


def test_families_match_the_corruptions_and_attacks(photos: Tensor, labels: Tensor) -> None:
    severities: list[Tensor] = [probe for _, probe in perturbed(photos, corruption_family("snow", seed=4), [1, 4])]
    assert torch.equal(severities[2], corrupt_tensor(photos, "snow", 4, seed=4))
    with predictor(brightness_classifier) as predict:
        radii = dict(perturbed(photos, attack_family(fgsm, predict, labels), [2, 8]))
    assert torch.equal(radii[8], fgsm(brightness_classifier, photos, labels, 8 / 255))
    assert (radii[2] - photos).abs().max() == pytest.approx(2 / 255, rel=1e-5)


@pytest.mark.parametrize("strengths", [[], [0, 1], [2, 1], [1, 1], [-1], [math.nan]])
def test_strengths_must_increase_from_zero(photos: Tensor, strengths: list[float]) -> None:
    with pytest.raises(ValueError, match="`strengths` must hold positive, increasing numbers"):
        perturbed(photos, noise_family(), strengths)


def test_a_fractional_severity_is_refused(photos: Tensor) -> None:
    with pytest.raises(ValueError, match=r"must hold severities from \(1, 2, 3, 4, 5\), got 2.5"):
        list(perturbed(photos, corruption_family("fog"), [2.5]))
