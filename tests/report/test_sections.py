"""Tables and figures of the sections: the numbers of the results, rightly arranged."""

import math
from dataclasses import asdict, replace
from typing import Any, cast

import numpy as np
import pytest
from helpers.made_up_study import EPOCHS, LAYERS, made_up_rows, only, source_of
from scipy.stats import spearmanr

from lightning_topolip.report.answer import answer
from lightning_topolip.report.palette import styles
from lightning_topolip.report.sections.claims import claims, effect_lines
from lightning_topolip.report.sections.depth import depth
from lightning_topolip.report.sections.diagrams import diagram_figure, diagrams
from lightning_topolip.report.sections.geometry import geometry
from lightning_topolip.report.sections.lipschitz import lipschitz, lipschitz_table
from lightning_topolip.report.sections.maps import maps
from lightning_topolip.report.sections.robustness import accuracy_curves, accuracy_table
from lightning_topolip.report.sections.runs import runs_table, versions_table
from lightning_topolip.report.sections.smoothness_and_robustness import Point, scatter_figure, smoothness_and_robustness
from lightning_topolip.report.sections.summary import mean_and_error, summary_table
from lightning_topolip.report.sections.training import errors_table, training
from lightning_topolip.report.source import Source
from lightning_topolip.robustness import wilson_interval
from lightning_topolip.study.judging.claims import Claim
from lightning_topolip.study.judging.formats import RHO, number, over_seeds
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
    assert (ratio.effect, ratio.low) == pytest.approx((100.0, 50 + 50 * math.log10(2)))
    assert (ratio.high, ratio.open_low, ratio.open_high, ratio.claimed) == (100.0, False, True, "right")
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
    marks = gallery.panels[0].figure.axes[0].lines[0].get_xydata()  # type: ignore[union-attr]
    middles = (marks[::3] + marks[1::3])[:, 1] / 2
    assert middles == pytest.approx([0.5, 1.0])


def test_a_diagram_draws_marks_that_cannot_be_told_apart_once() -> None:
    points = np.random.default_rng(0).uniform(0.2, 0.8, (50, 2))
    crowded = np.concatenate([points, points + 1e-6])
    figure = diagram_figure({"H1": crowded}, 1.0, "", "")
    starts = np.asarray(figure.axes[0].lines[0].get_xydata())[::3]
    assert len(starts) == 50
    assert np.abs(starts[:, None] - crowded).sum(axis=2).min(axis=0).max() < 1e-5
    assert [entry.get_text() for entry in figure.legends[0].get_texts()] == ["H1, loops: 100"]


def test_dashes_that_touch_are_one_and_cover_every_death() -> None:
    deaths = np.concatenate([np.linspace(0.3, 0.5, 200), [0.8, 0.9]])
    pairs = np.stack([np.zeros_like(deaths), deaths], axis=1)
    figure = diagram_figure({"H0": pairs}, 1.0, "", "")
    marks = np.asarray(figure.axes[0].lines[0].get_xydata())
    low, high = marks[::3, 1], marks[1::3, 1]
    assert len(low) == 3
    assert [((low <= death) & (death <= high)).sum() for death in deaths] == [1] * len(deaths)
    assert (high - low).sum() == pytest.approx(0.2 + 3 * 0.005)


def test_layers_have_positions_between_input_and_last_layer() -> None:
    rows = only(made_up_rows(("digits",), ("vit", "resnet"), (0,)), "scale")
    places = source_of(rows).positions("digits", "scale")
    assert places["vit", "<input>"] == places["resnet", "<input>"] == 0.0
    assert places["vit", LAYERS["vit"][0]] == pytest.approx(1 / 12)
    assert places["vit", LAYERS["vit"][-1]] == places["resnet", LAYERS["resnet"][-1]] == 1.0


def test_the_signal_is_drawn_against_that_of_an_even_network() -> None:
    rows = only(made_up_rows(("digits",), ("vit",), (0,)), "signal")
    gallery = training(source_of(rows)).blocks[0]
    [panel] = gallery.panels  # type: ignore[union-attr]
    drawn = [np.asarray(line.get_ydata()).tolist() for line in panel.figure.axes[0].lines]
    assert [row.value for row in rows] in drawn
    assert [1, 1] in drawn


