"""Print the verdicts on the claims of finished studies, as Markdown; below, what was not asked of the data, and why.

python examples/claims.py runs/vit_vs_resnet_short ...
python examples/claims.py --write docs/results/vit_vs_resnet ...      into claims.md of each folder
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lightning_topolip.study.judging.claims import claims_of
from lightning_topolip.study.judging.results import Results, results_file
from lightning_topolip.study.judging.verdict_rows import VerdictRow, verdict_rows
from lightning_topolip.study.judging.verdicts import NOT_ASKED

_HEADER = "| claim | data | verdict | effect in the direction of the claim | the numbers |"


def claims_table(folder: Path) -> str:
    """Return the verdicts on the claims of one study, and a list of the claims that were not asked of its data."""
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    verdicts = verdict_rows(claims_of(about["claims"]), Results.read(results_file(folder)))
    rows = [_HEADER, "| --- | --- | --- | --- | --- |"]
    rows += [f"| {' | '.join(cells(verdict))} |" for verdict in verdicts if verdict.verdict != NOT_ASKED]
    not_asked = [reason(verdict) for verdict in verdicts if verdict.verdict == NOT_ASKED]
    return "\n".join([*rows, "", "Not asked of this data:", "", *not_asked] if not_asked else rows)


def cells(verdict: VerdictRow) -> tuple[str, ...]:
    """Return the cells of a verdict."""
    remark = f"; {verdict.remark}" if verdict.remark else ""
    return verdict.claim, verdict.data, f"**{verdict.verdict}**", verdict.effect, f"{verdict.numbers}{remark}"


def reason(verdict: VerdictRow) -> str:
    """Return the line of a claim that was not asked."""
    return f"- {verdict.claim} ({verdict.data}: {verdict.remark})"


def claims_page(folder: Path) -> str:
    """Return the title of a study and its table."""
    title = json.loads((folder / "about.json").read_text(encoding="utf-8"))["title"]
    return f"# {title}\n\n{claims_table(folder)}\n"


def main() -> None:
    """Print or write one page per study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    for folder in options.folders:
        if options.write:
            (folder / "claims.md").write_text(claims_page(folder), encoding="utf-8")
        else:
            print(claims_page(folder))


if __name__ == "__main__":
    main()
