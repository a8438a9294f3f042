import math
from collections.abc import Sequence
from typing import Any

import pytest

from lightning_topolip.study.judging.claims import Claim
from lightning_topolip.study.judging.results import Results, Row
from lightning_topolip.study.judging.verdicts import NOT_ASKED, Verdict, judge

STEADIER = Claim("The ViT is steadier.", summary="path_length", lower="vit", higher="resnet")


def run(
    model: str,
    seed: int,
    accuracies: Sequence[float],
    lengths: Sequence[float],
    epochs: Sequence[float] | None = None,
    error: float = math.nan,
) -> list[Row]:
    """Accuracies at every snapshot, and the lengths of the path at every one after the first."""
    epochs = range(len(accuracies)) if epochs is None else epochs
    rows = [
        Row("digits", model, seed, epoch, "accuracy", "", "", "validation", 0.0, accuracy)
        for epoch, accuracy in zip(epochs, accuracies, strict=True)
    ]
    rows += [
        Row("digits", model, seed, epoch, "path_length", "scaled W2", "", "", 0.0, length, error)
        for epoch, length in zip(epochs[1:], lengths, strict=True)
    ]
    return rows


def judged(*runs: list[Row]) -> Verdict:
    [verdict] = judge([STEADIER], Results(row for rows in runs for row in rows))
    return verdict


def quick(factor: float, seed: int) -> list[Row]:
    """A training of two epochs that ends at 80 %."""
    return run("resnet", seed, [0.1, 0.4, 0.8], [4.0 * factor, 6.0 * factor])


def test_paths_count_until_the_lower_one_of_the_mean_final_accuracies() -> None:
    slow = [run("vit", seed, [0.1, 0.3, 0.5, 0.6], [1.0, 2.0, 3.0 + 0.1 * seed]) for seed in range(2)]
    verdict = judged(*slow, *(quick(1 + 0.1 * seed, seed) for seed in range(2)))
    # the ResNet reaches 60 % half of the way from 40 to 80 %
    halfway = [5.0, 5.5]
    assert verdict.effect == pytest.approx(math.sqrt(3.0 * 3.1 / math.prod(halfway)))
    assert (verdict.verdict, verdict.remark) == ("holds", "until the validation accuracy is 0.6")
    assert verdict.second == "resnet 5.25 ± 0.35 over 2 seeds"


def test_a_longer_training_beyond_the_level_changes_nothing() -> None:
    slow = [run("vit", seed, [0.1, 0.3, 0.5, 0.6], [1.0, 2.0, 3.0 + 0.1 * seed]) for seed in range(2)]
    short = [run("resnet", seed, [0.1, 0.4, 0.8], [4.0, 6.0 + 0.2 * seed]) for seed in range(2)]
    long = [run("resnet", s, [0.1, 0.4, 0.8, 0.7, 0.9], [4.0, 6.0 + 0.2 * s, 50.0, 90.0]) for s in range(2)]
    assert judged(*slow, *short) == judged(*slow, *long)


def test_a_dip_of_the_accuracy_does_not_shorten_a_path() -> None:
    even = [run("vit", seed, [0.1, 0.5, 0.5, 0.7], [1.0, 2.0, 3.0 + 0.1 * seed]) for seed in range(2)]
    dipped = [run("vit", seed, [0.1, 0.5, 0.2, 0.7], [1.0, 2.0, 3.0 + 0.1 * seed]) for seed in range(2)]
    other = [run("resnet", seed, [0.1, 0.6, 0.6], [4.0 + seed, 6.0 + seed]) for seed in range(2)]
    # 60 % lies halfway between the largest accuracies so far, 50 and 70 %
    verdict = judged(*dipped, *other)
    assert verdict == judged(*even, *other)
    assert verdict.first == "vit 2.52 ± 0.035 over 2 seeds"


