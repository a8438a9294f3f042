"""How a command ends: with one sentence and an exit code, or with a traceback that its user needs."""

from __future__ import annotations

import re
import sys
import sysconfig
from argparse import ArgumentError
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import NoReturn

from lightning_topolip.sentence import own_sentence, parser_sentence

__all__ = ["Interrupted", "end", "ends_in_one_sentence"]

_USAGE_ERROR = 2
_INTERRUPTED = 130  # 128 and the number of the signal, as shells have it

_NUMBER_OF_THE_SYSTEM = re.compile(r"^\[Errno -?\d+\] ")
_PACKAGE = Path(__file__).resolve().parents[1]
_LIBRARIES = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_SELF_EXPLANATORY = ("ValueError", "MisconfigurationException", "RuntimeError")


class Interrupted(Exception):
    """Ctrl-C, with a sentence on what is kept and how to go on."""


def end(sentence: str, code: int = _USAGE_ERROR) -> NoReturn:
    """End the process with one line on its standard error."""
    sys.stderr.write(f"{sentence}\n")
    sys.exit(code)


@contextmanager
def ends_in_one_sentence(program: str, *, debug: bool) -> Iterator[None]:
    """End the process with one sentence where the block raises.

    An error that passed through code of the user's own, such as the forward of their network, keeps its traceback, as
    every error does with ``debug``.

    Args:
        program: The first words of the sentence, such as ``topolip fit``.
        debug: Whether an error is raised as it is.
    """
    try:
        yield
    except Interrupted as interrupted:
        end(f"{program}: {interrupted}", _INTERRUPTED)
    except KeyboardInterrupt:
        end(f"{program}: interrupted; nothing was written.", _INTERRUPTED)
    except Exception as error:
        if debug:
            raise
        sentence = _sentence(error, program)
        if not sentence:
            raise
        end(f"{program}: {sentence}")


def _sentence(error: Exception, program: str) -> str:
    """The sentence of an error; nothing for one that the user finds only with its traceback."""
    if isinstance(error, ArgumentError):
        return parser_sentence(str(error), program)
    text = _NUMBER_OF_THE_SYSTEM.sub("", " ".join(str(error).split()))
    if sentence := own_sentence(error) or (text if _raised_by_this_package(error) else ""):
        return sentence
    if any(map(_is_of_the_user, _files(error))):
        return ""
    kind = type(error).__name__
    is_clear = text and (kind in _SELF_EXPLANATORY or isinstance(error, (OSError, ImportError)))
    return f"{(text if is_clear else f'{kind}: {text}').rstrip(': .')}; --debug shows where."


def _raised_by_this_package(error: Exception) -> bool:
    """Whether a line of this package raised the error itself, in its own words."""
    files = [frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__)]
    return isinstance(error, (ValueError, OSError, ImportError)) and _is_within(files[-1], _PACKAGE)


def _files(error: BaseException | None) -> Iterator[str]:
    """The files of the code through which an error passed, and those that it was raised from."""
    while error is not None:
        yield from (frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__))
        error = error.__cause__ or error.__context__


def _is_of_the_user(file: str) -> bool:
    is_code = Path(file).is_file()  # libraries generate some without a file
    return is_code and not _is_within(file, _PACKAGE, *_LIBRARIES)


def _is_within(file: str, *folders: Path) -> bool:
    return any(map(Path(file).resolve().is_relative_to, folders))
