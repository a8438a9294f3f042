"""The command `topolip analyze`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from lightning.pytorch import LightningDataModule
from rich.console import Console
from typing_extensions import Unpack

from lightning_topolip.analysis import analyze
from lightning_topolip.display.terminal import report_table
from lightning_topolip.files import write_json
from lightning_topolip.models.checkpoints import load_model, require_images
from lightning_topolip.network.probe import take_probe
from lightning_topolip.network.sample_axis import tensors_in
from lightning_topolip.topology.settings import SettingsOptions
from lightning_topolip.topology.smoothness_report import SmoothnessReport

Split = Literal["train", "val", "test"]


def analyze_command(
    model: str,
    data: LightningDataModule,
    weights: str | None = None,
    pretrained: bool = False,
    split: Split = "test",
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
    report = analysed(model, data, split, layers, probe_size, weights, pretrained=pretrained, **settings)
    origin = "trained" if Path(model).is_file() or weights or pretrained else "random weights"
    write_json(
        output, {"model": model, "weights": origin, "data": type(data).__name__, "split": split, **report.to_dict()}
    )
    console = Console()
    console.print(report_table(report, title=f"{model} ({origin}) on {type(data).__name__}, {split}"))
    console.print(f"Written to {output}", highlight=False)


def analysed(
    model: str,
    data: LightningDataModule,
    split: Split,
    layers: str | list[str],
    probe_size: int,
    weights: str | None = None,
    *,
    pretrained: bool = False,
    **settings: Unpack[SettingsOptions],
) -> SmoothnessReport:
    """Load a network and analyse it on a part of the data; the arguments are those of the command."""
    network = load_model(model, weights, pretrained=pretrained)
    data.prepare_data()
    data.setup({"train": "fit", "val": "validate", "test": "test"}[split])
    loader = {"train": data.train_dataloader, "val": data.val_dataloader, "test": data.test_dataloader}[split]()
    probe = take_probe(loader, probe_size)
    images = next(tensors_in(probe), None)
    if images is not None:
        require_images(network, images, model)
    return analyze(network, probe, layers, **settings)
