"""Drift, speed and TopoLip from hand-made paths; reports from clouds whose topology is known."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from helpers.giotto import needs_giotto
from torch import nn

from lightning_topolip import activation_drift, analyze, wasserstein_distance
from lightning_topolip.network.distances import distance_matrix
from lightning_topolip.topology.cuts import halvings
from lightning_topolip.topology.engines import Diagrams
from lightning_topolip.topology.epoch_drifts import epoch_drifts
from lightning_topolip.topology.layer import layer_topology
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.scores import distances_along, speed_max, speed_mean, topolip
from lightning_topolip.topology.settings import Settings
from lightning_topolip.topology.smoothness_report import smoothness_report


def drift(first: Diagrams, second: Diagrams, order: float = 2.0) -> float:
    return distances_along((first, second), order)[0]


def matrix(cloud: np.ndarray) -> np.ndarray:
    return distance_matrix(torch.from_numpy(cloud)).numpy()


def clouds(count: int, n: int = 24, d: int = 3) -> list[np.ndarray]:
    return list(np.random.default_rng(0).normal(size=(count, n, d)))


def test_scores_by_hand() -> None:
    assert speed_mean([1, 4, 2]) == pytest.approx(7 / 3)
    assert speed_max([1, 4, 2]) == 4
    assert topolip([1, 4, 2]) == pytest.approx((3 + 2) / 2)
    assert topolip([5, 5, 5]) == 0


@pytest.mark.parametrize(("score", "steps"), [(speed_mean, 0), (speed_max, 0), (topolip, 0), (topolip, 1)])
def test_too_short_a_path_has_no_score(score: object, steps: int) -> None:
    assert math.isnan(score([1.0] * steps))  # type: ignore[operator]


@pytest.mark.parametrize("score", [speed_mean, speed_max, topolip])
def test_a_failed_step_is_never_hidden(score: object) -> None:
    assert math.isnan(score([1.0, math.nan, 2.0]))  # type: ignore[operator]


def test_drift_joins_dimensions_by_the_order() -> None:
    first = {0: np.array([[0.0, 1.0]]), 1: np.array([[1.0, 2.0]])}
    second = {0: np.array([[0.0, 4.0]]), 1: np.array([[1.0, 6.0]])}
    # H0: (0,1)-(0,4) costs 3, both to the diagonal 0.5 and 2; H1: 4 against 0.5 and 2.5.
    assert drift(first, second, 1.0) == pytest.approx(2.5 + 3.0)
    assert drift(first, second, 2.0) == pytest.approx(math.sqrt(0.25 + 4 + 0.25 + 6.25))
    assert drift(first, second, math.inf) == pytest.approx(2.5)


def test_drift_refuses_other_dimensions() -> None:
    with pytest.raises(ValueError, match="same homology dimensions"):
        drift({0: np.empty((0, 2))}, {1: np.empty((0, 2))})


def test_a_report_of_two_points_by_hand() -> None:
    """Two points at distance a have one class of H0 that dies at a; the scale is a, so scaled diagrams are equal."""
    lengths = [1.0, 3.0, 2.0]
    layers = {str(i): matrix(np.array([[0.0], [a]])) for i, a in enumerate(lengths)}
    report = smoothness_report(Measurement(layers), Settings(order=1.0))
    assert [found.scale for found in report.topology if found] == lengths
    assert report.wasserstein_curve.tolist() == [0.0, 0.0]
    assert report.drifts["raw"]["H0"].tolist() == [1.0, 0.5]  # per sample
    assert report.drifts["raw"]["H1"].tolist() == [0.0, 0.0]
    assert report.drifts["scaled"]["all"].tolist() == [0.0, 0.0]
    assert report.score == 0
    raw = smoothness_report(Measurement(layers), Settings(order=1.0, view="raw"))
    assert (raw.score, raw.speed_mean, raw.speed_max) == (0.5, 0.75, 1.0)


def test_parts_join_to_the_headline() -> None:
    for order in (1.0, 2.0, math.inf):
        report = smoothness_report(
            Measurement({str(i): matrix(c) for i, c in enumerate(clouds(4))}), Settings(order=order)
        )
        for view in ("raw", "scaled"):
            parts = report.drifts[view]
            pairs = zip(parts["H0"], parts["H1"], strict=True)
            joined = [max(a, b) if math.isinf(order) else (a**order + b**order) ** (1 / order) for a, b in pairs]
            assert parts["all"] == pytest.approx(joined, rel=1e-12)


def test_the_scaled_view_knows_neither_gain_nor_isometry_and_the_raw_view_is_homogeneous() -> None:
    one, two, three = clouds(3)
    before = smoothness_report(Measurement({str(i): matrix(c) for i, c in enumerate((one, two, three))}))
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    after = smoothness_report(
        Measurement({str(i): matrix(c) for i, c in enumerate((one @ rotation, 100 * two, three + 3))})
    )
    assert after.curve == pytest.approx(before.curve, rel=1e-4)
    scaled_up = smoothness_report(Measurement({str(i): matrix(5 * c) for i, c in enumerate((one, two, three))}))
    assert scaled_up.drifts["raw"]["all"] == pytest.approx(5 * before.drifts["raw"]["all"], rel=1e-4)


def test_the_input_is_in_the_curve_and_not_in_the_score() -> None:
    layers = dict(zip(("<input>", "a", "b", "c"), map(matrix, clouds(4)), strict=True))
    report = smoothness_report(Measurement(layers))
    assert report.steps == (("<input>", "a"), ("a", "b"), ("b", "c"))
    assert report.input_drift == report.curve[0]
    assert report.speed_mean == pytest.approx(report.curve[1:].mean())
    assert report.score == pytest.approx(abs(report.curve[2] - report.curve[1]))
    joined = smoothness_report(Measurement(layers), Settings(include_input=True))
    assert joined.speed_mean == pytest.approx(report.curve.mean())
    assert joined.scored.parts.shape == (4, 2, 3)
    assert report.scored.parts.tolist() == joined.scored.parts[..., 1:].tolist()


@pytest.mark.parametrize("order", [1.0, 2.0, math.inf])
def test_a_drift_is_per_sample_and_the_plain_distance_stands_beside(order: float) -> None:
    layers = [matrix(cloud) for cloud in clouds(2)]
    report = smoothness_report(Measurement(dict(zip("ab", layers, strict=True))), Settings(order=order))
    plain = drift(*(layer_topology(layer, Settings()).view("scaled") for layer in layers), order)
    assert report.wasserstein_curve == pytest.approx([plain])
    assert report.curve == pytest.approx([plain / (1 if math.isinf(order) else 24 ** (1 / order))])


def test_a_sample_taken_twice_drifts_as_far_per_sample() -> None:
    """Every point twice: each persistence pair of H0 between groups stays, and new ones of length 0 vanish."""
    first, second = clouds(2)
    once = smoothness_report(Measurement({"a": matrix(first), "b": matrix(second)}), Settings(view="raw", halvings=0))
    repeated = {"a": matrix(np.repeat(first, 2, axis=0)), "b": matrix(np.repeat(second, 2, axis=0))}
    twice = smoothness_report(Measurement(repeated), Settings(view="raw", halvings=0))
    assert twice.wasserstein_curve == pytest.approx(once.wasserstein_curve, rel=1e-5)
    assert twice.curve == pytest.approx(once.curve / math.sqrt(2), rel=1e-5)


def test_errors_noise_and_signal_from_the_halves_by_hand() -> None:
    """Reports of the halves alone give every number on them; the formulas are those of the definitions."""
    layers, settings = [matrix(cloud) for cloud in clouds(5)], Settings(seed=3)
    report = smoothness_report(Measurement(dict(zip("abcde", layers, strict=True))), settings)
    pairs = [
        [
            smoothness_report(
                Measurement({name: layer[np.ix_(half, half)] for name, layer in zip("abcde", layers, strict=True)}),
                Settings(halvings=0),
            )
            for half in cut
        ]
        for cut in halvings(24, settings)
    ]
    assert len(pairs) == 4
    for name in ("score", "speed_mean", "speed_max"):
        squares = [(getattr(first, name) - getattr(second, name)) ** 2 for first, second in pairs]
        assert getattr(report, f"{name}_error") == pytest.approx(math.sqrt(sum(squares) / 4) / 2)
    squares = [(first.curve - second.curve) ** 2 for first, second in pairs]
    assert report.curve_error == pytest.approx(np.sqrt(np.mean(squares, axis=0)) / 2)
    noise = [topolip((first.curve - second.curve) / 2) for first, second in pairs]
    assert report.noise == pytest.approx(np.mean(noise))
    assert report.signal == pytest.approx(report.score / report.noise)


def test_equal_layers_have_no_drift_no_error_and_no_signal() -> None:
    cloud = matrix(clouds(1)[0])
    report = smoothness_report(Measurement(dict.fromkeys("abc", cloud)))
    assert report.curve.tolist() == report.curve_error.tolist() == [0, 0]
    assert report.score_error == report.noise == 0
    assert math.isnan(report.signal)


def test_without_halvings_there_are_no_errors() -> None:
    report = smoothness_report(
        Measurement({name: matrix(c) for name, c in zip("abc", clouds(3), strict=True)}), Settings(halvings=0)
    )
    assert math.isfinite(report.score)
    numbers = report.score_error, report.speed_mean_error, report.speed_max_error, report.noise, report.signal
    assert np.isnan([*numbers, *report.curve_error]).all()


def test_stability_bottleneck_at_most_twice_the_activation_drift() -> None:
    generator = np.random.default_rng(3)
    settings = Settings(order=math.inf)
    for noise in (0.01, 0.1, 1.0):
        first = generator.normal(size=(40, 5))
        second = first[generator.permutation(40)] + noise * generator.normal(size=(40, 5))
        moved = drift(
            layer_topology(matrix(first), settings).raw,
            layer_topology(matrix(second), settings).raw,
            math.inf,
        )
        assert 0 < moved <= 2 * activation_drift(first, second, math.inf) * (1 + 1e-5)


def test_epoch_drift_is_per_epoch_and_leaves_the_input_out() -> None:
    before = smoothness_report(Measurement(dict(zip(("<input>", "a", "b"), map(matrix, clouds(3)), strict=True))))
    after = smoothness_report(Measurement(dict(zip(("<input>", "a", "b"), map(matrix, clouds(6)[3:]), strict=True))))
    one, two = epoch_drifts(before, after), epoch_drifts(before, after, interval=2.0)
    assert list(one) == ["a", "b"]
    assert one["a"].value == pytest.approx(2 * two["a"].value)
    assert one["a"].error == pytest.approx(2 * two["a"].error)
    moved = drift(before.topology[1].view("scaled"), after.topology[1].view("scaled"))  # type: ignore[union-attr]
    assert one["a"].value == pytest.approx(moved / math.sqrt(24))
    for still in epoch_drifts(before, before).values():
        assert (still.value, still.error) == (0.0, 0.0)


def test_the_error_of_an_epoch_drift_from_the_halves_by_hand() -> None:
    before, after = (matrix(cloud) for cloud in clouds(2))
    [moved] = epoch_drifts(*(smoothness_report(Measurement({"a": layer})) for layer in (before, after))).values()

    def alone(half: np.ndarray) -> float:
        halves = (layer_topology(layer[np.ix_(half, half)], Settings(halvings=0)) for layer in (before, after))
        return drift(*(half.view("scaled") for half in halves)) / math.sqrt(12)

    differences = [alone(first) - alone(second) for first, second in halvings(24, Settings())]
    assert moved.error == pytest.approx(math.sqrt(np.mean(np.square(differences))) / 2)


def test_epoch_drift_refuses_other_settings_and_other_probes() -> None:
    small = smoothness_report(Measurement({"a": matrix(clouds(1, n=10)[0])}))
    large = smoothness_report(Measurement({"a": matrix(clouds(1, n=12)[0])}))
    with pytest.raises(ValueError, match=r"10 points .* 12 points"):
        epoch_drifts(small, large)
    with pytest.raises(ValueError, match="same settings"):
        epoch_drifts(small, smoothness_report(Measurement({"a": matrix(clouds(1, n=10)[0])}), Settings(order=1.0)))


def test_a_constant_layer_is_nan_when_scaled_and_a_number_when_raw() -> None:
    layers = {"a": matrix(clouds(1)[0]), "b": np.zeros((24, 24), dtype=np.float32), "c": matrix(clouds(2)[1])}
    report = smoothness_report(Measurement(layers))
    assert np.isnan(report.curve).all()
    assert math.isnan(report.score)
    assert np.isfinite(report.drifts["raw"]["all"]).all()
    assert "all points coincide" in report.failures["b"]


def test_matrices_of_different_sizes_raise() -> None:
    with pytest.raises(ValueError, match=r"one size, got sizes \[10, 12\]"):
        smoothness_report(Measurement({"a": matrix(clouds(1, n=10)[0]), "b": matrix(clouds(1, n=12)[0])}))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("order", 0.5), ("order", math.nan), ("order", "2"), ("order", True), ("dimensions", (0, 0)), ("dimensions", 1),
        ("reduction", "max"), ("engine", "x"), ("view", "both"), ("halvings", -1), ("seed", 1.5),
    ],
)  # fmt: skip
def test_wrong_settings_name_the_argument(setting: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"Argument `{setting}`"):
        Settings(**{setting: value})  # type: ignore[arg-type]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*[nn.Linear(6, 6) for _ in range(4)])


ALL = list("0123")


def test_analyze_equals_the_steps_by_hand(generator: torch.Generator) -> None:
    model, batch = network(), torch.randn(30, 6, generator=generator)
    report = analyze(model, batch, ALL, halvings=0)
    states = [batch]
    for layer in model:
        states.append(layer(states[-1]).detach())
    by_hand = smoothness_report(
        Measurement(
            {name: distance_matrix(state).numpy() for name, state in zip(("<input>", *"0123"), states, strict=True)}
        ),
        Settings(halvings=0),
    )
    assert report.layers == by_hand.layers
    assert report.curve.tolist() == by_hand.curve.tolist()


def test_a_report_becomes_json(generator: torch.Generator) -> None:
    report = analyze(network(), torch.randn(20, 6, generator=generator), ALL)
    values = json.loads(json.dumps(report.to_dict()))
    assert values["score"] == report.score
    assert values["layers"] == ["<input>", "0", "1", "2", "3"]
    assert values["drifts"]["scaled"]["all"] == report.curve.tolist()


class Faulty(nn.Module):
    """Layers with every fault, between two that are sound."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.nan, self.pooled = nn.Identity(), nn.Identity(), nn.Identity()
        self.never, self.indices, self.last = nn.Identity(), nn.Identity(), nn.Identity()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        states = self.first(inputs)
        self.nan(states / 0 * 0)
        self.pooled(states.mean(dim=0, keepdim=True))
        self.indices(states.argmax(dim=1))
        return self.last(states * 2)


