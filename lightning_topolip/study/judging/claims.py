"""The claims that a study tests."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from lightning_topolip.study.judging.summaries import SUMMARIES

Sign = Literal["positive", "negative"]
When = Literal["end", "start", "equal accuracy"]


@dataclass(frozen=True)
class Claim:
    """A sentence that runs can support or contradict: a comparison of two models, or a correlation over models.

    Attributes:
        says: The claim in words.
        summary: For a comparison, the number to compare, one of `SUMMARIES`.
        lower: For a comparison, label of the model that is claimed to have the lower value.
        higher: For a comparison, label of the model that is claimed to have the higher value.
        when: For a comparison, the numbers that are compared: ``"end"``, after the training; ``"start"``, before it;
            ``"equal accuracy"``, where both models have the same validation accuracy, between snapshots if need be.
        correlation: For a correlation, two names of `SUMMARIES`.
        sign: For a correlation, the claimed sign.
        among: For a correlation, a pattern such as ``"resnet*"`` that selects the models; all by default.
        source: Who makes the claim, such as a paper.

    Raises:
        ValueError: If it is neither a complete comparison nor a correlation, or both, or names an unknown number.

    Example:
        >>> claim = Claim("Attention is smoother.", summary="topolip", lower="vit", higher="resnet")
        >>> Claim("Smoothness goes with robustness.", correlation=("topolip", "corruption_drop")).sign
        'positive'
    """

    says: str
    summary: str = ""
    lower: str = ""
    higher: str = ""
    when: When = "end"
    correlation: tuple[str, str] | None = None
    sign: Sign = "positive"
    among: str = "*"
    source: str = ""

    def __post_init__(self) -> None:
        """Check that it is either a comparison or a correlation."""
        if not self.says.strip():
            raise ValueError("Argument `says` must be the claim in words, got an empty text.")
        if self.sign not in get_args(Sign):
            raise ValueError(f"Argument `sign` must be one of {get_args(Sign)}, got {self.sign!r}.")
        if self.when not in get_args(When):
            raise ValueError(f"Argument `when` must be one of {get_args(When)}, got {self.when!r}.")
        comparison = {"summary": self.summary, "lower": self.lower, "higher": self.higher}
        given = [name for name, value in comparison.items() if value]
        if bool(given) == (self.correlation is not None):
            raise ValueError(
                f"Arguments of the claim {self.says!r} must be either `summary`, `lower` and `higher`, or "
                f"`correlation`, got {'both' if given else 'neither'}."
            )
        if self.correlation is None:
            self._check_comparison([name for name, value in comparison.items() if not value])
        else:
            self._check_correlation()

    def _check_comparison(self, missing: list[str]) -> None:
        if missing:
            raise ValueError(
                "Arguments `summary`, `lower` and `higher` must be given together, "
                f"got the claim {self.says!r} without {' and '.join(f'`{name}`' for name in missing)}."
            )
        _check_summary("summary", self.summary)
        if self.lower == self.higher:
            raise ValueError(
                f"Arguments `lower` and `higher` must be different models, got {self.lower!r} twice in {self.says!r}."
            )
        if self.sign != "positive":
            raise ValueError(
                f"Argument `sign` must be omitted in a comparison, got {self.sign!r} in {self.says!r}; swap the models."
            )
        if self.among != "*":
            raise ValueError(f"Argument `among` must be omitted in a comparison, got {self.among!r} in {self.says!r}.")

    def _check_correlation(self) -> None:
        pair = self.correlation
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2 or pair[0] == pair[1]:
            raise ValueError(f"Argument `correlation` must be two different names of summaries, got {pair!r}.")
        for name in pair:
            _check_summary("correlation", name)
        if self.when != "end":
            raise ValueError(f"Argument `when` must be omitted in a correlation, got {self.when!r} in {self.says!r}.")
        object.__setattr__(self, "correlation", tuple(pair))


def claims_of(entries: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """Make claims from mappings with the fields of `Claim`, as in ``about.json``.

    Example:
        >>> claims_of([{"says": "Small is smooth.", "correlation": ["parameters", "topolip"]}])[0].correlation
        ('parameters', 'topolip')
    """
    names = {field.name for field in fields(Claim)}
    for entry in entries:
        if not isinstance(entry, Mapping) or "says" not in entry or set(entry) - names:
            raise ValueError(
                f"Argument `claims` must hold entries with `says` and otherwise only {sorted(names - {'says'})}, "
                f"got {entry!r}."
            )
    return [Claim(**entry) for entry in entries]


def _check_summary(argument: str, name: str) -> None:
    if name in SUMMARIES:
        return
    close = difflib.get_close_matches(name, SUMMARIES)
    allowed = f"did you mean {' or '.join(map(repr, close))}?" if close else f"take one of {sorted(SUMMARIES)}."
    raise ValueError(f"Argument `{argument}` must be the name of a summary, got {name!r}; {allowed}")
