"""Atomic writes."""

import json
import math
import uuid
from pathlib import Path

import fsspec
import pytest

from lightning_topolip.files import atomic_path, atomic_text, write_compact_json, write_json


def test_json_is_standard_and_survives_a_failed_write(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    write_json(path, {"score": math.nan, "curve": [1.0, math.inf]})
    assert json.loads(path.read_text()) == {"score": None, "curve": [1.0, None]}
    with pytest.raises(TypeError):
        write_json(path, {"bad": object()})
    assert json.loads(path.read_text())["curve"] == [1.0, None]
    assert list(tmp_path.iterdir()) == [path]


def test_compact_json_is_one_line_of_six_digits(tmp_path: Path) -> None:
    path = tmp_path / "diagrams.json"
    write_compact_json(path, {"epoch": 20, "scale": math.pi, "H0": [[0.0, 1234567.8], [math.nan, 2e-9 / 3]]})
    assert path.read_text() == '{"epoch":20,"scale":3.14159,"H0":[[0.0,1234570.0],[null,6.66667e-10]]}\n'


def test_a_failed_block_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError), atomic_text(tmp_path / "deep" / "page.html") as file:
        file.writelines(["half a page", None])  # type: ignore[list-item]
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_file_name_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with atomic_text(Path("page.html")) as file:
        file.write("1\r\n")
    assert (tmp_path / "page.html").read_bytes() == b"1\r\n"


def test_a_remote_file_appears_complete_or_not_at_all() -> None:
    files, folder = fsspec.filesystem("memory"), f"memory://{uuid.uuid4()}"

    def write(content: bytes, failure: Exception | None = None) -> None:
        with atomic_path(f"{folder}/figure.png") as temporary:
            files.pipe_file(temporary, content)
            if failure:
                raise failure

    write(b"content")
    with pytest.raises(OSError, match="full"):
        write(b"half", OSError("full"))
    assert files.cat(f"{folder}/figure.png") == b"content"
    assert len(files.ls(folder)) == 1