def test_every_faulty_layer_has_its_reason(generator: torch.Generator) -> None:
    names = ["first", "nan", "pooled", "never", "indices", "last"]
    report = analyze(Faulty(), torch.randn(10, 4, generator=generator), names)
    assert report.layers == ("<input>", "first", "nan", "last")
    assert np.isnan(report.curve).tolist() == [False, True, True]
    assert math.isnan(report.score)
    assert math.isfinite(report.input_drift)
    assert "10 of 10 points with a NaN or infinite value" in report.failures["nan"]
    assert "shape (1, 4), not one row for each of 10 samples" in report.failures["pooled"]
    assert "did not run" in report.failures["never"]
    assert "no floating-point tensor" in report.failures["indices"]


def test_no_usable_layer_raises_with_the_reasons() -> None:
    with pytest.raises(ValueError, match=r"one row per sample, got none .*never: did not run"):
        analyze(Faulty(), torch.randn(10, 4), ["never"])


def test_fewer_than_three_samples_raise() -> None:
    with pytest.raises(ValueError, match="`batch` must hold at least 3 samples, got 2"):
        analyze(network(), torch.zeros(2, 6))


def test_a_model_that_takes_a_dictionary_and_token_ids() -> None:
    class Language(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(50, 8)
            self.layers = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(3))

        def forward(self, input_ids: torch.Tensor) -> dict[str, torch.Tensor]:
            states = self.embedding(input_ids)
            for layer in self.layers:
                states = layer(states)
            return {"last_hidden_state": states}

    batch = {"input_ids": torch.randint(0, 50, (12, 5)), "labels": torch.zeros(12)}
    report = analyze(Language(), batch, reduction="mean")
    assert report.layers == ("layers.0", "layers.1", "layers.2")
    assert math.isnan(report.input_drift)
    assert math.isfinite(report.score)


