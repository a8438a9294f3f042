"""The site is built from the files that GitHub shows, and the notebook of the documentation runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from helpers.paths import ROOT
from nbclient import NotebookClient

import lightning_topolip

NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert (built.returncode, built.stdout + built.stderr) == (0, "")  # a broken link is a warning, and strict an error
    return folder


def test_every_page_is_on_the_site(site: Path) -> None:
    assert "Add it to a training" in (site / "index.html").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / "docs" / page.stem / "index.html").is_file()
    for report in (ROOT / "docs" / "results").glob("*/report.html"):
        assert (site / report.relative_to(ROOT)).read_bytes() == report.read_bytes()
        assert f'href="{report.parent.name}/report.html"' in (site / "docs" / "results" / "index.html").read_text()


def test_the_readme_is_read_in_a_few_minutes() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 700


def test_the_api_page_shows_what_the_package_exports(site: Path) -> None:
    text = (site / "docs" / "api" / "index.html").read_text()
    exported = re.findall(r"^::: (lightning_topolip\.\w+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    names = {f"lightning_topolip.{name}" for name in lightning_topolip.__all__ if name != "__version__"}
    assert set(exported) == names
    assert all(f'id="{name}"' in text for name in names)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_a_page_with_its_output_and_pictures(notebook: Path, site: Path) -> None:
    folder = site / "docs"
    text = (folder / notebook.stem / "index.html").read_text()
    shown = re.findall(rf'src="\.\./({notebook.stem}_\d+_\d+\.png)"', text)
    stored = [output for cell in nbformat.read(notebook, 4).cells for output in cell.get("outputs", [])]
    assert len(shown) == sum("image/png" in output.get("data", {}) for output in stored) > 0
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in shown)
    assert "TopoLip" in text


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_gives_what_its_text_says(notebook: Path, tmp_path: Path) -> None:
    content = nbformat.read(notebook, 4)
    stored = [kinds(cell) for cell in content.cells]
    NotebookClient(content, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert [kinds(cell) for cell in content.cells] == stored
    alone, compared = output_of(content).split("First - second")
    assert re.search(r"largest speed .* to layer[234]\.0", alone)  # where a stage begins
    assert float(re.search(r"TopoLip .*\s(-?[\d.]+)\n", compared)[1]) < -3  # standard errors


def kinds(cell: nbformat.NotebookNode) -> list[list[str]]:
    return [sorted(output["data"]) for output in cell.get("outputs", []) if "data" in output]


def output_of(notebook: nbformat.NotebookNode) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(output.get("data", {}).get("text/plain", "") for output in outputs)
