"""The verdicts of a study as rows of text, for a terminal, a page or a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from lightning_topolip.study.judging.claims import Claim
from lightning_topolip.study.judging.effects import effect_in_words
from lightning_topolip.study.judging.formats import join_names
from lightning_topolip.study.judging.results import Results
from lightning_topolip.study.judging.verdicts import NOT_ASKED, Outcome, Verdict, judge
from lightning_topolip.study.judging.wording import counted

_PLURALS: dict[Outcome, str] = {"holds": "hold", "does not hold": "do not hold", "undecided": "are undecided"}


class VerdictRow(NamedTuple):
    """A verdict in plain words.

    Attributes:
        claim: The claim.
        data: Label of the data.
        verdict: ``"holds"``, ``"does not hold"``, ``"undecided"`` or ``"not asked of this data"``.
        effect: The effect in the direction of the claim with its interval; empty if the claim was not asked.
        numbers: The numbers that are compared.
        remark: Why the claim was not asked, or what else there is to say; may be empty.
    """

    claim: str
    data: str
    verdict: Outcome
    effect: str
    numbers: str
    remark: str


def verdict_rows(claims: Sequence[Claim], results: Results) -> list[VerdictRow]:
    """Test every claim on every data set by `judge`, and write each verdict in words.

    Example:
        >>> from lightning_topolip.study.judging.results import Row
        >>> values = {"vit": (0.10, 0.11, 0.12), "resnet": (0.30, 0.31, 0.32)}
        >>> rows = [
        ...     Row("digits", model, seed, 1.0, "topolip", "scaled W2", "", "", 0.0, value)
        ...     for model, seeds in values.items()
        ...     for seed, value in enumerate(seeds)
        ... ]
        >>> claim = Claim("The ViT is smoother.", summary="topolip", lower="vit", higher="resnet")
        >>> [row] = verdict_rows([claim], Results(rows))
        >>> row.verdict, row.effect
        ('holds', 'TopoLip: resnet / vit = 2.83, 95 % interval 2.31 to 3.45 (claimed: above 1)')
    """
    return [row_of(verdict) for verdict in judge(claims, results)]


def row_of(verdict: Verdict) -> VerdictRow:
    """Write one verdict in words."""
    claim, asked = verdict.claim, verdict.verdict != NOT_ASKED
    effect = effect_in_words(verdict) if asked else ""
    return VerdictRow(claim.says, verdict.data, verdict.verdict, effect, _numbers(verdict), verdict.remark)


def tally(outcomes: Sequence[Outcome]) -> str:
    """Count the verdicts in a sentence.

    Example:
        >>> tally(["holds", "holds", "does not hold", "not asked of this data"])
        'Of 3 verdicts, 2 hold and 1 does not hold; 1 more was not asked of this data.'
    """
    counts = Counter(outcomes)
    not_asked = counts.pop(NOT_ASKED, 0)
    parts = join_names([f"{counts[name]} {_verb(name, counts[name])}" for name in _PLURALS if counts[name]])
    if not parts:
        return "The study makes no claims that its results can decide."
    more = f"; {not_asked} more {'was' if not_asked == 1 else 'were'} not asked of this data" if not_asked else ""
    return f"Of {counted(sum(counts.values()), 'verdict')}, {parts}{more}."


def _verb(outcome: Outcome, count: int) -> str:
    if count > 1:
        return _PLURALS[outcome]
    return "is undecided" if outcome == "undecided" else outcome


def _numbers(verdict: Verdict) -> str:
    if verdict.claim.correlation:
        return f"{counted(verdict.models, 'model')}, each the mean of its seeds, {counted(verdict.runs, 'run')}"
    return f"{verdict.first}; {verdict.second}"
