"""The page: complete, self-contained and true to the results, also to partial ones."""

import json
import math
import os
import re
import socket
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem
from helpers.made_up_study import (
    EPOCHS,
    LAYERS,
    made_up_about,
    made_up_diagrams,
    made_up_rows,
    only,
    source_of,
    whole_study,
    write_study,
)

from lightning_topolip.report import write_report
from lightning_topolip.report.page import render, report_environment
from lightning_topolip.report.palette import PAPER_AT_NIGHT, contrast
from lightning_topolip.study.judging.claims import claims_of
from lightning_topolip.study.judging.formats import number
from lightning_topolip.study.judging.results import Results
from lightning_topolip.study.judging.summaries import SUMMARIES
from lightning_topolip.study.judging.verdicts import NOT_ASKED, Verdict, judge

VOID = {"meta", "img", "br", "link", "input", "hr"}
SECTIONS = (
    "summary",
    "claims",
    "depth",
    "training",
    "maps",
    "diagrams",
    "geometry",
    "lipschitz",
    "robustness",
    "smoothness-and-robustness",
    "runs",
    "limits",
    "numbers",
)


class Page(HTMLParser):
    """The elements and texts of a page; every element must be closed in order."""

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


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole_study(tmp_path_factory.mktemp("study"), ("digits",))


@pytest.fixture(scope="module")
def text(study: Path) -> str:
    return write_report(study).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_the_page_has_every_section_and_its_contents(page: Page) -> None:
    assert tuple(section["id"] for section in page.all("section")) == SECTIONS
    assert [link_["href"] for link_ in page.all("a")] == [f"#{name}" for name in SECTIONS]
    assert page.all("html") == [{"lang": "en"}]
    assert not any("These results hold no" in page.text(name) for name in SECTIONS)


def test_nothing_is_fetched_from_elsewhere(text: str, page: Page) -> None:
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", re.sub(r"base64,\s*[\w+/=]+", "", text))
    assert not re.search(r"(href|src)=\"(?!#|data:)", text)
    assert not page.all("script")
    assert not page.all("link")


def test_the_page_stays_small(text: str) -> None:
    assert len(text) < 220_000


def test_every_symbol_and_style_that_a_drawing_uses_is_defined_once(text: str, page: Page) -> None:
    symbols = [*page.all("path"), *page.all("clippath"), *page.all("symbol")]
    defined = [symbol["id"] for symbol in symbols if "id" in symbol]
    assert len(set(defined)) == len(defined)
    assert set(re.findall(r"(?:<use[^>]*href=\"|url\()#(\w+)", text)) <= set(defined)
    drawn = [mark for tag in ("path", "text", "g", "use") for mark in page.all(tag)]
    classes = {mark["class"] for mark in drawn if "class" in mark}
    assert len(classes) > 20
    assert all(text.count(f"\n.{name}{{") == 1 for name in classes)


def test_every_figure_has_an_alternative_text_and_a_size(page: Page) -> None:
    images = [image for image in page.all("svg") if image.get("role") == "img"]
    assert len(images) > 30
    texts = [image["aria-label"] or "" for image in images]
    assert min(map(len, texts)) > 30
    assert len(set(texts)) > 0.9 * len(texts)
    assert all(int(image["width"] or 0) > 200 and int(image["height"] or 0) > 40 for image in images)


def test_verdicts_are_those_of_the_study(study: Path, page: Page) -> None:
    about = json.loads((study / "about.json").read_text())
    verdicts = judge(claims_of(about["claims"]), Results.read(study / "results.csv"))
    asked = [verdict for verdict in verdicts if verdict.verdict != NOT_ASKED]
    assert 0 < len(asked) < len(verdicts)
    badges = [attributes for attributes in page.all("span") if "badge" in (attributes.get("class") or "")]
    in_short = badges[: -len(asked)]
    assert 0 < len(in_short) <= 3
    assert [badge["class"] for badge in badges[len(in_short) :]] == [
        f"badge {verdict.verdict.replace(' ', '-')}" for verdict in asked
    ]
    text = page.text("claims")
    for verdict in verdicts:
        assert verdict.claim.says in text
        if verdict.verdict == NOT_ASKED:
            assert verdict.remark in text
            continue
        together = f"{verdict.models} models, each the mean of its seeds, {verdict.runs} runs"
        assert (together if verdict.claim.correlation else f"{verdict.first}; {verdict.second}") in text
        low, high = sorted(_in_direction(verdict))
        assert f"{number(low)} to {number(high)}" in text


