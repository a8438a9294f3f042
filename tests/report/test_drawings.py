"""Lean drawings: the same picture with less text."""

import re
from xml.etree.ElementTree import Element

import numpy as np
from matplotlib.figure import Figure

from lightning_topolip.report.drawings import Drawings
from lightning_topolip.report.outlines import outline
from lightning_topolip.report.siblings import grouped, joined


def points(path: str) -> list[tuple[float, float]]:
    """Follow an outline of moves and relative lines."""
    reached = []
    x = y = 0.0
    for name, rest in re.findall(r"([Mmlhvz])([^Mmlhvz]*)", path):
        numbers = [float(number) for number in re.findall(r"-?\d*\.?\d+", rest)]
        axes = {"h": [(step, 0.0) for step in numbers], "v": [(0.0, step) for step in numbers]}
        pairs = axes[name] if name in axes else zip(numbers[::2], numbers[1::2], strict=True)
        for dx, dy in pairs:
            x, y = (dx, dy) if name == "M" else (x + dx, y + dy)
            reached.append((x, y))
    return reached


def test_an_outline_keeps_its_points_to_half_a_tenth_however_long_it_is() -> None:
    walk = 300 + np.cumsum(np.random.default_rng(0).normal(size=(500, 2)), axis=0)
    walk[100:110, 0], walk[200:210, 1] = walk[100, 0], walk[200, 1]
    path = " \nL ".join(f"{x:.6f} {y:.6f}" for x, y in walk.tolist())
    short = outline(f"M {path}")
    assert np.abs(np.array(points(short)) - walk).max() < 0.05 + 1e-6
    assert len(short) < 0.55 * len(path)


def test_a_small_symbol_keeps_hundredths() -> None:
    assert (
        outline("M 0 2.25 C 0.596739 2.25 1.169113 2.012911 1.590990 1.590990 z")
        == "M0 2.25C.6 2.25 1.17 2.01 1.59 1.59z"
    )


def test_a_drawing_keeps_its_texts_and_a_second_one_shares_its_symbols() -> None:
    figures = []
    for _ in range(2):
        figure = Figure((3.0, 2.0))
        figure.subplots().plot([0, 1, 2], [1, 3, 2], "o-", label="curve")
        figure.axes[0].set_title("Words & <signs>")
        figure.axes[0].set_ylabel("$10^{7}$")
        figures.append(figure)
    drawings = Drawings()
    first, second = (drawings.element(figure, 'He said "so"') for figure in figures)
    for element in (first, second):
        assert ">Words &amp; &lt;signs&gt;</text>" in element
        assert "".join(re.findall(r">(\d+)</tspan>", element)) == "107"
        assert 'aria-label="He said &quot;so&quot;"' in element
        assert set(re.findall(r'href="#(\w+)"', element)) <= set(re.findall(r' id="(\w+)"', first))
    assert " id=" not in second
    assert set(re.findall(r'class="(\w+)"', first + second)) <= set(re.findall(r"^\.(\w+){", drawings.css, re.M))


def test_moves_become_relative_and_a_closed_piece_goes_back_to_its_start() -> None:
    path = "M 30 30 L 40 30 L 40 50 z M 31 32 L 33 35 M 90 80 L 91 80"
    short = outline(path)
    assert short == "M30 30h10v20zm1 2l2 3m57 45h1"


def test_lines_of_one_style_are_one_path_and_what_is_between_keeps_its_place() -> None:
    def mark(tag: str, d: str, style: str) -> Element:
        return Element(tag, {"d": d, "class": style})

    marks = [mark("path", "M0", "a"), mark("text", "t", "b"), mark("path", "M1", "a"), mark("path", "M2", "c")]
    marks += [mark("path", "M3", "a"), mark("use", "u", "d"), mark("path", "M4", "a"), mark("path", "M5", "fill")]
    drawn = joined(marks, lambda path: path.get("class") != "fill")
    assert [(element.tag, element.get("d")) for element in drawn] == [
        ("path", "M0M1"), ("text", "t"), ("path", "M2"), ("path", "M3"), ("use", "u"), ("path", "M4"), ("path", "M5")
    ]  # fmt: skip


def test_a_group_says_once_what_its_marks_share() -> None:
    marks = [Element("use", {"class": "a", "clip-path": "url(#c)", "x": str(index)}) for index in range(3)]
    marks += [Element("text", {"class": "b"}), Element("text", {"class": "b"})]
    clipped, *texts = grouped(marks)
    assert dict(clipped.attrib) == {"clip-path": "url(#c)"}
    [of_class] = clipped
    assert dict(of_class.attrib) == {"class": "a"}
    assert [dict(use.attrib) for use in of_class] == [{"x": str(index)} for index in range(3)]
    assert [text.get("class") for text in texts] == ["b", "b"]
