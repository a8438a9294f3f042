"""The command `topolip`: train with the callback from a recipe, analyse a trained model, or compare models."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

from lightning_topolip.cli.ending import end, ends_in_one_sentence

_USAGE = """usage: topolip <command> ...

  fit       train a network from a recipe:          topolip fit --config examples/vit_digits.yaml
  validate  validate it, same options as fit
  test      test it, same options as fit
  predict   predict with it, same options as fit
  analyze   smoothness of a network:                topolip analyze --model last.ckpt --data DigitsDataModule
  compare   two reports or networks, with errors:   topolip compare first.json second.json
  study     compare networks, with a report:        topolip study --config examples/vit_vs_resnet.yaml

`topolip <command> --help` lists the options of a command; with --debug, an error shows its traceback.
"""

# The module of a command is imported when the command is called: Lightning takes seconds to import.
_MODULES = {
    **dict.fromkeys(("fit", "validate", "test", "predict"), "trainer"),
    **{name: name for name in ("analyze", "compare", "study")},
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with the arguments after ``topolip``, by default those of the process."""
    if arguments is None:
        sys.path.append(os.getcwd())  # a class beside the recipe can be named by its path
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    name = words[0] if words else "--help"
    if name in ("-h", "--help"):
        sys.stdout.write(_USAGE)
        sys.exit(0)
    if name == "--version":
        from lightning_topolip import __version__

        sys.stdout.write(f"topolip {__version__}\n")
        sys.exit(0)
    if name not in _MODULES:
        close = get_close_matches(name, _MODULES, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "; `topolip --help` describes them."
        end(f"topolip: the command must be one of {', '.join(_MODULES)}, got {name!r}{hint}")
    with ends_in_one_sentence(f"topolip {name}", debug=debug):
        import_module(f"lightning_topolip.cli.{_MODULES[name]}").run(name, words[1:])