def _in_direction(verdict: Verdict) -> tuple[float, float]:
    if verdict.unit == "ratio":
        return 1 / verdict.low, 1 / verdict.high
    return verdict.low, verdict.high


def test_summaries_of_every_run_are_in_the_page(study: Path, page: Page) -> None:
    rows = Results.read(study / "results.csv")
    for model in LAYERS:
        for seed in (0, 1, 2):
            run = rows.where(model=model, seed=seed, epoch=EPOCHS[-1])
            score = run.where(quantity="topolip", variant="scaled W2").values()
            clean = run.where(quantity="accuracy", condition="clean").values()
            assert number(float(score[0])) in page.cells
            assert f"{100 * clean[0]:.1f} %" in page.cells


def test_the_answer_and_the_date_are_on_top(study: Path, text: str, page: Page) -> None:
    about = json.loads((study / "about.json").read_text())
    verdicts = judge(claims_of(about["claims"]), Results.read(study / "results.csv"))
    top = page.text("")
    for outcome, words in (("holds", "hold"), ("does not hold", "not hold"), ("undecided", "undecided")):
        count = sum(verdict.verdict == outcome for verdict in verdicts)
        assert not count or re.search(rf"\b{count} [\w ]*{words}", top)
    assert about["claims"][0]["says"] in top
    assert "TopoLip: resnet / vit = " in top
    assert text.index('class="answer"') < text.index("<nav") < text.index("<section")


def test_a_study_has_the_date_of_its_record_or_of_its_results(tmp_path: Path) -> None:
    rows = only(made_up_rows(("digits",), ("vit",), (0,)), "topolip")
    of_record = write_study(tmp_path / "record", rows, {"date": "2026-02-03"})
    of_file = write_study(tmp_path / "file", rows)
    os.utime(of_file / "results.csv", (0.0, 86_400.0 * 365))
    for folder, date in ((of_record, "2026-02-03"), (of_file, "1971-01-01")):
        first = write_report(folder).read_bytes()
        assert f'Results of <time datetime="{date}">{date}</time>'.encode() in first
        assert write_report(folder).read_bytes() == first


def test_numbers_have_names_for_people(text: str) -> None:
    shown = re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL)
    assert "intrinsic dimension (TwoNN)" in shown
    keys = {*SUMMARIES, *(row.quantity for row in made_up_rows(("digits",), ("vit",), (0,)))}
    unread = {key for key in keys if "_" in key and (key in shown or f">{key.replace('_', ' ')}<" in shown)}
    assert unread <= {"path_length", "epoch_drift", "total_variance", "participation_ratio", "covering_dimension",
                      "validation_accuracy", "late_epoch_drift", "covering_number"}  # fmt: skip
    assert not {key for key in unread if key in shown}


def test_a_dark_page_has_light_drawings_and_paper_stays_white(text: str) -> None:
    light, dark = (dict(re.findall(r"--([0-9a-f]{6}):(#[0-9a-f]{6})", rules)) for rules in re.findall(
        r":root\{(--[^}]*)\}", text)[:2])  # fmt: skip
    assert set(light) == set(dark)
    assert all(value == f"#{name}" for name, value in light.items())
    assert dark["ffffff"] == PAPER_AT_NIGHT
    style = text[text.index("<style>") : text.index("</style>")]
    assert style.count("prefers-color-scheme") == style.count("@media screen and (prefers-color-scheme") == 2
    drawn = {*re.findall(r"(?:fill|stroke):var\(--([0-9a-f]{6})\)", style)}
    assert {"222222", "0072b2"} <= drawn <= set(dark)
    assert not re.search(r"(?:fill|stroke):#", style)
    readable = [colour for name, colour in dark.items() if contrast(f"#{name}", "#ffffff") >= 4.5]
    assert min(contrast(colour, PAPER_AT_NIGHT) for colour in readable) >= 4.5


