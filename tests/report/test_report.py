"""The report of a study: complete, self-contained, and true to the results, also where these are partial."""

import json
import math
import re
import socket
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from lightning_topolip.report import write_report
from lightning_topolip.report.curves import curves
from lightning_topolip.report.formats import RHO, number, over_seeds
from lightning_topolip.report.lines import lines
from lightning_topolip.report.page import data_uri, render
from lightning_topolip.report.palette import looks
from lightning_topolip.report.sections.depth import depth
from lightning_topolip.report.sections.diagrams import as_points, diagram
from lightning_topolip.report.sections.lipschitz import lipschitz, lipschitz_table
from lightning_topolip.report.sections.maps import maps
from lightning_topolip.report.sections.robustness import accuracy_curves, accuracy_table
from lightning_topolip.report.sections.runs import runs_table
from lightning_topolip.report.sections.smoothness_and_robustness import Run as Point
from lightning_topolip.report.sections.smoothness_and_robustness import link, scatter
from lightning_topolip.report.source import Source
from lightning_topolip.report.tracks import tracks
from lightning_topolip.robustness import CORRUPTIONS, wilson_interval
from lightning_topolip.study.judging.claims import Claim, claims_of
from lightning_topolip.study.judging.results import Results, Row
from lightning_topolip.study.judging.summaries import RunKey
from lightning_topolip.study.judging.verdicts import Verdict, judge

LAYERS = {
    "vit": [f"network.blocks.{index}" for index in range(12)],
    "resnet": [f"network.layer{stage}.{index}" for stage in (1, 2, 3) for index in range(3)],
}
EPOCHS = (0.0, 1.0, 2.0, 4.0, 8.0)
FORMS = ("scaled W2", "scaled W1", "scaled bottleneck", "raw W2", "raw W1", "raw bottleneck")
VOID = {"path", "meta", "img", "br", "link", "input", "hr"}
SECTIONS = (
    "found",
    "runs",
    "depth",
    "training",
    "maps",
    "diagrams",
    "geometry",
    "lipschitz",
    "robustness",
    "link",
    "limits",
    "numbers",
)


