"""The command `topolip analyze`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule
from rich.console import Console
from typing_extensions import Unpack

from lightning_topolip.cli.candidate import Candidate, Split
from lightning_topolip.cli.options import call
from lightning_topolip.display.figure_file import save_figure
from lightning_topolip.display.terminal import report_text
from lightning_topolip.files import require_new, write_json
from lightning_topolip.models.checkpoints import load_model
from lightning_topolip.topology.settings import SettingsOptions


def run(name: str, arguments: Sequence[str]) -> None:
    """Run the command."""
    call(analyze_command, f"topolip {name}", arguments)


def analyze_command(
    model: str,
    data: LightningDataModule | None = None,
    weights: str | None = None,
    init_args: dict[str, Any] | None = None,
    pretrained: bool = False,
    split: Split | None = None,
    layers: str | list[str] = "auto",
    probe_size: int = 256,
    output: Path = Path("topolip.json"),
    overwrite: bool = False,
    **settings: Unpack[SettingsOptions],
) -> None:
    """Print how smoothly a network carries data from layer to layer, and write the numbers and the curve to files.

    Args:
        model: A checkpoint that `topolip fit` wrote of a bundled model, the name of a timm model, or the class path of
            a LightningModule, such as my_package.MyModel.
        data: The data for the probe, such as DigitsDataModule, ImageFolderDataModule or the class path of your own; by
            default the data loaders of the LightningModule.
        weights: For a timm model or a class path, the file with its weights, such as a checkpoint of Lightning.
        init_args: For a class path, arguments of the class; those that the checkpoint holds need not be given.
        pretrained: For a timm model, take its published weights (needs a network or a cache). Without either the
            weights are random, and the report says so.
        split: The part of the data for the probe; by default test, or val where there is no test.
        layers: "auto", a pattern such as "blocks.*", or a list of names.
        probe_size: Number of samples.
        output: The JSON file; the curve is drawn beside it, in a PNG file of the same name.
        overwrite: Whether files of these names may be replaced.
        **settings: The settings of the analysis, such as --order 1, --view raw or --engine ripser.
    """
    network = load_model(model, weights, init_args, pretrained=pretrained)
    candidate = Candidate.of(network, model, data, split, layers, probe_size, settings)
    figure = _new_files(output, overwrite=overwrite)
    report = candidate.report()
    origin = "trained" if Path(model).is_file() or weights or pretrained else "random weights"
    origins = {"model": model, "weights": origin, "data": candidate.data, "split": candidate.split}
    write_json(output, {**origins, **report.to_dict()})
    save_figure(report.plot(), figure)
    console = Console()
    width = console.width if console.is_terminal else math.inf
    text = report_text(report, f"{model} ({origin}) on {candidate.data}, {candidate.split}", width)
    console.print(text, markup=False, highlight=False, soft_wrap=not console.is_terminal)
    console.print(f"Written to {output} and {figure}", markup=False, highlight=False, soft_wrap=True)


def _new_files(output: Path, *, overwrite: bool) -> Path:
    """Check the JSON file and return the picture beside it, which must be new as well."""
    require_new("output", output, overwrite=overwrite)
    figure = output.with_suffix(".png")
    if figure == output:
        raise ValueError(
            f"Argument `output` must be a JSON file, got {str(output)!r}, where the picture is drawn; name one such as "
            f"{output.with_suffix('.json')}."
        )
    require_new("output", figure, overwrite=overwrite)
    return figure
