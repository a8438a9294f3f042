"""A warning is given once."""

import pickle
import warnings

import pytest
from lightning.pytorch.utilities import rank_zero_only

from lightning_topolip.notices import Notices


def given(notices: Notices, *messages: str, key: object = None) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for message in messages:
            notices.warn(message, key)
    return [str(warning.message) for warning in caught]


def test_a_warning_is_given_once() -> None:
    notices = Notices()
    assert given(notices, "disk full", "disk full", "server gone") == ["disk full.", "server gone."]
    assert given(pickle.loads(pickle.dumps(notices)), "disk full") == []
    notices.clear()
    assert given(notices, "disk full") == ["disk full."]


def test_messages_of_one_key_are_one_warning() -> None:
    assert given(Notices(), "no answer in 3 s", "no answer in 5 s", key=TimeoutError) == ["no answer in 3 s."]


def test_other_processes_are_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert given(Notices(), "disk full") == []


def test_without_lightning_the_rank_on_this_machine_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(rank_zero_only, "rank")
    for rank, expected in (("1", []), ("0", ["disk full."])):
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert given(Notices(), "disk full") == expected
