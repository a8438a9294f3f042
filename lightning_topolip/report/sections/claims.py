"""The claims of the study and their verdicts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lightning_topolip.report.blocks import Badge, Block, EffectLine, Judgement, Note, Section, Table
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.claims import claims_of
from lightning_topolip.study.judging.effects import claimed_above, claimed_effect
from lightning_topolip.study.judging.formats import number
from lightning_topolip.study.judging.verdict_rows import row_of, tally
from lightning_topolip.study.judging.verdicts import NEUTRAL, NOT_ASKED, Verdict

_LINE_ENDS = {"ratio": (2.0, 10.0, 100.0, 1000.0), "difference": (0.05, 0.1, 0.2, 0.5, 1.0), "rho": (1.0,)}
_HOW_TO_READ = (
    "There is one verdict per claim and data set. A claim holds, or does not hold, if the whole 95 % interval of its "
    "effect lies on one side of no effect; otherwise it is undecided. Effects are given in the direction of the claim: "
    "the model that is claimed to have the higher number comes first, so a ratio above 1, or a difference above 0, is "
    "as claimed. On each line, the dot is the effect, the bar is its interval, the middle is no effect, and the shaded "
    "half is the claimed side. The level is not adjusted for the number of claims."
)


def claims(source: Source) -> Section:
    """Show every claim with one verdict per data set, and apart what these data were not asked."""
    asked = [verdict for verdict in source.verdicts if verdict.verdict != NOT_ASKED]
    not_asked = [verdict for verdict in source.verdicts if verdict.verdict == NOT_ASKED]
    badges = [_badge(verdict, line) for verdict, line in zip(asked, effect_lines(asked), strict=True)]
    blocks: list[Block] = [
        Note(tally([verdict.verdict for verdict in asked])),
        *([Note(_HOW_TO_READ)] if asked else []),
    ]
    for claim in claims_of(source.about.get("claims") or []):
        of_claim = [badge for badge, verdict in zip(badges, asked, strict=True) if verdict.claim == claim]
        if of_claim:
            blocks.append(Judgement(claim.says, claim.source, of_claim))
    if not_asked:
        blocks.append(_not_asked_table(not_asked))
    return Section("claims", "Findings", "", blocks)


def _not_asked_table(verdicts: Sequence[Verdict]) -> Table:
    rows = [[verdict.claim.says, verdict.data, verdict.remark] for verdict in verdicts]
    return Table("Not asked of this data: these runs could not decide the claim, whatever they had measured.",
                 ["claim", "data", "reason"], rows)  # fmt: skip


def _badge(verdict: Verdict, line: EffectLine | None) -> Badge:
    row = row_of(verdict)
    return Badge(row.data, row.verdict, row.effect, row.numbers, row.remark, line)


def effect_lines(verdicts: Sequence[Verdict]) -> list[EffectLine | None]:
    """Place effects of the same unit on lines of the same length; None for a verdict without an interval."""
    ends = {unit: _line_end(unit, [verdict for verdict in verdicts if verdict.unit == unit]) for unit in _LINE_ENDS}
    return [_effect_line(verdict, ends[verdict.unit]) for verdict in verdicts]


def _line_end(unit: str, verdicts: Sequence[Verdict]) -> float:
    """Return the smallest end of the line that includes all effects."""
    farthest = max(
        (abs(_distance(verdict.effect, unit)) for verdict in verdicts if _has_interval(verdict)), default=0.0
    )
    fitting = [end for end in _LINE_ENDS[unit] if _distance(end, unit) >= farthest]
    return fitting[0] if fitting else _LINE_ENDS[unit][-1]


def _effect_line(verdict: Verdict, end: float) -> EffectLine | None:
    if not _has_interval(verdict):
        return None
    effect, low, high = (
        50 + 50 * _distance(value, verdict.unit) / _distance(end, verdict.unit) for value in claimed_effect(verdict)
    )
    factor, unit = (100, " points") if verdict.unit == "difference" else (1, "")
    left = 1 / end if verdict.unit == "ratio" else -factor * end
    return EffectLine(
        effect=effect if 0 <= effect <= 100 else None,
        low=min(max(low, 0.0), 100.0),
        high=min(max(high, 0.0), 100.0),
        open_low=low < 0,
        open_high=high > 100,
        claimed="right" if claimed_above(verdict) else "left",
        ticks=(number(left, 1), number(NEUTRAL[verdict.unit], 1), f"{number(factor * end, 1)}{unit}"),
    )


def _distance(value: float, unit: str) -> float:
    """Return the distance of a value from no effect, on the scale of the line."""
    if unit != "ratio":
        return value
    return math.log(value) if value > 0 else -math.inf


def _has_interval(verdict: Verdict) -> bool:
    return math.isfinite(verdict.effect) and not math.isnan(verdict.low) and not math.isnan(verdict.high)
