"""Reading a copy leaves the original as it is."""

import collections
import io
import random
from typing import Any

import numpy as np
import pytest
import torch

from lightning_topolip.network.isolation import isolated, live_iterators


class Holder:
    def __init__(self, value: Any) -> None:
        self.value = value


class Closing(Holder):
    def __del__(self) -> None:
        self.value.close()


CHANGES: dict[str, Any] = {
    "number": (lambda: 3, lambda holder: setattr(holder, "value", 4), lambda value: value),
    "list": (lambda: [1, [2]], lambda holder: holder.value[1].append(3), repr),
    "dictionary": (lambda: {"a": {"b": 1}}, lambda holder: holder.value["a"].update(b=2), repr),
    "set": (lambda: {1}, lambda holder: holder.value.add(2), repr),
    "queue": (lambda: collections.deque([1]), lambda holder: holder.value.popleft(), repr),
    "long list": (lambda: list(range(1000)), lambda holder: holder.value.clear(), len),
    "inner object": (lambda: Holder([1]), lambda holder: holder.value.value.append(2), lambda value: value.value),
    "torch": (
        lambda: torch.Generator().manual_seed(1),
        lambda holder: torch.rand(3, generator=holder.value),
        lambda generator: generator.get_state().tolist(),
    ),
    "numpy": (lambda: np.random.default_rng(1), lambda h: h.value.random(), lambda g: repr(g.bit_generator.state)),
    "python": (lambda: random.Random(1), lambda h: h.value.random(), lambda g: g.getstate()),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGES)
def test_what_a_copy_changes_does_not_reach_the_original(kind: str) -> None:
    make, change, state = CHANGES[kind]
    original = Holder(make())
    before = state(original.value)
    copy = isolated(original)
    change(copy)
    assert state(original.value) == before
    assert state(copy.value) != before


def test_tensors_and_files_are_shared_and_not_closed() -> None:
    tensor, file = torch.zeros(3), io.BytesIO(b"abc")
    original = Holder([tensor, Closing(file)])
    copy = isolated(original)
    assert copy.value[0] is tensor
    del copy
    assert not file.closed


def test_an_object_that_occurs_twice_or_in_itself_is_copied_once() -> None:
    inner = Holder(1)
    both = isolated(Holder([inner, inner]))
    assert both.value[0] is both.value[1] is not inner
    inner.value = inner
    own = isolated(inner)
    assert own.value is own


def test_methods_move_to_the_copy() -> None:
    class Collating(Holder):
        def collate(self, samples: list[Any]) -> int:
            self.value += 1
            return self.value

    original = Collating(0)
    assert isolated(Holder(original.collate)).value([]) == 1
    assert original.value == 0


@pytest.mark.parametrize("live", [iter([1]), (x for x in "a"), io.BytesIO(b"a"), zip([1], [2], strict=True)])
def test_live_iterators_are_noticed(live: Any) -> None:
    assert live_iterators(Holder({"inner": Holder(live)})) == [live]
    assert live_iterators(Holder([1, "text", torch.zeros(2)])) == []