def test_another_forward_can_be_analysed(generator: torch.Generator) -> None:
    model, batch = network(), torch.randn(20, 6, generator=generator)
    report = analyze(model, batch, ALL, forward_fn=lambda model, batch: model[:3](batch))
    assert report.layers == ("<input>", "0", "1", "2")
    assert "did not run" in report.failures["3"]


def test_a_layer_may_be_called_input(generator: torch.Generator) -> None:
    named, numbered = nn.Sequential(), nn.Sequential()
    torch.manual_seed(0)
    for index, name in enumerate(("input", "middle", "output")):
        layer = nn.Linear(6, 6)
        named.add_module(name, layer)
        numbered.add_module(str(index), layer)
    batch = torch.randn(20, 6, generator=generator)
    first, second = analyze(named, batch), analyze(numbered, batch)
    assert first.layers == ("<input>", "input", "middle", "output")
    assert (first.score, first.input_drift) == (second.score, second.input_drift)


@pytest.mark.parametrize(("n", "has_errors"), [(3, False), (5, False), (6, True), (7, True)])
def test_errors_need_halves_of_three(n: int, has_errors: bool) -> None:
    report = smoothness_report(Measurement({name: matrix(c) for name, c in zip("abc", clouds(3, n=n), strict=True)}))
    assert math.isfinite(report.score_error) == math.isfinite(report.noise) == has_errors
    assert math.isfinite(report.score)


