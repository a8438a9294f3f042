"""Tables and figures of the sections: the numbers of the results, rightly arranged."""

import math
from typing import Any

import numpy as np
import pytest
from helpers.made_up_study import EPOCHS, LAYERS, made_up_rows, only, source_of
from scipy.stats import spearmanr

from lightning_topolip.report.formats import RHO, number, over_seeds
from lightning_topolip.report.palette import styles
from lightning_topolip.report.sections.claims import effect_lines
from lightning_topolip.report.sections.depth import depth
from lightning_topolip.report.sections.diagrams import diagrams
from lightning_topolip.report.sections.lipschitz import lipschitz, lipschitz_table
from lightning_topolip.report.sections.maps import maps
from lightning_topolip.report.sections.robustness import accuracy_curves, accuracy_table
from lightning_topolip.report.sections.runs import runs_table, versions_table
from lightning_topolip.report.sections.smoothness_and_robustness import Point, scatter_figure, smoothness_and_robustness
from lightning_topolip.report.source import Source
from lightning_topolip.robustness import wilson_interval
from lightning_topolip.study.judging.claims import Claim
from lightning_topolip.study.judging.results import Results
from lightning_topolip.study.judging.summaries import RunKey
from lightning_topolip.study.judging.verdicts import Verdict


def test_effect_and_interval_have_their_place_on_the_line() -> None:
    smoother = Claim("It is smoother.", summary="topolip", lower="vit", higher="resnet")
    together = Claim("They go together.", correlation=("topolip", "attack_drop"))
    ratio, beyond, rho, none = effect_lines(
        [
            verdict(smoother, "ratio", 0.1, 0.02, 0.5),
            verdict(smoother, "ratio", 1.0, 0.001, 1000.0),
            verdict(together, "rho", 0.5, -0.25, 1.0),
            verdict(smoother, "difference", 0.1, math.nan, math.nan),
        ]
    )
    assert ratio is not None
    assert beyond is not None
    assert rho is not None
    assert ratio.ticks == ("0.1", "1", "10")
    assert (ratio.effect, ratio.high) == pytest.approx((0.0, 50 + 50 * math.log10(0.5)))
    assert (ratio.low, ratio.open_low, ratio.open_high, ratio.claimed) == (0.0, True, False, "left")
    assert (beyond.effect, beyond.low, beyond.high) == (50.0, 0.0, 100.0)
    assert beyond.open_low
    assert beyond.open_high
    assert (rho.effect, rho.low, rho.high, rho.claimed) == (75.0, 37.5, 100.0, "right")
    assert rho.ticks == ("\N{MINUS SIGN}1", "0", "1")
    assert none is None


def verdict(claim: Claim, unit: Any, effect: float, low: float, high: float) -> Verdict:
    return Verdict(claim, "digits", "undecided", effect, low, high, unit, "", "", 6, 2, "")


def test_diagrams_are_in_units_of_the_scale() -> None:
    rows = only(made_up_rows(("digits",), ("vit",), (0,)), "parameters")
    layers = {"blocks.0": {"scale": 4.0, "H0": [[0.0, 4.0], [0.0, 2.0]], "H1": []}}
    source = Source(Results(rows), {}, {"digits/vit": {"seed": 0, "epoch": 1.0, "layers": layers}})
    [gallery] = diagrams(source).blocks
    [drawn] = gallery.panels[0].figure.axes[0].collections  # type: ignore[union-attr]
    assert np.asarray(drawn.get_offsets()).tolist() == [[0.0, 1.0], [0.0, 0.5]]


def test_layers_have_positions_between_input_and_last_layer() -> None:
    rows = only(made_up_rows(("digits",), ("vit", "resnet"), (0,)), "scale")
    places = source_of(rows).positions("digits", "scale")
    assert places["vit", "<input>"] == places["resnet", "<input>"] == 0.0
    assert places["vit", LAYERS["vit"][0]] == pytest.approx(1 / 12)
    assert places["vit", LAYERS["vit"][-1]] == places["resnet", LAYERS["resnet"][-1]] == 1.0


def test_the_signal_is_divided_by_the_noise_of_the_same_analysis() -> None:
    rows = only(made_up_rows(("digits",), ("vit",), (0,)), "noise", "signal")
    [gallery] = depth(source_of(rows)).blocks
    [panel] = gallery.panels  # type: ignore[union-attr]
    values = {(row.quantity, row.epoch): row.value for row in rows}
    drawn = [np.asarray(line.get_ydata()).tolist() for line in panel.figure.axes[0].lines]
    assert [values["signal", epoch] / values["noise", epoch] for epoch in EPOCHS] in drawn


def test_maps_share_a_colour_scale_that_the_input_step_does_not_set() -> None:
    rows = only(made_up_rows(("digits",), ("vit", "resnet"), (0, 1)), "drift")
    [gallery] = maps(source_of(rows)).blocks
    limits = [panel.figure.axes[0].collections[0].get_clim() for panel in gallery.panels]  # type: ignore[union-attr]
    later = [
        row.value for row in rows if row.seed == 0 and row.variant == "scaled W2" and row.layer != LAYERS[row.model][0]
    ]
    assert limits == [(0.0, max(later))] * 2


def test_a_single_seed_has_the_interval_of_its_images() -> None:
    rows = only(made_up_rows(("digits",), ("vit",), (0,)), "accuracy", "images")
    [curve] = accuracy_curves(source_of(rows), "digits", ["fog"])
    clean = next(row.value for row in rows if row.condition == "clean" and row.quantity == "accuracy")
    assert (curve.low[0], curve.high[0]) == pytest.approx(wilson_interval(round(clean * 500), 500))
    assert curve.x.tolist() == [0, 1, 2, 3, 4, 5]


