"""What `topolip study` says at its end."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.command import said
from helpers.paths import EXAMPLES
from rich.console import Console

from lightning_topolip.cli.verdict_table import verdict_table
from lightning_topolip.study.judging.verdict_rows import VerdictRow

HOLDS = VerdictRow("The ViT is smoother.", "digits", "holds", "TopoLip: resnet / vit = 2.8", "vit 0.1; resnet 0.3", "")
NOT_ASKED = VerdictRow("The ViT is steadier.", "digits", "not asked of this data", "", "", "the accuracies differ")


def printed(*rows: VerdictRow) -> str:
    console = Console(width=160, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(verdict_table(rows))
    return captured.get()


def test_a_line_per_verdict_with_its_effect_or_why_it_was_not_asked() -> None:
    text = printed(HOLDS, NOT_ASKED)
    (first,) = [line for line in text.splitlines() if HOLDS.claim in line]
    (second,) = [line for line in text.splitlines() if NOT_ASKED.claim in line]
    assert "holds" in first
    assert HOLDS.effect in first
    assert "the accuracies differ" in second
    assert "Of 1 verdict, 1 holds; 1 more was not asked of this data." in text


def test_the_data_are_named_where_there_are_several() -> None:
    assert "digits" not in printed(HOLDS)
    text = printed(HOLDS, HOLDS._replace(data="mnist"))
    assert "digits" in text
    assert "mnist" in text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "(No such file or directory)"),
        (b"a: [", "(while parsing a flow node "),
        (b"\xff\xfe\x00", "codec can't decode"),
    ],
)
def test_a_recipe_that_cannot_be_read_is_named_once(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "recipe.yaml"
    if content is not None:
        path.write_bytes(content)
    text = said(["study", "--config", str(path)])
    assert text.startswith(f"topolip study: Argument `config` must be a readable YAML file, got {str(path)!r} (")
    assert text.endswith("; check the path and the file.")
    assert reason in text
    assert text.count("recipe.yaml") == 1
    assert "Errno" not in text


@pytest.mark.parametrize(
    ("options", "argument"),
    [(["--workers", "-1"], "workers"), (["--size", "cpu", "--images", "nowhere"], "root")],
)
def test_an_argument_that_is_refused_comes_without_a_progress_bar(
    options: list[str], argument: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = ["study", "--config", str(EXAMPLES / "vit_vs_resnet.yaml"), "--output", str(tmp_path / "out")]
    assert f"Argument `{argument}` must" in said([*study, *options])
    assert capsys.readouterr().out == ""
