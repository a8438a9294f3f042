"""The pages of the site: the files that GitHub shows, at the same relative addresses, so that every link works in both.

A hook of mkdocs (`mkdocs.yml`). A notebook becomes a page as it is stored; nothing is executed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
SHOWN = ["*.md", "LICENSE", "docs/**/*", "examples/*.*", *(f"benchmarks/*.{kind}" for kind in ("md", "json", "png"))]
HIDDEN = ["docs/*.py"]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the files of `docs` by those of the repository that pages show or link to."""
    theme = [file for file in files if file.src_dir != config.docs_dir]
    return Files([*theme, *(file for path in _paths() for file in _files(path, config))])


def _paths() -> list[Path]:
    hidden = {path for pattern in HIDDEN for path in ROOT.glob(pattern)}
    shown = {path for pattern in SHOWN for path in ROOT.glob(pattern) if path.is_file()}
    return sorted(path for path in shown - hidden if "__pycache__" not in path.parts)


def _files(path: Path, config: MkDocsConfig) -> Iterator[File]:
    make = Notebook if path.suffix == ".ipynb" else File
    file = make(str(path.relative_to(ROOT)), str(ROOT), config.site_dir, config.use_directory_urls)
    yield file
    if isinstance(file, Notebook):
        for name, picture in file.pictures().items():
            yield File.generated(config, f"{Path(file.src_uri).parent}/{name}", content=picture)


class Notebook(File):
    """A notebook that is shown as a page of Markdown."""

    def is_documentation_page(self) -> bool:
        """Give it an address like that of a page of Markdown."""
        return True

    @property
    def content_string(self) -> str:
        """Its text, code, output and pictures as Markdown."""
        return "\n\n".join(text for index, cell in enumerate(self._cells()) for text in self._markdown(index, cell))

    def pictures(self) -> dict[str, bytes]:
        """Its pictures by the names under which `content_string` shows them."""
        return {
            self._name(index, number): base64.b64decode(output["data"]["image/png"])
            for index, cell in enumerate(self._cells())
            for number, output in enumerate(cell.get("outputs", []))
            if "image/png" in output.get("data", {})
        }

    def _cells(self) -> list[dict[str, Any]]:
        cells: list[dict[str, Any]] = json.loads(Path(ROOT, self.src_uri).read_text(encoding="utf-8"))["cells"]
        return cells

    def _name(self, cell: int, output: int) -> str:
        return f"{Path(self.src_uri).stem}_{cell}_{output}.png"

    def _markdown(self, index: int, cell: dict[str, Any]) -> Iterator[str]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield source
            return
        yield f"```python\n{source}\n```"
        for number, output in enumerate(cell["outputs"]):
            data = output.get("data", {})
            if "image/png" in data:
                yield f"![Output of the code above]({self._name(index, number)})"
            else:
                text = "".join(output.get("text", data.get("text/plain", "")))
                yield f"```text\n{text.rstrip()}\n```"
