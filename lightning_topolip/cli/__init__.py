"""The command `topolip`: train with the callback from a recipe, analyse a trained model, or compare models."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from jsonargparse import ArgumentError, ArgumentParser
from rich.console import Console

from lightning_topolip.cli.analyze import analyze_command
from lightning_topolip.cli.compare import add_pairs, compare_command
from lightning_topolip.cli.study import study_command
from lightning_topolip.cli.trainer import TRAINER_COMMANDS, train
from lightning_topolip.sentence import own_sentence, parser_sentence

_USAGE = """usage: topolip <command> ...

  fit       train a network from a recipe:          topolip fit --config examples/vit_digits.yaml
  validate  validate it, same options as fit
  test      test it, same options as fit
  analyze   smoothness of a network:                topolip analyze --model last.ckpt --data DigitsDataModule
  compare   two reports or networks, with errors:   topolip compare first.json second.json
  study     compare networks, with a report:        topolip study --config examples/vit_vs_resnet.yaml

`topolip <command> --help` lists the options of a command."""


_COMMANDS: dict[str, Callable[..., None]] = {
    "analyze": analyze_command,
    "compare": compare_command,
    "study": study_command,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with the arguments after ``topolip``, by default those of the process."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in _COMMANDS:
        _call(words[0], words[1:])
    elif words and words[0] in TRAINER_COMMANDS:
        train(words[0], None if arguments is None else words)
    else:
        Console(soft_wrap=True).print(_USAGE, markup=False, highlight=False)
        sys.exit(0 if words in ([], ["-h"], ["--help"]) else 2)


def _call(name: str, arguments: list[str]) -> None:
    program = f"topolip {name}"
    parser = ArgumentParser(prog=program, exit_on_error=False)
    by_hand = add_pairs(parser) if name == "compare" else set[str | int]()
    parser.add_function_arguments(_COMMANDS[name], skip=by_hand, as_positional=False)
    try:
        options = parser.parse_args(arguments)
        _COMMANDS[name](**vars(parser.instantiate_classes(options)))
    except ArgumentError as error:
        sys.exit(f"{program}: {parser_sentence(str(error), program)}")
    except (ValueError, OSError, ModuleNotFoundError) as error:
        sys.exit(f"{program}: {own_sentence(error) or ' '.join(str(error).split()) or type(error).__name__}")
