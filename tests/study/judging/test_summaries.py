import math
from collections.abc import Sequence

import pytest

from lightning_topolip.study.judging.results import Results, Row
from lightning_topolip.study.judging.summaries import (
    SUMMARIES,
    RunKey,
    arithmetic_mean,
    geometric_mean,
    median,
    run_errors,
    run_summaries,
)

RUN = RunKey("digits", "vit", 0)
Cell = tuple[float, str, str, str, str, float, float]


def summarise(cells: Sequence[Cell]) -> dict[str, float]:
    return run_summaries(Results(Row(*RUN, *cell) for cell in cells))[RUN]


def at(epoch: float, quantity: str, value: float, variant: str = "", layer: str = "") -> Cell:
    return (epoch, quantity, variant, layer, "", 0.0, value)


def accuracy(condition: str, strength: float, value: float, epoch: float = 2.0) -> Cell:
    return (epoch, "accuracy", "", "", condition, strength, value)


def gain(layer: str, strength: float, value: float, family: str = "fog") -> Cell:
    return (2.0, "perturbation_gain", "scaled W2", layer, family, strength, value)


def cover(layer: str, radius: float, value: float, variant: str = "") -> Cell:
    return (2.0, "covering_number", variant, layer, "", radius, value)


@pytest.mark.parametrize(
    ("name", "quantity", "variant"),
    [
        ("topolip", "topolip", "scaled W2"),
        ("speed_mean", "speed_mean", "scaled W2"),
        ("speed_max", "speed_max", "scaled W2"),
        ("input_drift", "input_drift", "scaled W2"),
        ("topolip_raw", "topolip", "raw W2"),
        ("speed_mean_raw", "speed_mean", "raw W2"),
        ("parameters", "parameters", ""),
    ],
)
def test_a_number_of_the_whole_network_is_taken_at_the_last_epoch_in_its_variant(
    name: str, quantity: str, variant: str
) -> None:
    variants = ["scaled W2", "raw W2", "scaled W1", "scaled bottleneck", ""]
    cells = [at(epoch, quantity, 10 * epoch + i, form) for epoch in (0.0, 2.0, 1.0) for i, form in enumerate(variants)]
    assert summarise(cells)[name] == 20.0 + variants.index(variant)


def test_every_run_keeps_its_own_numbers_and_its_own_last_epoch() -> None:
    ends = {RunKey("digits", "vit", 0): 3.0, RunKey("digits", "vit", 1): 5.0, RunKey("images", "vit", 0): 1.0}
    rows = [
        Row(*key, float(epoch), "topolip", "scaled W2", "", "", 0.0, 100 * end + epoch)
        for epoch in range(6)
        for key, end in ends.items()
        if epoch <= end
    ]
    runs = run_summaries(Results(rows))
    assert {key: numbers["topolip"] for key, numbers in runs.items()} == {key: 101 * end for key, end in ends.items()}


def test_a_run_has_every_number_and_those_without_rows_are_nan() -> None:
    numbers = summarise([at(1.0, "topolip", 0.5, "scaled W2")])
    assert numbers.keys() == SUMMARIES.keys()
    assert [name for name, value in numbers.items() if not math.isnan(value)] == ["topolip"]


def test_no_rows_have_no_runs() -> None:
    assert run_summaries(Results([])) == {}


def test_drift_over_training_is_a_mean_over_layers_then_over_analyses() -> None:
    values = {1.0: (1.0, 3.0), 2.0: (4.0, 6.0), 3.0: (6.0, 8.0), 4.0: (9.0, 11.0)}
    cells = [
        at(epoch, "epoch_drift", value, "scaled W2", layer)
        for epoch, pair in values.items()
        for layer, value in zip(("a", "b"), pair, strict=True)
    ]
    noise = [at(4.0, "epoch_drift", 99.0, "raw W2", "a"), at(4.0, "epoch_drift", 0.0, "scaled W2", "<input>")]
    numbers = summarise(cells + noise)
    assert numbers["epoch_drift"] == (2 + 5 + 7 + 10) / 4
    assert numbers["late_epoch_drift"] == (7 + 10) / 2


@pytest.mark.parametrize(("analyses", "late"), [(2, [1.0]), (3, [2.0]), (4, [2.0, 3.0]), (5, [3.0, 4.0])])
def test_the_second_half_of_the_analyses_is_rounded_down(analyses: int, late: list[float]) -> None:
    cells = [at(float(epoch), "epoch_drift", float(epoch), "scaled W2", "a") for epoch in range(1, analyses)]
    assert summarise(cells)["late_epoch_drift"] == sum(late) / len(late)


