"""Every number of a study has a name for people."""

import ast
from pathlib import Path

import pytest
from helpers.paths import ROOT

from lightning_topolip.robustness import CORRUPTIONS
from lightning_topolip.study.judging.names import NAMES, condition_name
from lightning_topolip.study.judging.results import Results, results_file
from lightning_topolip.study.judging.summaries import ATTACKS, SUMMARIES

MEASURES = [
    *sorted((ROOT / "lightning_topolip" / "study" / "measures").glob("*.py")),
    ROOT / "lightning_topolip" / "study" / "measuring.py",
]
FOLDERS = sorted(path.parent for path in (ROOT / "docs" / "results").glob("*/results.csv*"))


def quantities_in(source: Path) -> set[str]:
    """The names that a measure gives to its quantities in so many words."""
    calls = [node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Call)]
    named = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in {"Quantity", "estimated"}]
    arguments = [call.args[0] for call in named]
    return {name.value for name in arguments if isinstance(name, ast.Constant) and isinstance(name.value, str)}


def test_every_quantity_that_a_measure_yields_has_a_name() -> None:
    written = set().union(*map(quantities_in, MEASURES))
    assert {"masked_gradients", "paired_drift", "lipschitz_bound"} <= written
    assert written <= set(NAMES)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_quantity_of_a_real_study_has_a_name(folder: Path) -> None:
    assert set(Results.read(results_file(folder)).unique("quantity")) <= set(NAMES)


def test_every_summary_has_a_name_of_its_own() -> None:
    assert set(SUMMARIES) <= set(NAMES)
    assert len({NAMES[name] for name in SUMMARIES}) == len(SUMMARIES)


def test_names_are_words() -> None:
    names = [*NAMES.values(), *map(condition_name, [*CORRUPTIONS, *ATTACKS, "noise"])]
    assert not [name for name in names if "_" in name or not name or name != name.strip()]
    assert NAMES["two_nn_dimension"] == "intrinsic dimension (TwoNN)"
