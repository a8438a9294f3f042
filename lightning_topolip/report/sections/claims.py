"""The claims of the study and their verdicts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from lightning_topolip.report.blocks import Badge, Block, EffectLine, Judgement, Note, Section, Table
from lightning_topolip.report.formats import MINUS, RHO, join_names, number
from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.claims import claims_of
from lightning_topolip.study.judging.verdicts import Verdict, judge
from lightning_topolip.study.judging.wording import counted

_VERDICTS = {"holds": "hold", "does not hold": "do not hold", "undecided": "are undecided"}
_NOT_ASKED: str = "not asked of this data"
_LINE_ENDS = {"ratio": (2.0, 10.0, 100.0, 1000.0), "difference": (0.05, 0.1, 0.2, 0.5, 1.0), "rho": (1.0,)}


def claims(source: Source) -> Section:
    """Show every claim with one verdict per data set, and apart what these data were not asked."""
    stated = claims_of(source.about.get("claims") or [])
    judged = judge(stated, source.results)
    verdicts = [verdict for verdict in judged if verdict.verdict != _NOT_ASKED]
    not_asked = [verdict for verdict in judged if verdict.verdict == _NOT_ASKED]
    badges = [_badge(verdict, line) for verdict, line in zip(verdicts, effect_lines(verdicts), strict=True)]
    blocks: list[Block] = [Note(_tally(verdicts))]
    for claim in stated:
        of_claim = [badge for badge, verdict in zip(badges, verdicts, strict=True) if verdict.claim == claim]
        if of_claim:
            blocks.append(Judgement(claim.says, claim.source, of_claim))
    if not_asked:
        blocks.append(_not_asked_table(not_asked))
    return Section("claims", "Findings", "", blocks)


def _not_asked_table(verdicts: Sequence[Verdict]) -> Table:
    rows = [[verdict.claim.says, verdict.data, verdict.remark] for verdict in verdicts]
    return Table("Not asked of this data: these runs could not decide the claim, whatever they had measured.",
                 ["claim", "data", "reason"], rows)  # fmt: skip


def effect_lines(verdicts: Sequence[Verdict]) -> list[EffectLine | None]:
    """Place effects of the same unit on lines of the same length; None for a verdict without an interval."""
    ends = {unit: _line_end(unit, [verdict for verdict in verdicts if verdict.unit == unit]) for unit in _LINE_ENDS}
    return [_effect_line(verdict, ends[verdict.unit]) for verdict in verdicts]


def _tally(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return "The study makes no claims that its results can decide."
    counts = Counter[str](verdict.verdict for verdict in verdicts)
    parts = join_names([f"{counts[name]} {_verb(name, counts[name])}" for name in _VERDICTS if counts[name]])
    return (
        f"Of {counted(len(verdicts), 'verdict')} (one per claim and data set), {parts}. A claim holds, or does not "
        "hold, if the whole 95 % interval of its effect lies on one side of no effect; otherwise it is undecided. On "
        "each line, the dot is the effect, the bar is its interval, the middle is no effect, and the shaded half is "
        "the claimed side. The level is not adjusted for the number of claims."
    )


def _verb(verdict: str, count: int) -> str:
    singular = "is undecided" if verdict == "undecided" else verdict
    return singular if count == 1 else _VERDICTS[verdict]


def _badge(verdict: Verdict, line: EffectLine | None) -> Badge:
    effect = f"{_quantity(verdict)}{_effect(verdict)}"
    return Badge(verdict.data, verdict.verdict, effect, _sides(verdict), verdict.remark, line)


def _quantity(verdict: Verdict) -> str:
    claim = verdict.claim
    if claim.correlation:
        return f"Spearman {RHO} of {join_names([name.replace('_', ' ') for name in claim.correlation])}"
    sign = "/" if verdict.unit == "ratio" else MINUS
    return f"{claim.summary.replace('_', ' ')}, {claim.lower} {sign} {claim.higher}"


def _effect(verdict: Verdict) -> str:
    if math.isnan(verdict.effect):
        return ": unknown"
    if math.isnan(verdict.low):
        return f" = {number(verdict.effect)}, no interval"
    return f" = {number(verdict.effect)}, 95 % interval {number(verdict.low)} to {number(verdict.high)}"


def _sides(verdict: Verdict) -> str:
    if verdict.claim.correlation:
        return f"{counted(verdict.models, 'model')}, each the mean of its seeds, {counted(verdict.runs, 'run')}"
    return f"{verdict.first} against {verdict.second}"


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
        50 + 50 * _distance(value, verdict.unit) / _distance(end, verdict.unit)
        for value in (verdict.effect, verdict.low, verdict.high)
    )
    left, middle = (1 / end, 1.0) if verdict.unit == "ratio" else (-end, 0.0)
    claim = verdict.claim
    return EffectLine(
        effect=effect if 0 <= effect <= 100 else None,
        low=min(max(low, 0.0), 100.0),
        high=min(max(high, 0.0), 100.0),
        open_low=low < 0,
        open_high=high > 100,
        claimed="right" if claim.correlation and claim.sign == "positive" else "left",
        ticks=(number(left, 1), number(middle, 1), number(end, 1)),
    )


def _distance(value: float, unit: str) -> float:
    """Return the distance of a value from no effect, on the scale of the line."""
    if unit != "ratio":
        return value
    return math.log(value) if value > 0 else -math.inf


def _has_interval(verdict: Verdict) -> bool:
    return math.isfinite(verdict.effect) and not math.isnan(verdict.low) and not math.isnan(verdict.high)
