"""The answer of a study to its own question, from its verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lightning_topolip.report.source import Source
from lightning_topolip.study.judging.claims import Claim
from lightning_topolip.study.judging.formats import join_names
from lightning_topolip.study.judging.verdict_rows import VerdictRow, row_of, tally
from lightning_topolip.study.judging.verdicts import NOT_ASKED, Verdict

_TOPICS: dict[str, Callable[[Claim], bool]] = {
    "Smoothness (TopoLip)": lambda claim: claim.summary == "topolip",
    "Robustness (accuracy lost)": lambda claim: claim.summary.endswith("_drop"),
    "Together (rank correlations)": lambda claim: claim.correlation is not None,
}


@dataclass(frozen=True)
class Finding:
    """What the verdicts on one topic are.

    Attributes:
        topic: The topic.
        counts: How many of its claims hold, do not hold, or are undecided; empty if it has one claim.
        central: The verdicts on its first claim, one per data set.
    """

    topic: str
    counts: str
    central: Sequence[VerdictRow]


@dataclass(frozen=True)
class Answer:
    """How many claims hold, and the findings by topic."""

    sentence: str
    findings: Sequence[Finding]


def answer(source: Source) -> Answer:
    """Count the verdicts, and for smoothness, robustness and both together quote the first claim with its verdicts.

    The claims of a recipe are in the order of their weight. A study without claims on these topics quotes its first.
    """
    verdicts = source.verdicts
    asked = [verdict for verdict in verdicts if verdict.verdict != NOT_ASKED]
    by_topic = {topic: [verdict for verdict in asked if of(verdict.claim)] for topic, of in _TOPICS.items()}
    found = {topic: of_topic for topic, of_topic in by_topic.items() if of_topic}
    if asked and not found:
        found = {"Claims": asked}
    sentence = tally([verdict.verdict for verdict in verdicts])
    if asked:
        sentence += f" Data: {join_names(list(dict.fromkeys(verdict.data for verdict in asked)))}."
    return Answer(sentence, [_finding(topic, of_topic) for topic, of_topic in found.items()])


def _finding(topic: str, verdicts: Sequence[Verdict]) -> Finding:
    central = [row_of(verdict) for verdict in verdicts if verdict.claim == verdicts[0].claim]
    counts = tally([verdict.verdict for verdict in verdicts]) if len(central) < len(verdicts) else ""
    return Finding(topic, counts, central)