def test_the_shade_of_a_smoothness_curve_is_two_standard_errors() -> None:
    rows = [row for row in only(made_up_rows(("digits",), ("vit",), (0,)), "drift") if row.variant == "scaled W2"]
    gallery = depth(source_of(rows)).blocks[0]
    [panel] = gallery.panels  # type: ignore[union-attr]
    [shade] = panel.figure.axes[0].patches
    edge = {round(y, 12) for y in shade.get_path().vertices[:, 1].tolist()}
    later = [row for row in rows if row.epoch == EPOCHS[-1]][1:]
    assert {round(row.value + side * row.error, 12) for row in later for side in (-2, 2)} <= edge


def test_the_input_step_does_not_set_the_scale_and_says_its_number() -> None:
    rows = [row for row in only(made_up_rows(("digits",), ("vit",), (0,)), "drift") if row.variant == "scaled W2"]
    gallery = depth(source_of(rows)).blocks[0]
    [panel] = gallery.panels  # type: ignore[union-attr]
    axes = panel.figure.axes[0]
    first, *later = [row for row in rows if row.epoch == EPOCHS[-1]]
    top = axes.get_ylim()[1]
    assert max(row.value + 2 * row.error for row in later) < top < first.value
    assert f"\N{UPWARDS ARROW} {number(first.value)}" in [note.get_text() for note in axes.texts]


def test_path_lengths_over_epochs_are_those_of_the_model_and_over_depth_those_of_the_layers() -> None:
    rows = only(made_up_rows(("digits",), ("vit",), (0,)), "path_length", "accuracy")
    gallery = training(source_of(rows)).blocks[0]
    panels = {panel.alt.split(" against")[0].split(".")[0]: panel for panel in gallery.panels}  # type: ignore[union-attr]
    drawn = {name: panel.figure.axes[0].lines[0].get_ydata().tolist() for name, panel in panels.items()}
    lengths = [row for row in rows if row.quantity == "path_length"]
    assert drawn["Path length: how far a layer moved in all"] == [row.value for row in lengths if not row.layer]
    assert drawn["Path length at equal accuracy"] == [row.value for row in lengths if not row.layer]
    of_layers = "Path length of each layer over the whole training"
    assert drawn[of_layers] == [row.value for row in lengths if row.layer]
    assert panels[of_layers].figure.axes[0].lines[0].get_xdata().tolist() == pytest.approx(np.arange(1, 13) / 12)


def test_the_score_has_both_errors_in_the_table() -> None:
    rows = only(made_up_rows(("digits",), ("vit",), (0, 1, 2)), "topolip", "noise", "signal")
    table = errors_table(source_of(rows))
    assert table is not None
    last = [row for row in rows if row.epoch == EPOCHS[-1] and row.variant == "scaled W2"]
    of = {name: [row for row in last if row.quantity == name] for name in ("topolip", "noise", "signal")}
    error = float(np.sqrt(np.mean([row.error**2 for row in of["topolip"]])))
    columns = [over_seeds([row.value for row in of[name]]) for name in of]
    assert table.rows == [["digits", "vit", columns[0], number(error, 2), *columns[1:]]]


def test_the_radius_of_the_input_is_apart_from_the_other_radii() -> None:
    rows = only(made_up_rows(("digits",), ("vit",), (0,)), "covering_number", "packing_number")
    gallery = geometry(source_of(rows)).blocks[0]
    over_radius, over_depth = gallery.panels  # type: ignore[union-attr]
    of = [row for row in rows if row.quantity == "covering_number"]
    curve = [row.value for row in of if not row.variant and row.layer == LAYERS["vit"][-1]]
    assert over_radius.figure.axes[0].lines[0].get_ydata().tolist() == curve
    assert over_depth.figure.axes[0].lines[0].get_ydata().tolist() == [row.value for row in of if row.variant]


