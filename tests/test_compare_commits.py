"""The benchmark that compares two commits."""

from __future__ import annotations

import runpy
import subprocess
import sys

import pytest
from helpers.paths import ROOT

SCRIPT = ROOT / "benchmarks" / "compare.py"
COMPARE = runpy.run_path(str(SCRIPT))


def test_a_ratio_has_the_error_of_paired_rounds() -> None:
    mean, error = COMPARE["ratio"]([1.0, 10.0], [2.0, 80.0])  # ratios 2 and 8, whatever the load of the machine
    assert mean == pytest.approx(4.0)
    assert error == pytest.approx(4.0 * 0.6931471805599453)  # logs: ln 4 +- ln 2
    assert COMPARE["ratio"]([3.0, 5.0, 7.0], [1.5, 2.5, 3.5]) == (pytest.approx(0.5), pytest.approx(0.0))


def test_the_numbers_of_every_form_of_file_have_names() -> None:
    file = {
        "about": {"load": 3.5},
        "rounds": [{"seconds": 9.0}],
        "seconds": {"mlp": {"64": {"forward": 0.5}}},
        "results": [{"clouds": "sphere", "n": 64, "seconds": {"redzed": 0.25}, "cut off": []}, [1.5]],
    }
    assert dict(COMPARE["numbers_of"](file)) == {
        "seconds / mlp / 64 / forward": 0.5,
        "results / sphere 64 / seconds / redzed": 0.25,
        "results / 1 / 0": 1.5,
    }


def test_a_number_that_one_commit_lacks_is_no_line() -> None:
    lines = COMPARE["table"]([[{"a": 1.0, "b": 1.0}, {"a": 2.0, "b": 1.0}], [{"a": 2.0}, {"a": 4.0}]]).splitlines()
    assert [line.split() for line in lines[1:]] == [["1.5", "3", "2.000", "+-", "0.000", "a"]]


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a source distribution has no commits")
def test_a_commit_against_itself() -> None:
    def worktrees() -> str:
        return subprocess.run(["git", "worktree", "list"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    before = worktrees()
    options = ["--script", "persistence", "--rounds", "2", "--", "--sizes", "16", "--repeats", "1", "--limit", "1"]
    command = [sys.executable, str(SCRIPT), "HEAD", "HEAD", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("persistence.py --sizes 16 --repeats 1 --limit 1, ")
    assert any(line.endswith("results / sphere 128 16 / seconds / redzed") for line in lines)
    assert worktrees() == before