@needs_giotto
def test_a_score_from_independent_solvers(generator: torch.Generator) -> None:
    """From activations to TopoLip by scikit-learn, giotto-tda and POT."""
    from gtda.homology import VietorisRipsPersistence
    from sklearn.metrics import pairwise_distances

    model, batch = network(), torch.randn(25, 6, generator=generator)
    states, distances = batch, []
    for layer in model:
        states = layer(states).detach()
        distances.append(pairwise_distances(states.double().numpy()))
    distances = [matrix / matrix[~np.eye(25, dtype=bool)].mean() for matrix in distances]
    rips = VietorisRipsPersistence(metric="precomputed", homology_dimensions=(0, 1))
    diagrams = [found[found[:, 0] < found[:, 1]] for found in rips.fit_transform(distances)]
    by_dimension = [[found[found[:, 2] == k][:, :2] for k in (0, 1)] for found in diagrams]
    drifts = [
        math.hypot(*(wasserstein_distance(a, b, engine="pot") for a, b in zip(first, second, strict=True))) / 5
        for first, second in itertools.pairwise(by_dimension)
    ]
    report = analyze(model, batch, ALL)
    assert report.curve[1:] == pytest.approx(drifts, rel=1e-4)
    assert report.score == pytest.approx(np.abs(np.diff(drifts)).mean(), rel=1e-3)


@pytest.mark.parametrize("interval", [0.0, -1.0, math.nan])
def test_epoch_drift_needs_a_positive_interval(interval: float) -> None:
    report = smoothness_report(Measurement({"a": matrix(clouds(1)[0])}))
    with pytest.raises(ValueError, match="`interval` must be positive"):
        epoch_drifts(report, report, interval)