class Run:
    """Rows of one made-up run."""

    def __init__(self, data: str, model: str, seed: int) -> None:
        self.key = (data, model, seed)
        self.layers = LAYERS[model]
        self.rng = np.random.default_rng([len(data), len(model), seed])
        self.rows: list[Row] = []
        self.rough = 0.6 if model == "vit" else 1.0

    def add(
        self,
        epoch: float,
        quantity: str,
        value: float,
        variant: str = "",
        layer: str = "",
        condition: str = "",
        strength: float = 0.0,
    ) -> None:
        data, model, seed = self.key
        self.rows.append(Row(data, model, seed, epoch, quantity, variant, layer, condition, strength, float(value)))

    def drifts(self) -> np.ndarray:
        depth = np.linspace(0, 1, len(self.layers))
        shape = 0.15 + 0.1 * self.rough * np.sin(7 * depth) ** 2
        shape[0] *= 4
        return shape * self.rng.lognormal(0, 0.12, len(depth))

    def epoch(self, epoch: float, first: bool) -> None:
        learned = 1 - math.exp(-epoch / 2)
        self.add(epoch, "accuracy", 0.1 + 0.7 * learned * self.rng.uniform(0.95, 1), condition="validation")
        for form in FORMS:
            factor = 30.0 if form.startswith("raw") else 1.0
            drifts = self.drifts() * factor * (1 + 0.4 * learned)
            self.add(epoch, "topolip", np.abs(np.diff(drifts[1:])).mean(), form)
            self.add(epoch, "speed_mean", drifts[1:].mean(), form)
            self.add(epoch, "speed_max", drifts[1:].max(), form)
            for layer, drift in zip(self.layers, drifts, strict=True):
                self.add(epoch, "drift", drift, form, layer)
        for part, share in (("H0", 0.8), ("H1", 0.6)):
            for layer, drift in zip(self.layers, self.drifts(), strict=True):
                self.add(epoch, "drift", share * drift, f"scaled W2 {part}", layer)
        self.add(epoch, "noise", 0.04 * self.rng.uniform(0.8, 1.2), "scaled W2")
        self.add(epoch, "signal", 0.12 * self.rng.uniform(0.8, 1.2), "scaled W2")
        self.add(epoch, "input_drift", 0.6 * self.rng.uniform(0.8, 1.2), "scaled W2")
        for index, layer in enumerate(["<input>", *self.layers]):
            if not first:
                moved = 0.0 if index == 0 else 0.3 * math.exp(-epoch / 3) * self.rng.uniform(0.5, 1.5)
                self.add(epoch, "epoch_drift", moved, "scaled W2", layer)
                self.add(epoch, "epoch_drift", 30 * moved, "raw W2", layer)
            self.add(epoch, "scale", 3 + index, layer=layer)
            self.add(epoch, "total_variance", 40 * 1.6**index * self.rng.uniform(0.8, 1.2), layer=layer)
            self.add(epoch, "two_nn_dimension", 12 - 0.5 * index * self.rough + self.rng.normal(0, 0.5), layer=layer)
            self.add(epoch, "participation_ratio", 9 - 0.4 * index + self.rng.normal(0, 0.4), layer=layer)
            self.add(epoch, "covering_dimension", 5 - 0.2 * index + self.rng.normal(0, 0.2), layer=layer)
            if index:
                self.add(epoch, "pairwise_lipschitz", 1.3**index, "from input", layer)
                self.add(epoch, "pairwise_lipschitz", 2 + self.rough, "step", layer)

    def end(self, epoch: float) -> None:
        for layer in [*self.layers, "<output>", "<network>"]:
            whole = 20.0 if layer == "<network>" else 1.0
            local = whole * 3 * self.rng.uniform(0.5, 1.5)
            self.add(epoch, "local_lipschitz", local, "max", layer)
            self.add(epoch, "local_lipschitz", 0.6 * local, "mean", layer)
            loose = math.inf if self.key[1] == "vit" and layer in (self.layers[2], "<network>") else whole**3 * 40
            self.add(epoch, "lipschitz_bound", loose, "upper", layer)
        for layer in ["<input>", *self.layers]:
            for radius in np.linspace(0.1, 1.5, 8).tolist():
                upper = max(256 * math.exp(-4 * radius * self.rough), 1)
                self.add(epoch, "covering_number", round(upper), layer=layer, strength=radius)
                self.add(epoch, "packing_number", max(round(0.6 * upper), 1), layer=layer, strength=radius)
        clean = 0.8 * self.rng.uniform(0.95, 1)
        self.add(epoch, "accuracy", clean, condition="clean")
        self.add(epoch, "images", 500, condition="clean")
        for place, name in enumerate(CORRUPTIONS):
            for severity in range(1, 6):
                lost = severity * (0.02 + 0.006 * place) * self.rough
                self.add(epoch, "accuracy", max(clean - lost, 0.1), condition=name, strength=severity)
        for attack, force in (("fgsm", 0.7), ("pgd", 1.0)):
            for radius in (0.5, 1.0, 2.0, 4.0, 8.0):
                value = clean * math.exp(-force * radius * self.rough / 2)
                self.add(epoch, "accuracy", value, condition=attack, strength=radius)
        for family, strengths in (("noise", (0.04, 0.08, 0.16)), ("fog", (1, 3, 5)), ("pgd", (1, 2, 4, 8))):
            for strength in strengths:
                for index, layer in enumerate(["<input>", *self.layers]):
                    reach = 0.2 * strength / max(strengths) * (1 + 0.1 * index * self.rough)
                    at = {"variant": "scaled W2", "layer": layer, "condition": family, "strength": strength}
                    self.add(epoch, "perturbation_drift", reach, **at)
                    self.add(epoch, "perturbation_displacement", reach * self.rng.uniform(0.9, 1.1), **at)
                    self.add(epoch, "perturbation_gain", 1 + 0.1 * index * self.rough, **at)
        self.add(epoch, "parameters", 5_526_346 if self.key[1] == "vit" else 272_474)


