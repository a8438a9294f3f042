"""The command `topolip analyze`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningDataModule, LightningModule
from rich.console import Console
from torch import nn
from typing_extensions import Unpack

from lightning_topolip.analysis import analyze
from lightning_topolip.arguments import require_whole_number
from lightning_topolip.cli.options import call
from lightning_topolip.display.figure_file import save_figure
from lightning_topolip.display.terminal import report_text
from lightning_topolip.files import require_new, write_json
from lightning_topolip.models.checkpoints import load_model, require_images
from lightning_topolip.network.batches import FEWEST_SAMPLES
from lightning_topolip.network.probe import take_probe
from lightning_topolip.network.sample_axis import tensors_in
from lightning_topolip.topology.settings import SettingsOptions
from lightning_topolip.topology.smoothness_report import SmoothnessReport

Split = Literal["train", "val", "test"]


def run(name: str, arguments: Sequence[str]) -> None:
    """Run the command."""
    call(analyze_command, f"topolip {name}", arguments)


def analyze_command(
    model: str,
    data: LightningDataModule | None = None,
    weights: str | None = None,
    init_args: dict[str, Any] | None = None,
    pretrained: bool = False,
    split: Split = "test",
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
        split: The part of the data for the probe.
        layers: "auto", a pattern such as "blocks.*", or a list of names.
        probe_size: Number of samples.
        output: The JSON file; the curve is drawn beside it, in a PNG file of the same name.
        overwrite: Whether files of these names may be replaced.
        **settings: The settings of the analysis, such as --order 1, --view raw or --engine ripser.
    """
    figure = output.with_suffix(".png")
    for path in (output, figure):
        require_new("output", path, overwrite=overwrite)
    network = load_model(model, weights, init_args, pretrained=pretrained)
    report = analysed(network, model, data, split, layers, probe_size, **settings)
    origin = "trained" if Path(model).is_file() or weights or pretrained else "random weights"
    name = type(data).__name__ if data else "its own data"
    write_json(output, {"model": model, "weights": origin, "data": name, "split": split, **report.to_dict()})
    save_figure(report.plot(), figure)
    console = Console()
    width = console.width if console.is_terminal else math.inf
    text = report_text(report, f"{model} ({origin}) on {name}, {split}", width)
    console.print(text, markup=False, highlight=False, soft_wrap=not console.is_terminal)
    console.print(f"Written to {output} and {figure}", markup=False, highlight=False, soft_wrap=True)


def analysed(
    network: nn.Module,
    model: str,
    data: LightningDataModule | None,
    split: Split,
    layers: str | list[str],
    probe_size: int,
    **settings: Unpack[SettingsOptions],
) -> SmoothnessReport:
    """Analyse a network that was loaded as `model` on a part of the data; the arguments are those of the command."""
    require_whole_number("probe_size", probe_size, FEWEST_SAMPLES)
    probe = take_probe(_loader(data or network, split), probe_size)
    images = next(tensors_in(probe), None)
    if images is not None:
        require_images(network, images, model)
    return analyze(network, probe, layers, **settings)


def _loader(source: Any, split: Split) -> Any:
    """The data loader of a part of the data, of a data module or of a module that has its own."""
    name = f"{split}_dataloader"
    missing = getattr(LightningModule, name)
    if getattr(type(source), name, missing) is missing:
        raise ValueError(
            f"Argument `data` must be a class with a `{name}`, got {type(source).__name__} without one; name a data "
            "module with --data, such as --data DigitsDataModule, or another --split."
        )
    source.prepare_data()
    source.setup({"train": "fit", "val": "validate", "test": "test"}[split])
    return getattr(source, name)()
