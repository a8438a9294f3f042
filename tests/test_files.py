"""Files are written whole or not at all."""

import json
import math
from pathlib import Path

import pytest

from lightning_topolip.files import whole_file, write_json


def test_json_is_strict_and_stays_as_it_was_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    write_json(path, {"score": math.nan, "curve": [1.0, math.inf]})
    assert json.loads(path.read_text()) == {"score": None, "curve": [1.0, None]}
    with pytest.raises(TypeError):
        write_json(path, {"bad": object()})
    assert json.loads(path.read_text())["curve"] == [1.0, None]
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_fails_leaves_neither_the_file_nor_a_rest(tmp_path: Path) -> None:
    with pytest.raises(TypeError), whole_file(tmp_path / "deep" / "page.html") as file:
        file.writelines(["half a page", None])  # type: ignore[list-item]
    assert list((tmp_path / "deep").iterdir()) == []
