"""How numba is asked to compile, and the one step that all compiled files share.

numba compiles a cached function again when its own file has changed, and not when another has that it calls: after a
change to the files behind `line.py` and `plane.py` remove the cache (`*.nbi`, `*.nbc` in `__pycache__`).
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function at its first call, and keep the result on disk.

    The code is kept beside the source, else in the user's cache directory (`NUMBA_CACHE_DIR` names another one).
    Where no directory can be written it is compiled again in every process.

    Args:
        function: Function of numbers and arrays that numba understands. It runs without the interpreter's lock.

    Returns:
        The compiled function, with the same arguments.
    """
    try:
        return cast(Function, njit(cache=True, nogil=True, error_model="numpy")(function))
    except RuntimeError:
        return cast(Function, njit(nogil=True, error_model="numpy")(function))


def inlined(function: Function) -> Function:
    """Compile a function into those that call it: for the steps of an inner loop.

    Args:
        function: Function that only compiled functions call.

    Returns:
        The compiled function, with the same arguments.
    """
    return cast(Function, njit(forceinline=True, nogil=True, error_model="numpy")(function))


@inlined
def power(length: float, order: float) -> float:
    """length^p for p in [1, inf); the common orders need no call, and loops over them use whole vectors."""
    return length if order == 1.0 else (length * length if order == 2.0 else length**order)
