"""Decorators that compile with numba, and the power function that all compiled files share.

numba compiles a kernel again when its file has changed, but not when a file that it calls has changed. After a change
to the files that `line_alignment.py` and `plane_matching.py` import, remove the cache (`*.nbi` and `*.nbc` in
`__pycache__`).
"""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from numba import njit

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Function = TypeVar("Function", bound=Callable[..., Any])

# Without entry points for C, and for Python where only kernels call: they would make compiling a quarter slower.
# numba's type stubs lack these options, hence Any.
_njit: Callable[..., Any] = functools.partial(njit, nogil=True, error_model="numpy", no_cfunc_wrapper=True)


def kernel(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile a function that Python calls, at its first call, and cache the result; it releases the GIL.

    The cache is beside the source, or else in the user's cache directory (`NUMBA_CACHE_DIR` names another one). If
    neither can be written, or the disk is full, every process compiles again.
    """
    dispatcher: Callable[Arguments, Result]
    try:
        dispatcher = _njit(cache=True)(function)
    except RuntimeError:  # no directory for the cache
        dispatcher = _njit()(function)

    @functools.wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return dispatcher(*args, **kwargs)
        except OSError:  # the cache could not be written, but the function is compiled
            return dispatcher(*args, **kwargs)

    return call


def compiled(function: Function) -> Function:
    """Compile a function that only kernels call; Python cannot call it."""
    return cast(Function, _njit(no_cpython_wrapper=True)(function))


def inlined(function: Function) -> Function:
    """Compile a function into its compiled callers: for the steps of an inner loop."""
    return cast(Function, _njit(forceinline=True, no_cpython_wrapper=True)(function))


@inlined
def power(length: float, order: float) -> float:
    """length^p for p in [1, inf); p = 1 and 2 need no call, so that loops over them are vectorized."""
    return length if order == 1.0 else (length * length if order == 2.0 else length**order)
