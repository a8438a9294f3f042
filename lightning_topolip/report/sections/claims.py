"""What was found: the claims and how they fare."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from lightning_topolip.report.blocks import Badge, Block, Judgement, Note, Section
from lightning_topolip.report.formats import MINUS, RHO, listed, number
from lightning_topolip.report.source import Source
from lightning_topolip.report.tracks import Track, tracks
from lightning_topolip.study.judging.claims import claims_of
from lightning_topolip.study.judging.verdicts import Verdict, counted, judge

_VERDICTS = ("holds", "does not hold", "undecided")


def found(source: Source) -> Section:
    """Hold the study's claims against its results.

    Args:
        source: The study.

    Returns:
        The claims, each with a verdict a data set.
    """
    claims = claims_of(source.about.get("claims") or [])
    verdicts = judge(claims, source.results)
    badges = [_badge(verdict, track) for verdict, track in zip(verdicts, tracks(verdicts), strict=True)]
    blocks: list[Block] = [Note(_tally(verdicts))]
    for claim in claims:
        own = [badge for badge, verdict in zip(badges, verdicts, strict=True) if verdict.claim == claim]
        blocks.append(Judgement(claim.says, claim.source, own))
    return Section("found", "What was found", "", blocks)


def _tally(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return "The study makes no claims that could be held against its results."
    counts = Counter[str](verdict.verdict for verdict in verdicts)
    parts = listed([f"{counts[name]} {_plural(name, counts[name])}" for name in _VERDICTS if counts[name]])
    return (
        f"Of {len(verdicts)} verdicts (a claim on a data set), {parts}. A claim holds, or does not hold, where the "
        "95 % interval of its effect lies wholly on one side; otherwise it is undecided. On the lines, the dot is the "
        "effect, the bar its interval, the middle no effect, and the shaded half what is claimed. No level is adjusted "
        "for the number of claims."
    )


def _plural(verdict: str, number_of: int) -> str:
    several = {"holds": "hold", "does not hold": "do not hold", "undecided": "are undecided"}
    one = {**{name: name for name in several}, "undecided": "is undecided"}
    return one[verdict] if number_of == 1 else several[verdict]


def _badge(verdict: Verdict, track: Track | None) -> Badge:
    return Badge(
        verdict.data,
        verdict.verdict,
        f"{_what(verdict)}{_effect(verdict)}",
        _sides(verdict),
        verdict.remark,
        track,
    )


def _sides(verdict: Verdict) -> str:
    if verdict.claim.correlation:
        return f"{counted(verdict.models, 'model')}, each the mean of its seeds, {counted(verdict.runs, 'run')}"
    return f"{verdict.first} against {verdict.second}"


def _effect(verdict: Verdict) -> str:
    if math.isnan(verdict.effect):
        return ": not known"
    if math.isnan(verdict.low):
        return f" = {number(verdict.effect)}, no interval"
    return f" = {number(verdict.effect)}, 95 % interval {number(verdict.low)} to {number(verdict.high)}"


def _what(verdict: Verdict) -> str:
    claim = verdict.claim
    if claim.correlation:
        return f"Spearman {RHO} of {listed([name.replace('_', ' ') for name in claim.correlation])}"
    sign = "/" if verdict.unit == "ratio" else MINUS
    return f"{claim.summary.replace('_', ' ')}, {claim.lower} {sign} {claim.higher}"