def test_a_run_that_never_reaches_the_level_counts_in_whole() -> None:
    ends = (0.5, 0.7)  # their mean is the level
    slow = [run("vit", seed, [0.1, 0.4, end], [1.0, 2.0 + seed]) for seed, end in enumerate(ends)]
    verdict = judged(*slow, *(quick(1 + 0.1 * seed, seed) for seed in range(2)))
    paths = [2.0, 1.0 + 2 / 3 * 2.0]
    ratio = math.sqrt(math.prod(paths) / (5.0 * 5.5))
    assert verdict.effect == pytest.approx(ratio)
    assert verdict.remark == "until the validation accuracy is 0.6, which 1 run did not reach"


def test_errors_are_interpolated_like_the_paths() -> None:
    slow = [run("vit", seed, [0.1, 0.3, 0.6], [1.0, 2.0 + seed], error=0.02) for seed in range(2)]
    fast = [run("resnet", seed, [0.1, 0.9], [8.0 + seed], error=0.08) for seed in range(2)]
    verdict = judged(*slow, *fast)
    assert verdict.first.endswith("± 0.02 on the probe")
    assert verdict.second.endswith("± 0.05 on the probe")  # from 0 at the first snapshot, 5/8 of the way


def test_a_shorter_last_interval_does_not_count() -> None:
    slow = [run("vit", s, [0.1, 0.3, 0.6], [1.0, 2.0 + s], epochs=[0, 2, 4]) for s in range(2)]
    even = [run("resnet", s, [0.1, 0.4, 0.5], [4.0, 6.0 + s], epochs=[0, 2, 4]) for s in range(2)]
    rest = [run("resnet", s, [0.1, 0.4, 0.5, 0.9], [4.0, 6.0 + s, 99.0], epochs=[0, 2, 4, 5]) for s in range(2)]
    verdict = judged(*slow, *rest)
    assert verdict == judged(*slow, *even)
    assert verdict.remark == "until the validation accuracy is 0.5"


@pytest.mark.parametrize("epochs", [[0, 1, 2], [0, 2, 6], [0, 2, 6, 8]])
def test_paths_through_snapshots_at_other_intervals_are_not_asked(epochs: list[float]) -> None:
    lengths = [4.0, 6.0, 7.0][: len(epochs) - 1]
    slow = [run("vit", s, [0.1, 0.3, 0.6], [1.0, 2.0 + s], epochs=[0, 2, 4]) for s in range(2)]
    other = [run("resnet", s, [0.1, 0.4, 0.5, 0.9][: len(epochs)], lengths, epochs=epochs) for s in range(2)]
    verdict = judged(*slow, *other)
    assert verdict.verdict == NOT_ASKED
    assert verdict.remark == "the snapshots have different intervals, and a path through more snapshots is longer"


def test_an_accuracy_that_a_run_has_before_training_is_not_asked() -> None:
    slow = [run("vit", s, [0.5, 0.4, 0.3], [1.0, 2.0 + s]) for s in range(2)]
    verdict = judged(*slow, *(quick(1 + 0.1 * s, s) for s in range(2)))
    assert (verdict.verdict, verdict.remark) == (NOT_ASKED, "a run has the common accuracy of 0.3 before training")


@pytest.mark.parametrize("missing", ["accuracy", "path_length"])
def test_paths_that_were_not_measured_are_not_asked(missing: str) -> None:
    slow = [run("vit", s, [0.1, 0.4, 0.6], [1.0, 2.0 + s]) for s in range(2)]
    fast = [[row for row in quick(1 + 0.1 * s, s) if row.quantity != missing] for s in range(2)]
    verdict = judged(*slow, *fast)
    assert verdict.verdict == NOT_ASKED
    assert verdict.remark == "path length was not measured for resnet; skipped 2 runs without a value"


def course(model: str, seed: int, accuracies: Sequence[float], corrupted: Sequence[float]) -> list[Row]:
    """Accuracies on validation, clean test and corrupted test images at every snapshot."""
    return [
        Row("digits", model, seed, epoch, "accuracy", "", "", condition, strength, value)
        for epoch, (clean, fog) in enumerate(zip(accuracies, corrupted, strict=True))
        for condition, strength, value in (("validation", 0.0, clean), ("clean", 0.0, clean), ("fog", 1.0, fog))
    ]


