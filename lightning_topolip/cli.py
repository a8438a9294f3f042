"""The command `topolip`: train with the callback from a recipe, analyse a trained model, or compare models."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentError, ArgumentParser
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from rich.console import Console
from typing_extensions import Unpack

from lightning_topolip import data as _data  # noqa: F401  so that its classes can be named without their path
from lightning_topolip.analysis import analyze
from lightning_topolip.display.terminal import report_table
from lightning_topolip.files import write_json
from lightning_topolip.models import ImageClassifier
from lightning_topolip.models.checkpoints import load_model, require_images
from lightning_topolip.models.resuming import read_resumed
from lightning_topolip.models.weights import require_weights
from lightning_topolip.network.probe import take_probe
from lightning_topolip.network.sample_axis import tensors_in
from lightning_topolip.report import report_environment, write_report
from lightning_topolip.sentence import own_sentence, parser_sentence
from lightning_topolip.study.execution import run_study
from lightning_topolip.study.progress import progress_bars
from lightning_topolip.study.recipe import read_config
from lightning_topolip.study.runs import runs_of
from lightning_topolip.topology.settings import SettingsOptions

_USAGE = """usage: topolip <command> ...

  fit       train a network from a recipe:          topolip fit --config examples/vit_digits.yaml
  validate  validate it, same options as fit
  test      test it, same options as fit
  analyze   smoothness of a network:                topolip analyze --model last.ckpt --data DigitsDataModule
  study     compare networks, with a report:        topolip study --config examples/vit_vs_resnet.yaml

