"""Print the verdict on every claim of finished studies, as Markdown.

python examples/claims.py runs/vit_vs_resnet_short ...
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from lightning_topolip.study.judging.claims import claims_of
from lightning_topolip.study.judging.results import Results
from lightning_topolip.study.judging.verdicts import Verdict, judge


def claims_table(folder: Path) -> str:
    """Return the verdicts on the claims of one study, one row per claim and data set."""
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    verdicts = judge(claims_of(about["claims"]), Results.read(folder / "results.csv"))
    rows = ["| claim | data | verdict | effect, 95 % interval | the numbers |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*rows, *(f"| {' | '.join(cells(verdict))} |" for verdict in verdicts)])


def cells(verdict: Verdict) -> tuple[str, ...]:
    """Return the cells of one verdict."""
    claim = verdict.claim
    effect = (
        f"{'/'.join(claim.correlation)}, rho"
        if claim.correlation
        else f"{claim.lower} {_SIGN[verdict.unit]} {claim.higher}"
    )
    has_interval = math.isfinite(verdict.low) and math.isfinite(verdict.high)
    interval = f"{effect} = {verdict.effect:.3g} [{verdict.low:.3g}, {verdict.high:.3g}]" if has_interval else effect
    numbers = (
        f"{verdict.models} models, {verdict.runs} runs" if claim.correlation else f"{verdict.first}; {verdict.second}"
    )
    remark = f"; {verdict.remark}" if verdict.remark else ""
    return claim.says, verdict.data, f"**{verdict.verdict}**", interval, f"{numbers}{remark}"


_SIGN = {"ratio": "/", "difference": "-", "rho": ""}


def main(folders: Sequence[str]) -> None:
    """Print one table per study."""
    for folder in map(Path, folders):
        title = json.loads((folder / "about.json").read_text(encoding="utf-8"))["title"]
        print(f"### {title}\n\n{claims_table(folder)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
