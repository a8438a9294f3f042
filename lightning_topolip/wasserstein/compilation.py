"""How numba is asked to compile, and the one step that all compiled files share.

numba compiles a kernel again when the kernel's own file has changed, and not when another has that it calls: after a
change to the files behind `line.py` and `plane.py` remove the cache (`*.nbi` and `*.nbc` in `__pycache__`).
"""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from numba import njit

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Function = TypeVar("Function", bound=Callable[..., Any])

# No entries for C, and none for Python where only kernels call: with them compiling would take a quarter longer.
# numba's type stubs leave out these options, hence Any.
_njit: Callable[..., Any] = functools.partial(njit, nogil=True, error_model="numpy", no_cfunc_wrapper=True)


def kernel(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile a function that Python calls, at its first call, and keep the result on disk.

    It is kept beside the source, else in the user's cache directory (`NUMBA_CACHE_DIR` names another one). Where
    neither can be written, or the disk is full, it is compiled again in every process.

    Args:
        function: Function of numbers and arrays that numba understands. It runs without the interpreter's lock.

    Returns:
        The compiled function, with the same arguments.
    """
    made: Callable[Arguments, Result]
    try:
        made = _njit(cache=True)(function)
    except RuntimeError:  # no directory for the cache
        made = _njit()(function)

    @functools.wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return made(*args, **kwargs)
        except OSError:  # the cache could not be written; what numba has compiled, it has
            return made(*args, **kwargs)

    return call


def compiled(function: Function) -> Function:
    """Compile a function that kernels call.

    Args:
        function: Function of numbers, arrays and named tuples of arrays.

    Returns:
        The compiled function, with the same arguments. Python cannot call it.
    """
    return cast(Function, _njit(no_cpython_wrapper=True)(function))


def inlined(function: Function) -> Function:
    """Compile a function into those that call it: for the steps of an inner loop.

    Args:
        function: Function that only compiled functions call.

    Returns:
        The compiled function, with the same arguments.
    """
    return cast(Function, _njit(forceinline=True, no_cpython_wrapper=True)(function))


@inlined
def power(length: float, order: float) -> float:
    """length^p for p in [1, inf); the common orders need no call, and loops over them use whole vectors."""
    return length if order == 1.0 else (length * length if order == 2.0 else length**order)