def test_texts_of_the_study_are_escaped(text: str, page: Page) -> None:
    assert "<b> & more" not in text
    assert "<b> & more" in page.text("runs")


def test_the_same_study_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = only(made_up_rows(("digits",), ("vit",), (0, 1)), "topolip", "epoch_drift", "covering_number")
    folder = write_study(tmp_path, rows, None, made_up_diagrams(("digits",), ("vit",)))
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


def test_compressed_results_give_the_same_report_but_for_their_name(tmp_path: Path) -> None:
    rows = only(made_up_rows(("digits",), ("vit",), (0,)), "topolip")
    plain = write_report(write_study(tmp_path / "plain", rows)).read_text(encoding="utf-8")
    Results(rows).write(tmp_path / "packed" / "results.csv.gz")
    packed = write_report(tmp_path / "packed").read_text(encoding="utf-8")
    assert "results.csv.gz" in packed
    assert packed.replace("results.csv.gz", "results.csv") == plain


def test_the_report_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    rows = only(made_up_rows(("digits",), ("vit",), (0,)), "topolip")
    assert write_report(write_study(tmp_path, rows)).is_file()


def test_a_study_without_results_has_a_report(tmp_path: Path) -> None:
    about = made_up_about(("digits",), ("vit", "resnet"), (0, 1))
    for run in about["runs"]:  # type: ignore[attr-defined]
        run.update({"failure": "RuntimeError: out of memory", "parameters": None, "seconds measuring": None})
    page = page_of(write_study(tmp_path, [], about))
    assert [image.get("role") for image in page.all("svg")] == [None]
    assert page.text("runs").count("failed: RuntimeError: out of memory") == 4
    for section in (
        "depth",
        "training",
        "maps",
        "diagrams",
        "geometry",
        "lipschitz",
        "robustness",
        "smoothness-and-robustness",
    ):
        assert "These results hold no" in page.text(section)


def test_a_folder_without_results_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"`folder` must hold results\.csv or results\.csv\.gz"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    "quantity",
    sorted({row.quantity for row in made_up_rows(("digits",), ("vit",), (0,))}),
)
def test_any_single_quantity_makes_a_page(tmp_path: Path, quantity: str) -> None:
    rows = only(made_up_rows(("digits",), ("vit",), (0,)), quantity)
    page_of(write_study(tmp_path, rows))


def test_nan_is_not_drawn(tmp_path: Path) -> None:
    rows = [
        row._replace(value=math.nan) if row.model == "vit" else row
        for row in only(made_up_rows(("digits",), ("vit", "resnet"), (0,)), "topolip", "scale", "total_variance")
    ]
    page = page_of(write_study(tmp_path, rows))
    texts = " ".join(image.get("aria-label") or "" for image in page.all("svg"))
    assert "resnet:" in texts
    assert "vit:" not in texts


def test_a_failed_write_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_study(tmp_path, [])
    (folder / "report.html").write_text("old")

    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(LocalFileSystem, "mv", full)
    with pytest.raises(OSError, match="No space"):
        write_report(folder)
    assert (folder / "report.html").read_text() == "old"
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "results.csv"]


def test_the_matplotlib_settings_of_the_user_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib as mpl

    source = source_of(only(made_up_rows(("digits",), ("vit",), (0,)), "topolip"))
    expected = render(source)
    with mpl.rc_context({"axes.facecolor": "black", "font.size": 30}):
        assert render(source) == expected


def test_without_jinja_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"needs the package 'jinja2'; pip install 'lightning_topolip\[report\]'"
    ):
        report_environment()
