"""The tables of the documentation hold what the code says, and the docstrings list the keys that are logged."""

from __future__ import annotations

import inspect
import json
import math
import re
import runpy
from pathlib import Path

import pytest
import timm
from helpers.paths import ROOT
from helpers.trainings import Tiny, loader, trainer
from lightning import Callback
from lightning.pytorch.loggers import CSVLogger

from lightning_topolip import TopoLipCallback, TopoLipRegularizer

TOOL = runpy.run_path(str(ROOT / "docs" / "tables.py"))
KEYS = re.compile(r"`(topolip\w*/[^`]+)`")
EVERYTHING = {"geometry": True, "pairing": True, "lipschitz": 3, "background": True, "when_full": "skip"}


@pytest.mark.parametrize(("page", "table"), TOOL["TABLES"])
def test_a_page_holds_the_table_that_the_code_gives(page: str, table: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    assert TOOL["with_table"](text, table, TOOL["TABLES"][page, table]()) == text


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "callback",
    [TopoLipCallback(probe_size=12, figures=False, **EVERYTHING), TopoLipRegularizer(points=16)],
    ids=lambda callback: type(callback).__name__,
)
def test_the_docstring_lists_exactly_the_keys_that_are_logged(callback: Callback, tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    trainer(tmp_path, callback, logger=logger, log_every_n_steps=1).fit(Tiny(), loader(), loader())
    columns = Path(logger.log_dir, "metrics.csv").read_text().splitlines()[0].split(",")
    logged = {re.sub(r"^(topolip_\w+)/(?:layers\..*|<output>)$", r"\1/<layer>", name) for name in columns}
    assert {name for name in logged if name.startswith("topolip")} == listed(callback)


def listed(callback: Callback) -> set[str]:
    keys = KEYS.findall(inspect.getdoc(type(callback)).split("Figures, if")[0].split("Args:")[0])
    if "topolip/<number>_error" in keys:
        place = keys.index("topolip/<number>_error")
        keys[place : place + 1] = [f"{name}_error" for name in keys[:place]]
    return set(keys)


def test_the_page_of_steering_lists_the_keys_of_the_regularizer() -> None:
    page = (ROOT / "docs" / "steering.md").read_text()
    assert listed(TopoLipRegularizer()) == {key for key in KEYS.findall(page) if key.startswith("topolip_loss/")}


def test_the_table_of_families_has_a_row_for_every_timm_family_with_a_score() -> None:
    sweep = json.loads((ROOT / "docs" / "results" / "timm_sweep.json").read_text())["results"]
    measured = {row["model"] for row in sweep if math.isfinite(row.get("score", math.nan))}
    assert set(re.findall(r"^\| timm `(.+?)`", (ROOT / "docs" / "models.md").read_text(), re.MULTILINE)) == measured
    assert len(measured) >= 0.95 * len(timm.list_modules())


def test_a_table_that_differs_from_its_page_is_written() -> None:
    page = "# Title\n\n<!-- keys: written by docs/tables.py -->\n\nold\n\n<!-- end of keys -->\n\nThe rest.\n"
    written = TOOL["with_table"](page, "keys", "| new |")
    assert written == page.replace("old", "| new |")
    assert TOOL["with_table"](written, "keys", "| new |") == written


def test_no_table_of_keys_is_empty() -> None:
    lines = TOOL["keys_table"]().splitlines()
    rules = [index for index, line in enumerate(lines) if line == "| --- | --- |"]
    assert len(rules) > 1
    assert all(lines[index + 1].startswith("| `topolip") for index in rules)
