"""The command `topolip compare`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule
from rich.console import Console
from typing_extensions import Unpack

from lightning_topolip.cli.candidate import Candidate, Split
from lightning_topolip.cli.options import call
from lightning_topolip.display.figure_file import save_figure
from lightning_topolip.files import require_new, write_json
from lightning_topolip.models.checkpoints import load_model
from lightning_topolip.topology.comparison import compare
from lightning_topolip.topology.settings import SettingsOptions
from lightning_topolip.topology.smoothness_report import SmoothnessReport


def run(name: str, arguments: Sequence[str]) -> None:
    """Run the command."""
    call(compare_command, f"topolip {name}", arguments, _add_pairs)


def _add_pairs(parser: ArgumentParser) -> set[str | int]:
    """Add the arguments that take two values, and return their names."""
    parser.add_argument("reports", nargs="*", default=[], help="Two files that topolip analyze wrote.")
    parser.add_argument("--models", nargs=2, default=None, help="Two models instead, see topolip analyze.")
    return {"reports", "models"}


def compare_command(
    reports: Sequence[str] = (),
    models: Sequence[str] | None = None,
    data: LightningDataModule | None = None,
    split: Split | None = None,
    layers: str | list[str] = "auto",
    probe_size: int = 256,
    output: Path | None = None,
    figure: Path | None = None,
    overwrite: bool = False,
    **settings: Unpack[SettingsOptions],
) -> None:
    """Print by how much two networks differ in smoothness, with the errors of one probe.

    Args:
        reports: Two files that `topolip analyze` wrote.
        models: Two models instead, each a checkpoint that `topolip fit` wrote or the name of a timm model; both are
            analysed on one probe.
        data: The data for the probe, such as DigitsDataModule or ImageFolderDataModule.
        split: The part of the data for the probe; by default test, or val where there is no test.
        layers: "auto", a pattern such as "blocks.*", or a list of names.
        probe_size: Number of samples.
        output: A JSON file for the differences.
        figure: A picture file, such as comparison.png.
        overwrite: Whether files of these names may be replaced.
        **settings: The settings of the analysis, such as --order 1 or --view raw.

    Raises:
        ValueError: If there are not two of them, or their probes or settings differ.
    """
    models = models or ()
    if (len(reports), len(models)) not in ((2, 0), (0, 2)):
        raise ValueError(
            "Argument `reports` must be two files that `topolip analyze` wrote, or `models` two models, "
            f"got reports {list(reports)} and models {list(models)}."
        )
    names = [*reports, *models]
    read = [_read(report) for report in reports]
    candidates = [Candidate.of(load_model(model), model, data, split, layers, probe_size, settings) for model in models]
    for argument, path in (("output", output), ("figure", figure)):
        require_new(argument, path, overwrite=overwrite)
    first, second = read or [candidate.report() for candidate in candidates]
    comparison = compare(first, second)
    Console(soft_wrap=True).print(f"first: {names[0]}\nsecond: {names[1]}\n{comparison}", markup=False, highlight=False)
    if output:
        write_json(output, {"first": names[0], "second": names[1], **comparison.to_dict()})
    if figure:
        save_figure(comparison.plot(_in_legend(*names)), figure)


def _in_legend(*names: str) -> tuple[str, str]:
    """Name two files or timm models in a picture, which has no room for paths."""
    first, second = (Path(name).name.removesuffix(".json").removesuffix(".ckpt") for name in names)
    return (first, second) if first != second else ("first", "second")


def _read(path: str) -> SmoothnessReport:
    must = f"Argument `reports` must be files that `topolip analyze` wrote, got {path!r}"
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{must}: {error.strerror}.") from None
    except ValueError:
        raise ValueError(f"{must}, which is not JSON.") from None
    try:
        return SmoothnessReport.from_dict(values if isinstance(values, dict) else {})
    except ValueError as error:
        raise ValueError(f"{must}: {error}") from error
