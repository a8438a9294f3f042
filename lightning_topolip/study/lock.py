"""A lock on a folder for one process at a time, also among machines that share its file system."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

HEARTBEAT = 5.0
"""Seconds between two signs of life of a lock's owner: the lock file's new time."""

STALE_AFTER = 120.0
"""Seconds without a sign of life after which a lock may be taken over; network file systems show new times late."""

DEAD_AFTER = 2 * HEARTBEAT
"""The same where the owner ran on this host and its process is gone."""


class FolderInUse(Exception):
    """Another process holds the lock of a folder.

    Attributes:
        owner: Its host, process and start in words.
    """

    def __init__(self, owner: str) -> None:
        super().__init__(f"in use by {owner}")
        self.owner = owner


class FolderLock:
    """The lock of a folder: the file ``lock`` in it, created exclusively and kept alive by its time.

    No lock of the operating system is needed, which network file systems may lack. A lock without a sign of life is
    taken over by exactly one of the processes that ask for it.

    Args:
        folder: The folder, which is created.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "lock"
        self._content = json.dumps(
            {"host": socket.gethostname(), "process": os.getpid(), "since": _clock(), "token": uuid4().hex}
        )
        self._ended, self._lost = threading.Event(), False
        self._heart = threading.Thread(target=self._beat, name=f"lock {folder}", daemon=True)

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            FolderInUse: If another process holds it.
        """
        self._file.parent.mkdir(parents=True, exist_ok=True)
        if not _create(self._file, self._content):
            self._take_over()
        self._heart.start()

    def release(self) -> None:
        """Give the lock back, unless another process has taken it over."""
        self._ended.set()
        self._heart.join()
        if _read(self._file) == self._content:
            self._file.unlink(missing_ok=True)

    def require(self) -> None:
        """Raise `FolderInUse` if another process has taken the lock over, since this one stood still."""
        if self._lost:
            raise FolderInUse(_owner(_read(self._file)))

    def _take_over(self) -> None:
        """Replace a stale lock. A claim file named after the stale lock lets one process through at a time."""
        content = _read(self._file)
        if not _is_stale(self._file, content):
            raise FolderInUse(_owner(content))
        claim = self._file.with_name(f"lock.{_field(content, 'token')}")
        if not _create(claim, self._content):
            if _age(claim) > STALE_AFTER:
                claim.unlink(missing_ok=True)
            raise FolderInUse(_owner(content))
        try:
            if _read(self._file) != content:
                raise FolderInUse(_owner(_read(self._file)))
            temporary = self._file.with_name(f"lock.{uuid4().hex}")
            temporary.write_text(self._content, encoding="utf-8")
            temporary.replace(self._file)
        finally:
            claim.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            if _read(self._file) not in ("", self._content):
                self._lost = True
                return
            with suppress(OSError):
                os.utime(self._file)


@contextmanager
def locked(folder: Path) -> Iterator[FolderLock]:
    """Hold the lock of a folder; raises `FolderInUse` if another process does."""
    lock = FolderLock(folder)
    lock.acquire()
    try:
        yield lock
    finally:
        lock.release()


def _create(file: Path, content: str) -> bool:
    """Create a file unless it exists."""
    try:
        with open(file, "x", encoding="utf-8") as created:
            created.write(content)
    except FileExistsError:
        return False
    return True


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""


def _is_stale(file: Path, content: str) -> bool:
    patience = DEAD_AFTER if _is_dead(content) else STALE_AFTER
    return _age(file) > patience


def _is_dead(content: str) -> bool:
    """Whether the owner ran on this host and its process is gone."""
    process = _field(content, "process")
    if os.name != "posix" or _field(content, "host") != socket.gethostname() or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)  # asks only whether it exists
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _age(file: Path) -> float:
    """Seconds since the file's last change by the clock of its file system; 0 if it is gone."""
    probe = file.with_name(f"lock.{uuid4().hex}")
    try:
        probe.touch()
        return probe.stat().st_mtime - file.stat().st_mtime
    except OSError:
        return 0.0
    finally:
        probe.unlink(missing_ok=True)


def _field(content: str, name: str) -> str:
    try:
        return str(json.loads(content)[name])
    except (ValueError, LookupError):
        return ""


def _owner(content: str) -> str:
    host, process, since = (_field(content, name) for name in ("host", "process", "since"))
    return f"process {process} on {host} since {since}" if content else "a process that is just starting"


def _clock() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
