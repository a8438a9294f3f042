"""The options of a command: those of a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jsonargparse import ArgumentParser

from lightning_topolip import data as _data  # noqa: F401  so that its classes can be named without their path


def call(
    function: Callable[..., None],
    program: str,
    arguments: Sequence[str],
    add_by_hand: Callable[[ArgumentParser], set[str | int]] = lambda parser: set(),
) -> None:
    """Call a function with the arguments of a command.

    Args:
        function: Its parameters are the options, its docstring describes them.
        program: The words before the arguments.
        arguments: The arguments.
        add_by_hand: Adds the options that the parser cannot derive, and returns their names.

    Raises:
        ArgumentError: If an argument is not an option or not of its type.
    """
    parser = ArgumentParser(prog=program, exit_on_error=False, allow_abbrev=False)
    names = add_by_hand(parser)
    parser.add_function_arguments(function, skip=names, as_positional=False)
    options = parser.parse_args(list(arguments))
    function(**vars(parser.instantiate_classes(options)))
