"""The commands of Lightning's trainer: `topolip fit`, `validate`, `test` and `predict`."""

from __future__ import annotations

import logging
import sys
from operator import itemgetter
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from lightning_topolip import data as _data  # noqa: F401  so that its classes can be named without their path
from lightning_topolip.cli.ending import Interrupted
from lightning_topolip.cli.interruption import Interruption
from lightning_topolip.models import ImageClassifier
from lightning_topolip.models.resuming import read_resumed
from lightning_topolip.models.weights import require_weights

_COMMANDS = ("fit", "validate", "test", "predict")


def run(name: str, arguments: list[str]) -> None:
    """Run a command of the trainer."""
    if not arguments:
        raise ValueError(
            "Argument `config` must be given where --model and --data are not, got none; name a recipe, such as "
            "--config examples/vit_digits.yaml."
        )
    words = [name, *arguments]
    strict = {"exit_on_error": False, "allow_abbrev": False}
    interruption = Interruption()
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(interruption.says_more)
    try:
        _TopoLipCLI(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"prog": "topolip", **strict, **dict.fromkeys(_COMMANDS, strict)},
            trainer_defaults={"callbacks": interruption},
            args=None if words == sys.argv[1:] else words,
        )
    except SystemExit:
        if interruption.trainer is None:
            raise
        raise Interrupted(interruption.sentence(words)) from None


class _TopoLipCLI(LightningCLI):
    """Lightning's command line, with the classes and the shape of the images linked from the data to the model.

    A shape that the recipe or a checkpoint gives stays as it is.
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link the number of classes."""
        parser.link_arguments("data.num_classes", "model.init_args.num_classes", apply_on="instantiate")
        self._subparsers = [*getattr(self, "_subparsers", []), parser]

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the arguments, and keep those that were given apart from the defaults."""
        super().parse_arguments(parser, args)
        self._given = parser.parse_args(args, defaults=False)
        command = str(self.config["subcommand"])
        source, model = (self.config[command].get(name) for name in ("ckpt_path", "model"))
        class_name = str(model.class_path).rpartition(".")[2] if model else ""
        self._resumed = read_resumed(source, class_name, trains=command == "fit") if source else {}

    def before_instantiate_classes(self) -> None:
        """Link the parts of the shape that were not given."""
        command = str(self.subcommand)
        given = self._given[command]
        if given.get("ckpt_path"):
            return
        parser = self._subparsers[list(self.subcommands()).index(command)]
        for name, axis in {"in_channels": 0, "image_size": 1}.items():
            target = f"model.init_args.{name}"
            if target not in given:
                parser.link_arguments("data.image_shape", target, itemgetter(axis), apply_on="instantiate")

    def after_instantiate_classes(self) -> None:
        """Compare the weights of a checkpoint without hyper-parameters with those of a bundled model."""
        resumed, self._resumed = self._resumed, {}
        if resumed and isinstance(self.model, ImageClassifier):
            source = str(self.config[str(self.subcommand)].get("ckpt_path"))
            require_weights(self.model, resumed["state_dict"], "ckpt_path", source)