def test_errors_on_the_probe_are_those_of_the_headline_and_a_bound_for_means() -> None:
    rows = [
        Row(*RUN, 2.0, name, "scaled W2", "", "", 0.0, 1.0, error)
        for name, error in (("topolip", 0.1), ("speed_mean", 0.2), ("speed_max", 0.3), ("input_drift", 0.4))
    ]
    rows += [Row(*RUN, 1.0, "path_length", "scaled W2", "", "", 0.0, 1.0, 0.9)]
    rows += [Row(*RUN, 2.0, "path_length", "scaled W2", layer, "", 0.0, 1.0, e) for layer, e in (("", 0.5), ("a", 0.8))]
    rows += [
        Row(*RUN, epoch, "epoch_drift", "scaled W2", layer, "", 0.0, 1.0, error)
        for epoch, pair in ((1.0, (0.2, 0.4)), (2.0, (0.5, 0.7)))
        for layer, error in zip(("a", "b"), pair, strict=True)
    ]
    errors = run_errors(Results(rows))[RUN]
    known = {name: error for name, error in errors.items() if not math.isnan(error)}
    assert known == pytest.approx(
        {
            "topolip": 0.1,
            "speed_mean": 0.2,
            "speed_max": 0.3,
            "input_drift": 0.4,
            "path_length": 0.5,
            "epoch_drift": 0.45,
            "late_epoch_drift": 0.6,
        }
    )


def test_a_path_is_that_of_the_whole_network_at_the_end() -> None:
    cells = [at(epoch, "path_length", v, "scaled W2") for epoch, v in ((1.0, 0.3), (2.0, 0.5))]
    cells.append(at(2.0, "path_length", 9.0, "scaled W2", "a"))
    assert summarise(cells)["path_length"] == 0.5


@pytest.mark.parametrize("name", ["two_nn_dimension", "participation_ratio", "covering_dimension"])
def test_dimensions_are_means_over_layers_that_were_measured(name: str) -> None:
    cells = [at(0.0, name, 70.0, "", "a"), at(2.0, name, 50.0, "", "<input>")]
    cells += [at(2.0, name, value, "", layer) for layer, value in (("a", 2.0), ("b", math.nan), ("c", 5.0))]
    assert summarise(cells)[name] == 3.5


def test_variance_is_a_geometric_mean_over_layers() -> None:
    cells = [at(2.0, "total_variance", v, "", layer) for layer, v in (("<input>", 1e9), ("a", 2.0), ("b", 32.0))]
    assert summarise(cells)["total_variance"] == pytest.approx(8.0)


def test_a_layer_without_variance_makes_the_geometric_mean_zero() -> None:
    cells = [at(2.0, "total_variance", v, "", layer) for layer, v in (("a", 0.0), ("b", 32.0))]
    assert summarise(cells)["total_variance"] == 0.0


def test_covering_numbers_are_read_at_the_spacing_of_the_input() -> None:
    cells = [cover(layer, 0.5, 60.0) for layer in ("a", "b")]
    cells += [
        cover(layer, 0.2, v, "at the spacing of the input") for layer, v in (("<input>", 9.0), ("a", 3.0), ("b", 5.0))
    ]
    assert summarise(cells)["covering_number"] == 4.0


def test_pairwise_constants_are_those_of_the_last_layer_and_a_mean_over_steps() -> None:
    cells = [at(2.0, "pairwise_lipschitz", v, "from input", layer) for layer, v in (("a", 5.0), ("b", 7.0))]
    cells += [at(2.0, "pairwise_lipschitz", v, "step", layer) for layer, v in (("a", 2.0), ("b", 8.0))]
    numbers = summarise(cells)
    assert numbers["pairwise_lipschitz"] == 7.0
    assert numbers["pairwise_step"] == pytest.approx(4.0)


def test_a_last_layer_that_was_not_measured_has_no_substitute() -> None:
    cells = [at(2.0, "scale", v, "", layer) for layer, v in (("<input>", 1.0), ("a", 1.0), ("b", math.nan))]
    cells.append(at(2.0, "pairwise_lipschitz", 5.0, "from input", "a"))
    assert math.isnan(summarise(cells)["pairwise_lipschitz"])


def test_local_constants_and_bounds_of_the_network_are_not_those_of_its_steps() -> None:
    steps = (("a", 2.0), ("b", 4.0), ("<output>", 8.0), ("<network>", 50.0))
    cells = [at(2.0, "local_lipschitz", v, "mean", layer) for layer, v in steps]
    cells += [at(2.0, "local_lipschitz", 10 * v, "max", layer) for layer, v in steps]
    cells += [at(2.0, "lipschitz_bound", 100 * v, "upper", layer) for layer, v in steps]
    numbers = summarise(cells)
    assert numbers["local_lipschitz"] == 500.0
    assert numbers["local_step"] == pytest.approx(4.0)
    assert numbers["lipschitz_bound"] == 5000.0