def test_any_number_can_be_compared_at_equal_accuracy() -> None:
    """The ViT is at 60 % at its end, the ResNet half of the way from 40 to 80 %."""
    rows = [row for seed in range(3) for row in course("vit", seed, [0.1, 0.6], [0.1, 0.40 + 0.01 * seed])]
    rows += [row for s in range(3) for row in course("resnet", s, [0.1, 0.4, 0.8], [0.1, 0.3, 0.3 + 0.01 * s])]
    drops = {"summary": "corruption_drop", "lower": "vit", "higher": "resnet"}
    after, equal = judge([Claim("After.", **drops), Claim("Equal.", **drops, when="equal accuracy")], Results(rows))
    assert after.effect == pytest.approx(0.19 - 0.49)
    assert equal.effect == pytest.approx(0.19 - (0.1 + 0.49) / 2)
    assert (after.remark, equal.remark) == ("", "where the validation accuracy is 0.6")


def test_a_number_of_the_last_snapshot_alone_is_not_compared_at_equal_accuracy() -> None:
    rows = [row for seed in range(3) for row in course("vit", seed, [0.1, 0.5, 0.6], [0.1, 0.2, 0.4 + 0.01 * seed])]
    rows += [row for seed in range(3) for row in course("resnet", seed, [0.1, 0.4, 0.8], [0.1, 0.3, 0.3 + 0.01 * seed])]
    rows = [row for row in rows if row.condition == "validation" or row.epoch == 2]
    claim = Claim("Equal.", summary="corruption_drop", lower="vit", higher="resnet", when="equal accuracy")
    [verdict] = judge([claim], Results(rows))
    assert verdict.verdict == NOT_ASKED
    assert verdict.remark.startswith("accuracy lost to corruption was not measured for vit")


def test_numbers_before_training() -> None:
    rows = [
        Row("digits", model, seed, epoch, "topolip", "scaled W2", "", "", 0.0, value + 0.01 * seed)
        for model, values in {"vit": (0.1, 0.9), "resnet": (0.3, 0.2)}.items()
        for seed in range(3)
        for epoch, value in enumerate(values)
    ]
    models = {"summary": "topolip", "lower": "vit", "higher": "resnet"}
    end, start = judge([Claim("End.", **models), Claim("Start.", **models, when="start")], Results(rows))
    assert (end.verdict, end.remark) == ("does not hold", "")
    assert (start.verdict, start.remark) == ("holds", "before training")
    assert start.first == "vit 0.11 ± 0.01 over 3 seeds"


def test_a_correlation_among_some_models() -> None:
    rows = []
    for index, model in enumerate(["resnet_a", "resnet_b", "resnet_c", "resnet_d", "vit_a", "vit_b", "vit_c", "vit_d"]):
        sign = 1 if model.startswith("resnet") else -1
        rows += [
            Row("digits", model, 0, 1.0, "topolip", "scaled W2", "", "", 0.0, 1.0 + sign * index),
            Row("digits", model, 0, 1.0, "speed_mean", "scaled W2", "", "", 0.0, float(index % 4)),
        ]
    claims = [
        Claim("Together.", correlation=("topolip", "speed_mean"), among=pattern) for pattern in ("resnet*", "vit*")
    ]
    resnets, vits = judge(claims, Results(rows))
    assert (resnets.effect, resnets.models, resnets.runs) == (pytest.approx(1.0), 4, 4)
    assert (vits.effect, vits.models) == (pytest.approx(-1.0), 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"summary": "topolip", "lower": "a", "higher": "b", "among": "a*"}, "`among` must be omitted in a comparison"),
        ({"correlation": ("topolip", "accuracy"), "when": "start"}, "`when` must be omitted in a correlation"),
        ({"summary": "topolip", "lower": "a", "higher": "b", "when": "never"}, "`when` must be one of"),
    ],
)
def test_what_a_claim_cannot_ask_is_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Claim("So.", **options)