def test_what_is_not_asked_of_the_data_is_apart_and_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = {"summary": "topolip", "lower": "vit", "higher": "resnet"}
    asked, not_asked = (Claim(says, **comparison) for says in ("Asked.", "Not asked."))
    verdicts = [
        verdict(asked, "ratio", 1.0, 0.5, 2.0),
        replace(
            verdict(not_asked, "ratio", 1.0, math.nan, math.nan),
            verdict=cast("Any", "not asked of this data"),
            remark="there is one seed",
        ),
    ]
    monkeypatch.setattr("lightning_topolip.report.source.judge", lambda *_: verdicts)
    tally, _, judgement, table = claims(source_of([], {"claims": [asdict(asked), asdict(not_asked)]})).blocks
    assert tally.text == "Of 1 verdict, 1 is undecided."  # type: ignore[union-attr]
    assert judgement.says == "Asked."  # type: ignore[union-attr]
    assert table.rows == [["Not asked.", "digits", "there is one seed"]]  # type: ignore[union-attr]


def test_maps_share_a_colour_scale_that_the_input_step_does_not_set() -> None:
    rows = only(made_up_rows(("digits",), ("vit", "resnet"), (0, 1)), "drift")
    [gallery] = maps(source_of(rows)).blocks
    limits = [panel.figure.axes[0].images[0].get_clim() for panel in gallery.panels]  # type: ignore[union-attr]
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
    assert [row[0] for row in table.rows][:4] == ["clean", "all corruptions", "JPEG compression", "pixelate"]
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
    assert list(panel.keys) == ["vit", "resnet", "third", "fourth"]


def test_colours_are_models_and_markers_are_data_sets() -> None:
    points = [Point("digits", "vit", 1.0, 0.1), Point("cifar10", "vit", 2.0, 0.2)]
    figure = scatter_figure(
        points, styles(["vit"]), styles(["digits", "cifar10"]), {"digits": "", "cifar10": ""}, "", "x", "y"
    )
    first, second = figure.axes[0].collections
    assert first.get_facecolor().tolist() == second.get_facecolor().tolist()
    assert first.get_paths()[0].vertices.shape != second.get_paths()[0].vertices.shape


def test_the_summary_has_the_mean_and_the_error_of_seeds_and_probe() -> None:
    rows = only(made_up_rows(("digits",), ("vit", "resnet"), (0, 1, 2)), "topolip", "accuracy")
    table = summary_table(source_of(rows))
    assert table is not None
    scores = [row for row in rows if (row.quantity, row.variant, row.epoch) == ("topolip", "scaled W2", EPOCHS[-1])]
    of_vit = [row for row in scores if row.model == "vit"]
    values = [row.value for row in of_vit]
    error = math.sqrt(np.var(values, ddof=1) / 3 + np.mean([row.error**2 for row in of_vit]))
    assert table.header[table.header.index("TopoLip")] == "TopoLip"
    assert table.rows[0][table.header.index("TopoLip")] == f"{number(float(np.mean(values)))} ± {number(error, 2)}"
    assert [row[0] for row in table.rows] == ["vit", "resnet"]


def test_a_single_seed_has_the_error_on_the_probe_alone() -> None:
    assert mean_and_error([2.0], [0.5]) == (2.0, 0.5)
    assert mean_and_error([2.0, math.nan], [math.nan, 0.1])[0] == 2.0
    assert math.isnan(mean_and_error([2.0], [math.nan])[1])
    assert mean_and_error([1.0, 3.0], [math.nan, math.nan]) == (2.0, pytest.approx(1.0))


def test_the_answer_quotes_the_first_claim_of_each_topic() -> None:
    rows = only(made_up_rows(("digits",), ("vit", "resnet"), (0, 1, 2)), "topolip", "accuracy", "total_variance")
    claims_made = [
        Claim("More variance.", summary="total_variance", lower="resnet", higher="vit"),
        Claim("Smoother.", summary="topolip", lower="vit", higher="resnet"),
        Claim("Not smoother.", summary="topolip", lower="resnet", higher="vit"),
        Claim("Loses less.", summary="attack_drop", lower="vit", higher="resnet"),
    ]
    found = answer(source_of(rows, {"claims": [asdict(claim) for claim in claims_made]}))
    assert found.sentence.startswith("Of 4 verdicts, ")
    assert [finding.central[0].claim for finding in found.findings] == ["Smoother.", "Loses less."]
    assert [bool(finding.counts) for finding in found.findings] == [True, False]
    only_first = answer(source_of(rows, {"claims": [asdict(claims_made[0])]}))
    assert [finding.central[0].claim for finding in only_first.findings] == ["More variance."]
    assert answer(source_of(rows)).findings == []