def test_an_infinite_bound_stays_infinite() -> None:
    assert summarise([at(2.0, "lipschitz_bound", math.inf, "upper", "<network>")])["lipschitz_bound"] == math.inf


def test_accuracies_and_drops_average_over_conditions() -> None:
    cells = [
        accuracy("validation", 0.0, 0.85),
        accuracy("validation", 0.0, 0.1, epoch=0.0),
        accuracy("clean", 0.0, 0.9),
        (2.0, "images", "", "", "clean", 0.0, 100.0),
        accuracy("fog", 1.0, 0.8),
        accuracy("fog", 3.0, 0.6),
        accuracy("gaussian_noise", 1.0, 0.7),
        accuracy("gaussian_noise", 3.0, 0.3),
        accuracy("fgsm", 2.0, 0.5),
        accuracy("fgsm", 8.0, 0.1),
        accuracy("pgd", 2.0, 0.2),
        accuracy("pgd", 8.0, 0.0),
    ]
    numbers = summarise(cells)
    expected = {
        "accuracy": 0.9,
        "validation_accuracy": 0.85,
        "corruption_accuracy": 0.6,
        "corruption_drop": 0.3,
        "fgsm_drop": 0.6,
        "pgd_drop": 0.8,
        "attack_drop": 0.7,
    }
    assert {name: numbers[name] for name in expected} == pytest.approx(expected)


def test_a_perturbation_of_strength_zero_does_not_count() -> None:
    cells = [accuracy("clean", 0.0, 0.9), accuracy("pgd", 0.0, 0.9), accuracy("pgd", 4.0, 0.5)]
    assert summarise(cells)["pgd_drop"] == pytest.approx(0.4)


def test_an_accuracy_that_failed_is_not_averaged_away() -> None:
    numbers = summarise([accuracy("clean", 0.0, 0.9), accuracy("fog", 1.0, 0.8), accuracy("snow", 1.0, math.nan)])
    assert math.isnan(numbers["corruption_accuracy"])
    assert math.isnan(numbers["corruption_drop"])


def test_attacks_are_averaged_over_those_that_were_made() -> None:
    cells = [accuracy("clean", 0.0, 0.9), accuracy("fgsm", 2.0, 0.5)]
    assert summarise(cells)["attack_drop"] == pytest.approx(0.4)
    stronger = [*cells, accuracy("pgd", 2.0, 0.3), accuracy("autoattack", 2.0, 0.1)]
    assert summarise(stronger)["autoattack_drop"] == pytest.approx(0.8)
    assert summarise(stronger)["attack_drop"] == pytest.approx(0.6)
    assert math.isnan(summarise(stronger)["corruption_drop"])


def test_an_attack_that_failed_is_not_averaged_away() -> None:
    numbers = summarise([accuracy("clean", 0.0, 0.9), accuracy("fgsm", 2.0, 0.5), accuracy("pgd", 2.0, math.nan)])
    assert math.isnan(numbers["attack_drop"])


def test_equal_shares_are_equal_numbers_whatever_their_parts() -> None:
    drops = [
        summarise([accuracy("clean", 0.0, 1.0), accuracy("fog", 1.0, first), accuracy("fog", 2.0, second)])
        for first, second in ((0.1, 0.7), (0.3, 0.5), (0.4, 0.4))
    ]
    assert len({numbers["corruption_drop"] for numbers in drops}) == 1


def test_gains_are_averaged_over_layers_families_and_strengths_without_the_input() -> None:
    cells = [
        gain("<input>", 1.0, 1.0),
        gain("a", 1.0, 2.0),
        gain("b", 1.0, 3.0),
        gain("a", 2.0, math.nan),
        gain("a", 0.1, 10.0, family="noise"),
        (2.0, "perturbation_gain", "raw W2", "a", "fog", 1.0, 500.0),
    ]
    numbers = summarise(cells)
    assert numbers["perturbation_gain"] == 5.0
    assert numbers["perturbation_gain_median"] == 3.0


def test_means_skip_nan_and_are_nan_without_values() -> None:
    assert arithmetic_mean([1.0, math.nan, 3.0]) == 2.0
    assert geometric_mean([1.0, math.nan, 100.0]) == pytest.approx(10.0)
    assert median([1.0, math.nan, 3.0]) == 2.0
    assert all(math.isnan(mean([math.nan])) for mean in (arithmetic_mean, geometric_mean, median))


def test_ratios_are_for_positive_quantities_only() -> None:
    differences = {name for name, summary in SUMMARIES.items() if summary.comparison == "difference"}
    assert differences == {name for name in SUMMARIES if name.endswith(("accuracy", "drop"))}
    assert all(summary.meaning for summary in SUMMARIES.values())