def made_up_rows(data: tuple[str, ...], models: tuple[str, ...], seeds: tuple[int, ...]) -> list[Row]:
    rows = []
    for key in [(d, m, s) for d in data for m in models for s in seeds]:
        run = Run(*key)
        for epoch in EPOCHS:
            run.epoch(epoch, first=epoch == EPOCHS[0])
        run.end(EPOCHS[-1])
        rows += run.rows
    return rows


def made_up_diagrams(data: tuple[str, ...], models: tuple[str, ...]) -> dict[str, object]:
    rng = np.random.default_rng(0)
    kept = {}
    for key in [(d, m) for d in data for m in models]:
        names = LAYERS[key[1]]
        layers = {}
        for layer in (names[0], names[len(names) // 2], names[-1]):
            births = rng.uniform(2, 4, 60)
            layers[layer] = {
                "scale": 5.0,
                "H0": [[0.0, death] for death in rng.uniform(1, 4, 255).tolist()],
                "H1": np.stack([births, births + rng.exponential(0.3, 60)], axis=1).tolist(),
            }
        kept["/".join(key)] = {"seed": 0, "epoch": EPOCHS[-1], "layers": layers}
    return kept


def made_up_about(data: tuple[str, ...], models: tuple[str, ...], seeds: tuple[int, ...]) -> dict[str, object]:
    return {
        "name": "vit_vs_resnet",
        "title": "Is smoothness the key to robustness?",
        "question": "Do attention models carry their data more evenly than convolution, and are they more robust?",
        "command": "topolip study --config examples/vit_vs_resnet.yaml --size short",
        "config": {"title": "Is smoothness the key to robustness?", "seeds": list(seeds), "note": "<b> & more"},
        "versions": {"torch": "2.14.1", "lightning": "2.6.0", "lightning_topolip": "0.3.0"},
        "machine": "Linux, 2 cores",
        "runs": [
            {
                "data": d,
                "model": m,
                "seed": s,
                "epochs": 8,
                "parameters": 5_526_346 if m == "vit" else 272_474,
                "seconds training": 123.4,
                "seconds measuring": 45.6,
                "failure": None,
            }
            for d in data
            for m in models
            for s in seeds
        ],
        "claims": [
            {
                "says": "The ViT carries data more evenly than the ResNet: its TopoLip is lower.",
                "source": "arXiv 2410.17628, section 4",
                "summary": "topolip",
                "lower": "vit",
                "higher": "resnet",
            },
            {
                "says": "Smoothness goes with robustness: the lower TopoLip, the less accuracy corruptions cost.",
                "correlation": ["topolip", "corruption_drop"],
                "sign": "positive",
            },
            {
                "says": "The ResNet has the lower intrinsic dimension.",
                "summary": "two_nn_dimension",
                "lower": "resnet",
                "higher": "vit",
            },
        ],
    }


def write_study(
    folder: Path,
    rows: list[Row],
    about: dict[str, object] | None = None,
    diagrams: dict[str, object] | None = None,
) -> Path:
    Results(rows).write(folder / "results.csv")
    if about is not None:
        (folder / "about.json").write_text(json.dumps(about))
    if diagrams is not None:
        (folder / "diagrams.json").write_text(json.dumps(diagrams))
    return folder


def whole_study(
    folder: Path,
    data: tuple[str, ...] = ("digits", "cifar10"),
    models: tuple[str, ...] = ("vit", "resnet"),
    seeds: tuple[int, ...] = (0, 1, 2),
) -> Path:
    rows = made_up_rows(data, models, seeds)
    return write_study(folder, rows, made_up_about(data, models, seeds), made_up_diagrams(data, models))


class Page(HTMLParser):
    """What a browser would make of a page; every element must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: dict[str, list[str]] = {}
        self.cells: list[str] = []
        self.section = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "section":
            self.section = dict(attrs)["id"] or ""
        if tag in {"td", "th"}:
            self.cells.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.setdefault(self.section, []).append(data.strip())
        if self.open and self.open[-1] in {"td", "th"}:
            self.cells[-1] += data

    def text(self, section: str) -> str:
        return " ".join(word for word in self.words.get(section, []) if word)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def source_of(rows: list[Row], about: dict[str, object] | None = None) -> Source:
    return Source(Results(rows), about or {}, {})


def only(rows: list[Row], *quantities: str) -> list[Row]:
    return [row for row in rows if row.quantity in quantities]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole_study(tmp_path_factory.mktemp("study"), ("digits",))


@pytest.fixture(scope="module")
def text(study: Path) -> str:
    return write_report(study).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_every_section_is_there_and_in_the_contents(page: Page) -> None:
    assert tuple(section["id"] for section in page.all("section")) == SECTIONS
    assert [link_["href"] for link_ in page.all("a")] == [f"#{name}" for name in SECTIONS]
    assert page.all("html") == [{"lang": "en"}]
    assert not any("These results hold no" in page.text(name) for name in SECTIONS)


def test_nothing_is_fetched_from_elsewhere(text: str, page: Page) -> None:
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[\w+/=]+", "", text))
    assert not page.all("script")
    assert not page.all("link")
    images = [image["src"] or "" for image in page.all("img")]
    assert all(image.startswith("data:image/") for image in images)
    drawings = [b64decode(image.partition(",")[2]).decode() for image in images if image.startswith("data:image/svg")]
    assert drawings
    for drawing in drawings:
        assert not re.search(r"(href|src)=\"(?!#|data:)|url\((?!#)", drawing)


def test_the_page_stays_small(text: str) -> None:
    assert len(text) < 3_000_000


def test_every_figure_has_a_text_and_a_size(page: Page) -> None:
    images = page.all("img")
    assert len(images) > 30
    texts = [image["alt"] or "" for image in images]
    assert min(map(len, texts)) > 30
    assert len(set(texts)) > 0.9 * len(texts)
    assert all(int(image["width"] or 0) > 200 and int(image["height"] or 0) > 200 for image in images)


def test_verdicts_are_those_of_the_study(study: Path, page: Page) -> None:
    about = json.loads((study / "about.json").read_text())
    verdicts = judge(claims_of(about["claims"]), Results.read(study / "results.csv"))
    badges = [attributes for attributes in page.all("span") if "badge" in (attributes.get("class") or "")]
    assert [badge["class"] for badge in badges] == [
        f"badge {verdict.verdict.replace(' ', '-')}" for verdict in verdicts
    ]
    found = page.text("found")
    for verdict in verdicts:
        assert verdict.claim.says in found
        together = f"{verdict.models} models, each the mean of its seeds, {verdict.runs} runs"
        assert (together if verdict.claim.correlation else f"{verdict.first} against {verdict.second}") in found
        known = f"{number(verdict.low)} to {number(verdict.high)}"
        assert ("not known" if math.isnan(verdict.effect) else known) in found


def test_an_effect_lies_on_its_line_where_its_interval_says() -> None:
    smoother = Claim("It is smoother.", summary="topolip", lower="vit", higher="resnet")
    together = Claim("They go together.", correlation=("topolip", "attack_drop"))
    ratio, beyond, rho, none = tracks(
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
    assert ratio.ends == ("0.1", "1", "10")
    assert (ratio.effect, ratio.high) == pytest.approx((0.0, 50 + 50 * math.log10(0.5)))
    assert (ratio.low, ratio.open_low, ratio.open_high, ratio.claimed) == (0.0, True, False, "left")
    assert (beyond.effect, beyond.low, beyond.high) == (50.0, 0.0, 100.0)
    assert beyond.open_low
    assert beyond.open_high
    assert (rho.effect, rho.low, rho.high, rho.claimed) == (75.0, 37.5, 100.0, "right")
    assert rho.ends == ("\N{MINUS SIGN}1", "0", "1")
    assert none is None


def verdict(claim: Claim, unit: Any, effect: float, low: float, high: float) -> Verdict:
    return Verdict(claim, "digits", "undecided", effect, low, high, unit, "", "", 6, 2, "")


def test_summaries_of_every_run_are_in_the_page(study: Path, page: Page) -> None:
    rows = Results.read(study / "results.csv")
    for model in LAYERS:
        for seed in (0, 1, 2):
            run = rows.where(model=model, seed=seed, epoch=EPOCHS[-1])
            score = run.where(quantity="topolip", variant="scaled W2").values()
            clean = run.where(quantity="accuracy", condition="clean").values()
            assert number(float(score[0])) in page.cells
            assert f"{100 * clean[0]:.1f} %" in page.cells


def test_texts_of_the_study_are_escaped(text: str, page: Page) -> None:
    assert "<b> & more" not in text
    assert "<b> & more" in page.text("runs")


def test_the_same_study_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = only(made_up_rows(("digits",), ("vit",), (0, 1)), "topolip", "epoch_drift", "covering_number")
    folder = write_study(tmp_path, rows, None, made_up_diagrams(("digits",), ("vit",)))
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


def test_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    rows = only(made_up_rows(("digits",), ("vit",), (0,)), "topolip")
    assert write_report(write_study(tmp_path, rows)).is_file()


def test_no_rows_at_all(tmp_path: Path) -> None:
    about = made_up_about(("digits",), ("vit", "resnet"), (0, 1))
    for run in about["runs"]:  # type: ignore[attr-defined]
        run.update({"failure": "RuntimeError: out of memory", "parameters": None, "seconds measuring": None})
    page = page_of(write_study(tmp_path, [], about))
    assert page.all("img") == []
    assert page.text("runs").count("failed: RuntimeError: out of memory") == 4
    for section in ("depth", "training", "maps", "diagrams", "geometry", "lipschitz", "robustness", "link"):
        assert "These results hold no" in page.text(section)


def test_no_results_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"`folder` must hold results\.csv"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    "quantity",
    sorted({row.quantity for row in made_up_rows(("digits",), ("vit",), (0,))}),
)
def test_any_single_quantity_makes_a_page(tmp_path: Path, quantity: str) -> None:
    rows = only(made_up_rows(("digits",), ("vit",), (0,)), quantity)
    page_of(write_study(tmp_path, rows))


def test_numbers_that_could_not_be_measured_are_left_out(tmp_path: Path) -> None:
    rows = [
        row._replace(value=math.nan) if row.model == "vit" else row
        for row in only(made_up_rows(("digits",), ("vit", "resnet"), (0,)), "topolip", "scale", "total_variance")
    ]
    page = page_of(write_study(tmp_path, rows))
    texts = " ".join(image["alt"] or "" for image in page.all("img"))
    assert "resnet:" in texts
    assert "vit:" not in texts


def test_a_failed_write_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_study(tmp_path, [])
    (folder / "report.html").write_text("old")

    def full(self: Path, target: Path) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_report(folder)
    assert (folder / "report.html").read_text() == "old"
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "results.csv"]


def test_a_curve_is_the_mean_over_its_seeds_with_their_range() -> None:
    values = {0: (1.0, 4.0), 1: (3.0, math.nan), 2: (5.0, 8.0)}
    rows = [
        Row("digits", "vit", seed, float(epoch), "topolip", "scaled W2", "", "", 0.0, value)
        for seed, found in values.items()
        for epoch, value in enumerate(found)
    ]
    [curve] = curves(rows, lambda row: row.epoch, ["resnet", "vit"])
    assert curve.seeds == (0, 1, 2)
    assert curve.mean.tolist() == [3.0, 6.0]
    assert curve.low.tolist() == [1.0, 4.0]
    assert curve.high.tolist() == [5.0, 8.0]


def test_lines_show_the_numbers_and_name_the_models() -> None:
    rows = [
        Row("digits", model, seed, epoch, "topolip", "scaled W2", "", "", 0.0, place + 0.1 * seed + epoch)
        for place, model in enumerate(("vit", "resnet"))
        for seed in (0, 1)
        for epoch in (0.0, 1.0)
    ]
    found = curves(rows, lambda row: row.epoch, ["vit", "resnet"])
    figure = lines(found, looks(["vit", "resnet"]), "Title", "epochs", "TopoLip")
    axes = figure.axes[0]
    drawn = [np.asarray(line.get_ydata()).tolist() for line in axes.lines]
    for curve in found:
        assert curve.mean.tolist() in drawn
        assert all(seed.tolist() in drawn for seed in curve.values)
    assert {note.get_text() for note in axes.texts} == {"vit", "resnet"}


def test_models_that_end_alike_are_named_in_a_legend() -> None:
    rows = [Row("digits", m, 0, e, "topolip", "", "", "", 0.0, 1.0) for m in ("vit", "resnet") for e in (0.0, 1.0)]
    figure = lines(curves(rows, lambda row: row.epoch, ["vit", "resnet"]), looks(["vit", "resnet"]), "", "", "")
    assert not figure.axes[0].texts
    assert [entry.get_text() for entry in figure.legends[0].get_texts()] == ["vit", "resnet"]


def test_models_differ_in_colour_and_marker() -> None:
    found = looks([f"model {index}" for index in range(7)]).values()
    assert len({look.colour for look in found}) == len({look.marker for look in found}) == 7


def test_diagrams_are_in_units_of_the_scale() -> None:
    figure = diagram({"H0": as_points([[0.0, 4.0], [0.0, 2.0]], 4.0), "H1": as_points([], 4.0)}, 1.1, "", "")
    [drawn] = figure.axes[0].collections
    assert np.asarray(drawn.get_offsets()).tolist() == [[0.0, 1.0], [0.0, 0.5]]


def test_layers_stand_where_they_are_in_the_network() -> None:
    rows = only(made_up_rows(("digits",), ("vit", "resnet"), (0,)), "scale")
    places = source_of(rows).positions("digits", "scale")
    assert places["vit", "<input>"] == places["resnet", "<input>"] == 0.0
    assert places["vit", LAYERS["vit"][0]] == pytest.approx(1 / 12)
    assert places["vit", LAYERS["vit"][-1]] == places["resnet", LAYERS["resnet"][-1]] == 1.0


def test_the_noise_is_set_against_the_signal_of_the_same_size() -> None:
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


def test_a_single_seed_gets_the_interval_of_its_images() -> None:
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
    gallery = link(source).blocks[0]
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


def test_colours_tell_models_and_markers_data() -> None:
    points = [Point("digits", "vit", 1.0, 0.1), Point("cifar10", "vit", 2.0, 0.2)]
    figure = scatter(points, looks(["vit"]), looks(["digits", "cifar10"]), {"digits": "", "cifar10": ""}, "", "x", "y")
    first, second = figure.axes[0].collections
    assert first.get_facecolor().tolist() == second.get_facecolor().tolist()
    assert first.get_paths()[0].vertices.shape != second.get_paths()[0].vertices.shape


def test_a_heavy_drawing_becomes_pixels() -> None:
    points = np.random.default_rng(0).uniform(0, 1, (3000, 2))
    assert data_uri(diagram({"H1": points}, 1.1, "", "")).startswith("data:image/png")
    assert data_uri(diagram({"H1": points[:30]}, 1.1, "", "")).startswith("data:image/svg+xml")


def test_the_readers_matplotlib_settings_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib as mpl

    source = source_of(only(made_up_rows(("digits",), ("vit",), (0,)), "topolip"))
    expected = render(source)
    with mpl.rc_context({"axes.facecolor": "black", "font.size": 30}):
        assert render(source) == expected