def test_the_accuracy_table_puts_the_worst_corruption_first() -> None:
    rows = only(made_up_rows(("digits",), ("vit", "resnet"), (0, 1, 2)), "accuracy")
    table = accuracy_table(source_of(rows), "digits")
    assert table is not None
    assert [row[0] for row in table.rows][:4] == ["clean", "all corruptions", "jpeg compression", "pixelate"]
    clean = [row.value for row in rows if (row.model, row.condition) == ("vit", "clean")]
    assert table.rows[0][1] == f"{100 * np.mean(clean):.1f} ± {100 * np.std(clean, ddof=1):.1f} %"


def test_images_without_a_gradient_are_counted_below_their_accuracy() -> None:
    accuracies = only(made_up_rows(("digits",), ("vit", "resnet"), (0, 1)), "accuracy")
    attacked = [row for row in accuracies if row.condition == "pgd"]
    counts = [
        row._replace(quantity="masked_gradients", value=40.0 + row.seed if row.model == "vit" else 0.0)
        for row in attacked
    ]
    plain, table = (accuracy_table(source_of(rows), "digits") for rows in (accuracies, [*accuracies, *counts]))
    assert plain is not None
    assert table is not None
    hidden = [place for place, row in enumerate(table.rows) if row[0] == "of these, images without a gradient"]
    assert len(hidden) == len({row.strength for row in attacked})
    assert all(table.rows[place - 1][0].startswith("PGD") for place in hidden)
    assert all(list(table.rows[place][1:]) == ["41", "0"] for place in hidden)
    assert "an upper bound" in table.caption
    assert "gradient" not in plain.caption
    unmasked = accuracy_table(source_of([*accuracies, *(row._replace(value=0.0) for row in counts)]), "digits")
    assert unmasked == plain


def test_every_lipschitz_number_says_which_bound_it_is() -> None:
    rows = only(
        made_up_rows(("digits",), ("vit", "resnet"), (0, 1)), "pairwise_lipschitz", "local_lipschitz", "lipschitz_bound"
    )
    table = lipschitz_table(source_of(rows))
    assert table is not None
    assert all(name.endswith("bound)") for name in table.header[2:])
    assert table.rows[0][2] == over_seeds([1.3**12, 1.3**12])
    assert [row[-1] for row in table.rows] == ["∞", over_seeds([20.0**3 * 40] * 2)]
    gallery = lipschitz(source_of(rows)).blocks[1]
    assert [panel.alt.count("∞") for panel in gallery.panels] == [1, 0]  # type: ignore[union-attr]


def test_runs_without_results_are_listed_with_their_failure() -> None:
    rows = only(made_up_rows(("digits",), ("vit",), (0,)), "topolip", "parameters")
    planned = [
        {"data": "digits", "model": "vit", "seed": 0, "failure": None},
        {"data": "digits", "model": "vit", "seed": 1, "failure": "loss is nan"},
    ]
    table = runs_table(source_of(rows, {"runs": planned}))
    assert [row[-1] for row in table.rows] == ["done", "failed: loss is nan"]
    assert table.rows[0][4] == "5 526 346"


def test_the_page_says_which_engines_computed() -> None:
    engines = ["redzed, checked against giotto-tda's engine", "giotto", None]
    source = source_of([], {"versions": {"numpy": "2.0"}, "runs": [{"engine": engine} for engine in engines]})
    table = versions_table(source)
    assert table is not None
    assert table.rows == [["numpy", "2.0"], ["persistence by", engines[0]], ["persistence by", "giotto"]]


def test_the_correlation_in_the_panel_is_that_of_the_models() -> None:
    rows = only(made_up_rows(("digits", "cifar10"), ("vit", "resnet"), (0, 1)), "topolip", "accuracy")
    models = {"vit": (1.0, 0.01), "resnet": (2.0, 0.03), "third": (4.0, 0.02), "fourth": (3.0, 0.05)}
    more = [
        row._replace(model=name, value=row.value * (factor if row.quantity == "topolip" else 1 - loss * row.strength))
        for row in rows
        if row.model == "vit" and row.data == "digits"
        for name, (factor, loss) in models.items()
    ]
    source = source_of([*more, *(row for row in rows if row.data == "cifar10")])
    gallery = smoothness_and_robustness(source).blocks[0]
    panel = gallery.panels[0]  # type: ignore[union-attr]
    entries = [entry.get_text() for entry in panel.figure.legends[0].get_texts()]
    means = [
        [np.mean([source.summaries[RunKey("digits", model, seed)][name] for seed in (0, 1)]) for model in models]
        for name in ("topolip", "corruption_drop")
    ]
    rho = spearmanr(*means).statistic
    assert 0 < rho < 1
    assert any(entry.startswith(f"digits: Spearman {RHO} = {number(rho, 2)} [") for entry in entries)
    assert any(entry.endswith("], 4 models") for entry in entries)
    assert "cifar10: no rank correlation, 2 models" in entries
    assert len(panel.figure.axes[0].collections) == 12


def test_colours_are_models_and_markers_are_data_sets() -> None:
    points = [Point("digits", "vit", 1.0, 0.1), Point("cifar10", "vit", 2.0, 0.2)]
    figure = scatter_figure(
        points, styles(["vit"]), styles(["digits", "cifar10"]), {"digits": "", "cifar10": ""}, "", "x", "y"
    )
    first, second = figure.axes[0].collections
    assert first.get_facecolor().tolist() == second.get_facecolor().tolist()
    assert first.get_paths()[0].vertices.shape != second.get_paths()[0].vertices.shape
