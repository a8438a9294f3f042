"""The lock of a folder: one owner at a time, kept alive, and taken over when its owner is gone."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from lightning_topolip.study import lock
from lightning_topolip.study.lock import DEAD_AFTER, STALE_AFTER, FolderInUse, FolderLock, locked


def abandoned(folder: Path, seconds: float, **owner: object) -> Path:
    """Leave a lock whose owner gave its last sign of life some seconds ago."""
    held = FolderLock(folder)
    file = folder / "lock"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**json.loads(held._content), **owner}))
    then = time.time() - seconds
    os.utime(file, (then, then))
    return file


def ended_process() -> int:
    process = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(process, 0)
    return process


def test_a_lock_has_one_owner_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path / "run"):
        with (
            pytest.raises(FolderInUse, match=rf"in use by process {os.getpid()} on \S+ since 20\d\d-"),
            locked(tmp_path / "run"),
        ):
            pass
        with locked(tmp_path / "other"):
            pass
    assert not list((tmp_path / "run").iterdir())
    with locked(tmp_path / "run"):
        pass


def test_an_error_gives_the_lock_back(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("seconds", "owner", "is_free"),
    [
        (STALE_AFTER - 10, {"host": "elsewhere"}, False),
        (STALE_AFTER + 10, {"host": "elsewhere"}, True),
        (STALE_AFTER - 10, {}, False),
        (STALE_AFTER + 10, {}, True),
        (DEAD_AFTER + 5, {"process": "ended"}, True),
        (DEAD_AFTER - 5, {"process": "ended"}, False),
        (DEAD_AFTER + 5, {"process": "ended", "host": "elsewhere"}, False),
    ],
)
def test_a_lock_without_a_sign_of_life_is_taken_over(
    tmp_path: Path, seconds: float, owner: dict[str, object], is_free: bool
) -> None:
    if owner.get("process") == "ended":
        owner = {**owner, "process": ended_process()}
    abandoned(tmp_path, seconds, **owner)
    if is_free:
        with locked(tmp_path) as taken:
            taken.require()
        assert not list(tmp_path.iterdir())
    else:
        with pytest.raises(FolderInUse), locked(tmp_path):
            pass
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_an_unreadable_lock_is_free_only_when_it_is_stale(tmp_path: Path) -> None:
    file = abandoned(tmp_path, 0)
    file.write_text("")
    with pytest.raises(FolderInUse, match="just starting"), locked(tmp_path):
        pass
    then = time.time() - STALE_AFTER - 10
    os.utime(file, (then, then))
    with locked(tmp_path):
        pass


def take_at(barrier: threading.Barrier, folder: Path, takers: list[FolderLock]) -> None:
    taker = FolderLock(folder)
    barrier.wait()
    with suppress(FolderInUse):
        taker.acquire()
        takers.append(taker)


def test_one_of_many_takes_over(tmp_path: Path) -> None:
    for attempt in range(20):
        folder = tmp_path / str(attempt)
        abandoned(folder, STALE_AFTER + 10)
        takers: list[FolderLock] = []
        take = partial(take_at, threading.Barrier(8), folder, takers)
        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (owner,) = takers
        owner.release()
        assert not list(folder.iterdir())


def test_the_owner_keeps_its_lock_alive_and_learns_of_its_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT", 0.02)
    file = tmp_path / "lock"
    with locked(tmp_path) as owner:
        os.utime(file, (0, 0))
        wait_until(lambda: file.stat().st_mtime > 0)
        owner.require()
        abandoned(tmp_path, 0, host="elsewhere")
        wait_until(lambda: owner._lost)
        with pytest.raises(FolderInUse, match="elsewhere"):
            owner.require()
    assert file.exists()


def wait_until(condition: object) -> None:
    end = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)
