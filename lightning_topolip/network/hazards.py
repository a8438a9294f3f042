"""What in a loader cannot be put back once it was read: iterators, queues, sockets, memory that processes share."""

from __future__ import annotations

import ctypes
import io
import mmap
import multiprocessing.connection
import multiprocessing.managers
import multiprocessing.queues
import multiprocessing.shared_memory
import multiprocessing.sharedctypes
import queue
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from lightning_topolip.network.reachable import reachable

_BETWEEN_PROCESSES = (
    multiprocessing.sharedctypes.SynchronizedBase,
    multiprocessing.managers.BaseProxy,
    multiprocessing.queues.Queue,
    multiprocessing.queues.SimpleQueue,
    multiprocessing.connection.Connection,
    multiprocessing.shared_memory.SharedMemory,
    mmap.mmap,
)
_MOVING = (Iterator, queue.Queue, queue.SimpleQueue, socket.socket)


class Hazards(NamedTuple):
    """What objects hold that reading them would move for good.

    Attributes:
        moves: An iterator that is no file, a queue or a socket, or a file that cannot tell its position.
        is_shared: A value, queue, proxy or memory that several processes share. Tensors do not count: every tensor that
            was sent to a worker is shared, and can be put back.
        is_open: An open file, whose position a forked process shares.
    """

    moves: bool
    is_shared: bool
    is_open: bool


def hazards_in(*owners: Any) -> Hazards:
    """Look for what cannot be put back in objects and in all that they hold.

    Example:
        >>> hazards_in([1, {"rows": iter([2])}])
        Hazards(moves=True, is_shared=False, is_open=False)
    """
    moves = shared = is_open = False
    for value in reachable(*owners):
        opened = isinstance(value, io.IOBase) and not value.closed
        is_open |= opened
        moves |= _cannot_tell(value) if isinstance(value, io.IOBase) else isinstance(value, _MOVING)
        shared |= _is_shared(value)
    return Hazards(moves, shared, is_open)


def _is_shared(value: Any) -> bool:
    if isinstance(value, np.memmap):
        return bool(value.flags.writeable)
    return isinstance(value, _BETWEEN_PROCESSES) or (isinstance(value, ctypes.Array) and hasattr(value, "_wrapper"))


def _cannot_tell(file: io.IOBase) -> bool:
    try:
        if not file.closed:
            file.tell()
    except (OSError, ValueError):
        return True
    return False
