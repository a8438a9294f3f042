"""What a block changes in objects, and in what they hold, is put back."""

import collections
import functools
import io
import random
import threading
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lightning_topolip.network.restoration import restored


class Holder:
    def __init__(self, value: Any) -> None:
        self.value = value


class Pickled(Holder):
    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __del__(self) -> None:
        pass


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Hidden(Slotted):
    """Hides the slot of its parent behind a property, as the paths of Python 3.13 do."""

    value = property(lambda self: -1)

    def __init__(self, value: Any) -> None:
        Slotted.value.__set__(self, value)


class Private:
    __slots__ = ("__value",)

    def __init__(self, value: Any) -> None:
        self.__value = value

    def __call__(self) -> Any:
        return self.__value


def counting() -> Any:
    count = 0

    def collate(samples: Any) -> int:
        nonlocal count
        count += 1
        return count

    return collate


CHANGES: dict[str, Any] = {
    "number": (lambda: 3, lambda holder: setattr(holder, "value", 4), lambda value: value),
    "new attribute": (lambda: 3, lambda holder: setattr(holder, "other", 4), lambda value: value),
    "list": (lambda: [1, [2]], lambda holder: holder.value[1].append(3), repr),
    "dictionary": (lambda: {"a": {"b": 1}}, lambda holder: holder.value["a"].update(b=2), repr),
    "set": (lambda: {1}, lambda holder: holder.value.add(2), repr),
    "deque": (lambda: collections.deque([1]), lambda holder: holder.value.popleft(), repr),
    "counter": (collections.Counter, lambda holder: holder.value.update("aab"), repr),
    "ordered": (
        lambda: collections.OrderedDict(a=1, b=2), lambda holder: holder.value.move_to_end("a"), lambda value: [*value]
    ),
    "wide": (lambda: [[0] for _ in range(100)], lambda holder: holder.value[99].append(1), repr),
    "object": (lambda: Holder([1]), lambda holder: holder.value.value.append(2), lambda value: value.value[:]),
    "own pickling": (lambda: Pickled([1]), lambda holder: holder.value.value.append(2), lambda value: value.value[:]),
    "slots": (lambda: Slotted(1), lambda holder: setattr(holder.value, "value", 2), lambda value: value.value),
    "hidden slot": (lambda: Hidden(1), lambda holder: holder.value.__init__(2), Slotted.value.__get__),
    "private slot": (lambda: Private(1), lambda holder: holder.value.__init__(2), Private.__call__),
    "namespace": (lambda: SimpleNamespace(n=1), lambda holder: setattr(holder.value, "n", 2), lambda value: value.n),
    "closure": (counting, lambda holder: holder.value([]), lambda value: value.__closure__[0].cell_contents),
    "partial": (
        lambda: functools.partial(max, Holder(1)),
        lambda holder: setattr(holder.value.args[0], "value", 2),
        lambda value: value.args[0].value,
    ),
    "method": (
        lambda: Holder([1]).__init__,  # type: ignore[misc]
        lambda holder: holder.value([2]),
        lambda value: repr(value.__self__.value),
    ),
    "tensor": (lambda: [torch.zeros(3)], lambda holder: holder.value[0].add_(1), lambda value: value[0].tolist()),
    "array": (lambda: np.zeros(3), lambda holder: np.add(holder.value, 1, out=holder.value), lambda a: a.tolist()),
    "torch": (
        lambda: torch.Generator().manual_seed(1),
        lambda holder: torch.rand(3, generator=holder.value),
        lambda generator: generator.get_state().tolist(),
    ),
    "numpy": (lambda: np.random.default_rng(1), lambda h: h.value.random(), lambda g: repr(g.bit_generator.state)),
    "legacy numpy": (lambda: np.random.RandomState(1), lambda h: h.value.rand(), lambda g: repr(g.get_state())),
    "python": (lambda: random.Random(1), lambda h: h.value.random(), lambda g: g.getstate()),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("fails", [False, True])
def test_what_a_block_changes_is_put_back(kind: str, fails: bool) -> None:
    make, change, state = CHANGES[kind]
    holder = Holder(make())
    value, before, names = holder.value, state(holder.value), set(vars(holder))

    def block() -> None:
        with restored([holder]):
            change(holder)
            assert state(holder.value) != before or set(vars(holder)) != names
            if fails:
                raise KeyError

    if fails:
        with pytest.raises(KeyError):
            block()
    else:
        block()
    assert holder.value is value
    assert state(value) == before
    assert set(vars(holder)) == names


def test_a_file_that_the_block_opened_is_closed_and_one_that_was_open_stays() -> None:
    file, new = io.BytesIO(b"abc"), io.BytesIO(b"new")
    holder = Holder(None)
    with restored(holder, file):
        holder.value = new
    assert holder.value is None
    assert new.closed
    assert not file.closed


def test_objects_that_hold_themselves() -> None:
    holder = Holder(None)
    holder.value = [holder]
    with restored(holder):
        holder.value.append(1)
    assert holder.value == [holder]


def test_long_chains() -> None:
    chain: Any = None
    for _ in range(20_000):
        chain = Holder(chain)
    with restored(chain):
        chain.value.value = None
    assert chain.value.value is not None


def test_a_future_that_another_thread_finishes_stays_finished() -> None:
    future: Future[int] = Future()
    with restored(Holder(future)):
        thread = threading.Thread(target=lambda: future.set_result(3))
        thread.start()
        thread.join()
    assert future.result(timeout=1) == 3


def test_the_position_of_an_open_file_is_put_back(tmp_path: Any) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    with (tmp_path / "file").open("rb") as file:
        file.read(3)
        with restored(Holder(file)):
            assert file.read(4) == b"3456"
        assert file.read(2) == b"34"


def test_a_file_that_was_open_before_is_not_closed_where_an_attribute_turns_to_it(tmp_path: Any) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    with (tmp_path / "a").open() as first, (tmp_path / "b").open() as second:
        shards = Holder([first, second])
        shards.current = first  # type: ignore[attr-defined]
        with restored(shards):
            shards.current = second  # type: ignore[attr-defined]
        assert shards.current is first  # type: ignore[attr-defined]
        assert second.read() == "b"


def test_what_cannot_be_put_back_does_not_keep_the_rest_from_it() -> None:
    array, numbers = np.zeros(3), [1]
    with pytest.raises(ValueError, match="broadcast"), restored(Holder([numbers, array, [numbers]])):  # noqa: PT012
        numbers.append(2)
        array.resize(7, refcheck=False)
    assert numbers == [1]


def test_a_tensor_that_was_sent_to_a_worker_is_put_back() -> None:
    tensor = torch.zeros(3).share_memory_()
    with restored(Holder(tensor)):
        tensor.add_(1)
    assert not tensor.any()