`topolip <command> --help` lists the options of a command."""

_TRAINER_COMMANDS = ("fit", "validate", "test", "predict")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with the arguments after ``topolip``, by default those of the process."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in _COMMANDS:
        _call(words[0], words[1:])
    elif words and words[0] in _TRAINER_COMMANDS:
        _train(words[0], None if arguments is None else words)
    else:
        Console(soft_wrap=True).print(_USAGE, markup=False, highlight=False)
        sys.exit(0 if words in ([], ["-h"], ["--help"]) else 2)


def _call(name: str, arguments: list[str]) -> None:
    program = f"topolip {name}"
    parser = ArgumentParser(prog=program, exit_on_error=False)
    parser.add_function_arguments(_COMMANDS[name], as_positional=False)
    try:
        options = parser.parse_args(arguments)
        _COMMANDS[name](**vars(parser.instantiate_classes(options)))
    except ArgumentError as error:
        sys.exit(f"{program}: {parser_sentence(str(error), program)}")
    except (ValueError, OSError, ModuleNotFoundError) as error:
        sys.exit(f"{program}: {own_sentence(error) or ' '.join(str(error).split()) or type(error).__name__}")


def _train(name: str, arguments: list[str] | None) -> None:
    program = f"topolip {name}"
    raising = {"exit_on_error": False}
    try:
        _TopoLipCLI(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"prog": "topolip", **raising, **dict.fromkeys(_TRAINER_COMMANDS, raising)},
            args=arguments,
        )
    except ArgumentError as error:
        sys.exit(f"{program}: {parser_sentence(str(error), program)}")
    except (ValueError, OSError, ModuleNotFoundError) as error:
        sentence = own_sentence(error)
        if not sentence:
            raise  # an error of the user's own model or data needs its traceback
        sys.exit(f"{program}: {sentence}")


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


def analyze_command(
    model: str,
    data: LightningDataModule,
    weights: str | None = None,
    pretrained: bool = False,
    split: Literal["train", "val", "test"] = "test",
    layers: str | list[str] = "auto",
    probe_size: int = 256,
    output: Path = Path("topolip.json"),
    **settings: Unpack[SettingsOptions],
) -> None:
    """Print how smoothly a network carries data from layer to layer, and write the numbers to a file.

    Args:
        model: A checkpoint that `topolip fit` wrote, or the name of a timm model.
        data: The data for the probe, such as DigitsDataModule or ImageFolderDataModule.
        weights: For a timm model, a file with its weights.
        pretrained: For a timm model, take its published weights (needs a network or a cache). Without either the
            weights are random, and the report says so.
        split: The part of the data for the probe.
        layers: "auto", a pattern such as "blocks.*", or a list of names.
        probe_size: Number of samples.
        output: The JSON file.
        **settings: The settings of the analysis, such as --order 1, --view raw or --engine ripser.
    """
    network = load_model(model, weights, pretrained=pretrained)
    data.prepare_data()
    data.setup({"train": "fit", "val": "validate", "test": "test"}[split])
    loader = {"train": data.train_dataloader, "val": data.val_dataloader, "test": data.test_dataloader}[split]()
    probe = take_probe(loader, probe_size)
    images = next(tensors_in(probe), None)
    if images is not None:
        require_images(network, images, model)
    report = analyze(network, probe, layers, **settings)
    origin = "trained" if Path(model).is_file() or weights or pretrained else "random weights"
    write_json(
        output, {"model": model, "weights": origin, "data": type(data).__name__, "split": split, **report.to_dict()}
    )
    console = Console()
    console.print(report_table(report, title=f"{model} ({origin}) on {type(data).__name__}, {split}"))
    console.print(f"Written to {output}", highlight=False)


def study_command(
    config: Path,
    size: str = "short",
    images: str | None = None,
    output: Path | None = None,
    workers: int = 1,
    devices: list[str] | None = None,
    seeds: list[int] | None = None,
) -> None:
    """Train and measure models, and write a table of results and a report.

    Called again with the same output, it continues where it stopped and keeps finished runs.

    Args:
        config: The recipe, such as examples/vit_vs_resnet.yaml.
        size: One of the recipe's sizes: short takes minutes on two CPU cores, paper needs a GPU.
        images: Folder with train/<class>/* and test/<class>/* for sizes that ask for it.
        output: Folder of the results; runs/<recipe>_<size> by default.
        workers: Worker processes, each with one run at a time; 0 uses this process.
        devices: Devices assigned to the processes in turn, such as [cuda:0, cuda:1]; cpu by default.
        seeds: Seeds that replace those of the recipe.
    """
    report_environment()  # a missing package must not surface after hours of training
    study = read_config(config, size, images, seeds)
    folder = output or Path("runs") / f"{config.stem}_{size}"
    console = Console()
    with progress_bars(console, runs_of(study, folder)) as on_progress:
        results = run_study(
            study,
            folder,
            workers=workers,
            devices=devices or ["cpu"],
            command=_study_call(config, size, images, output, workers, devices, seeds),
            on_progress=on_progress,
        )
    report = write_report(folder)
    failed = [run for run in json.loads((folder / "about.json").read_text(encoding="utf-8"))["runs"] if run["failure"]]
    console.print(f"{len(results)} numbers in {folder / 'results.csv'}, report in {report}", highlight=False)
    if failed:
        names = "; ".join(f"{run['model']} on {run['data']}, seed {run['seed']}: {run['failure']}" for run in failed)
        sys.exit(f"topolip study: {len(failed)} run{'s' * (len(failed) > 1)} failed, not in the results: {names}")


def _study_call(config: Path, size: str, images: str | None, output: Path | None, workers: int, *lists: Any) -> str:
    """Return the command line that repeats a study."""
    given = {"size": size, "images": images, "output": output, "workers": workers}
    words = ["topolip", "study", "--config", str(config)]
    for name, value in given.items():
        words += [f"--{name}", str(value)] if value is not None else []
    for name, values in zip(("devices", "seeds"), lists, strict=True):
        words += [f"--{name}", f"[{', '.join(map(str, values))}]"] if values else []
    return shlex.join(words)


_COMMANDS: dict[str, Callable[..., None]] = {"analyze": analyze_command, "study": study_command}
