"""Decorators that compile with numba, the cache of the kernels, and the power function that all compiled files share.

numba compiles a kernel again when its file has changed, but not when a file that it calls has changed. So the kernels
are cached under a name that contains a digest of all files of this package.
"""

import functools
import hashlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba
from numba import njit

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Function = TypeVar("Function", bound=Callable[..., Any])

# Without entry points for C, and for Python where only kernels call: they would make compiling a quarter slower.
# numba's type stubs lack these options, hence Any.
_njit: Callable[..., Any] = functools.partial(njit, nogil=True, error_model="numpy", no_cfunc_wrapper=True)


_dispatchers: dict[Callable[..., Any], Any] = {}


def kernel(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile a function that Python calls, at its first call, and cache the result; it releases the GIL.

    The cache is beside the source, or else in the user's cache directory (`NUMBA_CACHE_DIR` names another one). If
    neither can be written, or the disk is full, every process compiles again.
    """
    dispatcher: Callable[Arguments, Result]

    @functools.wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return dispatcher(*args, **kwargs)
        except OSError:  # the cache could not be written, but the function is compiled
            return dispatcher(*args, **kwargs)

    function.__qualname__ += f"_{_digest()}"  # numba names the files of the cache after it
    try:
        dispatcher = _njit(cache=True)(function)
    except RuntimeError:  # no directory for the cache
        dispatcher = _njit()(function)
    _dispatchers[call] = dispatcher
    return call


def is_cached(call: Callable[..., Any]) -> bool:
    """Whether a kernel is in the cache, compiled from the files as they are by this numba and for this Python.

    Machines with different processors may share a cache. The result does not tell for which of them it is filled.
    """
    folder, function = _dispatchers[call].stats.cache_path, inspect.unwrap(call)
    if folder is None:
        return False
    version = "py{}{}".format(*sys.version_info)
    names = f"{Path(inspect.getfile(function)).stem}.{function.__qualname__}-*.{version}*.nbc"
    return any(Path(folder).glob(names))


@functools.cache
def _digest() -> str:
    """Digest of numba's version and of all files that a kernel may be compiled from."""
    digest = hashlib.sha256(numba.__version__.encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


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
