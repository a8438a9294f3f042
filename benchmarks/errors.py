"""Check the standard errors, the noise and the drifts per sample, and time what they cost.

    python benchmarks/errors.py --images PATH           PATH holds train/<class>/* and test/<class>/*
    python benchmarks/errors.py                         the digits of scikit-learn, whose probes overlap
    python benchmarks/errors.py --against CHECKOUT      times another checkout of this package too
    python benchmarks/errors.py --short                 writes nothing

*Walks*: ten layers of 256 Gaussian points in 16 dimensions, each correlated with the one before, so that the path is
even by construction; and the same with a jump, the first 2 coordinates alone from the middle on. *Calibration*: a ViT
and a ResNet after some epochs of training, analysed on ten probes of 256 test images. *Bias*: the same networks, after
their last epoch, on probes of 64 to 1,024. *Cost*: seconds of the processor for 12 layers and n = 256, on the features
of an untrained residual network and on Gaussian clouds.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from analysis import clouds_of, digits, residual_network, versions
from calibration import NUMBERS, bias, calibration, trained
from error_cost import STAGES, cost_against, cost_of_halvings
from persistence import ENGINES, gaussian
from rich.console import Console
from rich.table import Table

from lightning_topolip import analyze, distance_matrix
from lightning_topolip.data import DigitsDataModule, ImageFolderDataModule
from lightning_topolip.network.probe import take_probe
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.smoothness_report import smoothness_report

POINTS, LAYERS, FEATURES, PROBES = 256, 10, 16, 10
CORRELATIONS, HALVINGS, SIZES = (0.5, 0.7, 0.9, 0.99), (1, 2, 4, 8, 16), (64, 128, 256, 512, 1024)


def walk(correlation: float, seed: int, jump: bool) -> Measurement:
    """Gaussian clouds of an autoregressive process; with a jump, only two of the features are left from the middle."""
    generator = torch.Generator().manual_seed(seed)
    cloud = torch.randn(POINTS, FEATURES, generator=generator)
    layers = {}
    for layer in range(LAYERS):
        layers[str(layer)] = distance_matrix(cloud[:, :2] if jump and layer >= LAYERS // 2 else cloud).numpy()
        fresh = torch.randn(POINTS, FEATURES, generator=generator)
        cloud = correlation * cloud + math.sqrt(1 - correlation**2) * fresh
    return Measurement(layers)


def walks(seeds: int) -> list[dict[str, Any]]:
    """Mean and standard deviation of the signal over seeds."""
    rows = []
    for jump in (False, True):
        for correlation in CORRELATIONS:
            signals = [smoothness_report(walk(correlation, seed, jump)).signal for seed in range(seeds)]
            row = {"jump": jump, "correlation": correlation, "seeds": seeds, "signal": float(np.mean(signals))}
            rows.append({**row, "scatter": float(np.std(signals, ddof=1))})
    return rows


def networks(options: argparse.Namespace) -> dict[str, Any]:
    """Calibration and bias of the trained networks."""
    data: ImageFolderDataModule | DigitsDataModule = DigitsDataModule()
    if options.images:
        data = ImageFolderDataModule(str(options.images), subset=options.train, batch_size=64, num_workers=0)
    data.setup("fit")
    data.setup("test")
    pool = data.test_dataloader() if options.images else data.train_dataloader()
    images, _ = take_probe(pool, PROBES * POINTS)
    probes = _probes(images)
    calibrated, biases = [], []
    for name, epoch, model in trained(data, options.epochs):
        reports = [analyze(model, probe, halvings=max(HALVINGS)) for probe in probes]
        calibrated += [{"network": name, "epoch": epoch, **row} for row in calibration(reports, HALVINGS)]
        if epoch == max(options.epochs):
            sizes = [n for n in SIZES if n <= len(images) // 2]
            biases += [{"network": name, "epoch": epoch, **row} for row in bias(model, images, sizes, PROBES // 2)]
    return {"calibration": calibrated, "bias": biases}


def _probes(images: torch.Tensor) -> list[torch.Tensor]:
    """Ten disjoint probes; random ones, which overlap, if there are too few images."""
    if len(images) >= PROBES * POINTS:
        return list(images.split(POINTS)[:PROBES])
    generator = torch.Generator().manual_seed(0)
    return [images[torch.randperm(len(images), generator=generator)[:POINTS]] for _ in range(PROBES)]


def costs(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each number of halvings, and of the other checkout."""
    second = residual_network()
    torch.manual_seed(1)
    for parameter in second.parameters():
        if parameter.ndim > 1:
            parameter.data += 0.1 * parameter.data.std() * torch.randn_like(parameter)
    features = [[_flat(cloud) for cloud in clouds_of(model, digits(POINTS))] for model in (residual_network(), second)]
    widest = max(cloud.shape[1] for cloud in features[0])
    padded = [[torch.nn.functional.pad(cloud, (0, widest - cloud.shape[1])) for cloud in clouds] for clouds in features]
    clouds = {
        "features": torch.stack([torch.stack(epoch) for epoch in padded]).numpy(),
        "Gaussian": torch.stack([gaussian(POINTS, layer) for layer in range(24)]).reshape(2, 12, POINTS, -1).numpy(),
    }
    cuts = (0, *HALVINGS)
    by_halvings = cost_of_halvings(clouds, ENGINES[:1], cuts, 3 * options.repeats)
    slow_ones = {"features": clouds["features"]}
    by_halvings += cost_of_halvings(slow_ones, ENGINES[1:], cuts, options.repeats)
    against = cost_against(options.against, clouds, 4, 3 * options.repeats) if options.against else []
    return {"halvings": by_halvings, "against": against}


def _flat(cloud: torch.Tensor) -> torch.Tensor:
    return cloud.flatten(1).float()


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "walks": lambda options: {"walks": walks(options.seeds)},
    "networks": networks,
    "cost": lambda options: {"cost": costs(options)},
}


def mean_of(rows: Sequence[dict[str, Any]], column: str, **labels: Any) -> float:
    """The mean of a column over the rows with these labels."""
    return float(np.mean([row[column] for row in rows if all(row[name] == value for name, value in labels.items())]))


def show(results: dict[str, Any]) -> None:
    """Print the tables of the parts that there are."""
    console = Console(width=120)
    if "walks" in results:
        console.print(walks_table(results["walks"]))
    if "calibration" in results:
        console.print(calibration_table(results["calibration"]))
        console.print(bias_table(results["bias"]))
    if "cost" in results:
        console.print(cost_table(results["cost"]["halvings"]))
        for row in results["cost"]["against"]:
            stages = ", ".join(
                f"{stage} {row['here'][stage]:.3f} against {row['other'][stage]:.3f}" for stage in STAGES
            )
            console.print(f"{row['clouds']}, {row['halvings']} halvings: {row['ratio']:.2f} times as long ({stages} s)")


def walks_table(rows: Sequence[dict[str, Any]]) -> Table:
    """The mean signal of even paths and of those with a jump."""
    table = Table("correlation", "signal, even", "signal, with a jump", title="Walks")
    for correlation in CORRELATIONS:
        signals = (mean_of(rows, "signal", correlation=correlation, jump=jump) for jump in (False, True))
        table.add_row(f"{correlation:g}", *(f"{signal:.2f}" for signal in signals))
    return table


def calibration_table(rows: Sequence[dict[str, Any]]) -> Table:
    """How well each number of halvings knows the error, as means over networks and epochs."""
    table = Table("number", "halvings", "error / scatter over probes", "scatter of the error", title="Calibration")
    for name in NUMBERS:
        for cuts in HALVINGS:
            columns = ("ratio", "scatter of the error")
            means = (mean_of(rows, column, number=name, halvings=cuts) for column in columns)
            table.add_row(name, str(cuts), *(f"{mean:.2f}" for mean in means))
    return table


def bias_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Score and speed by the size of the probe."""
    columns = ("score", "speed", "plain score", "plain speed")
    table = Table("network", "n", "probes", *columns, title="Bias")
    for row in rows:
        table.add_row(row["network"], str(row["n"]), str(row["probes"]), *(f"{row[name]:.4f}" for name in columns))
    return table


def cost_table(rows: Sequence[dict[str, Any]]) -> Table:
    """How many times as long an analysis takes with halvings as without."""
    table = Table("clouds", "engine", *(f"{cuts} halvings" for cuts in (0, *HALVINGS)), title="Cost")
    for kind, engine in dict.fromkeys((row["clouds"], row["engine"]) for row in rows):
        seconds = [sum(row["seconds"].values()) for row in rows if (row["clouds"], row["engine"]) == (kind, engine)]
        table.add_row(kind, engine, *(f"{second / seconds[0]:.2f}" for second in seconds))
    return table


def main() -> None:
    """Measure, print the tables, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="the others keep their numbers")
    parser.add_argument("--images", type=Path, help="folder with train/<class>/* and test/<class>/*")
    parser.add_argument("--train", type=int, default=2000, help="number of those images to train on")
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 3, 6], help="epochs to analyse")
    parser.add_argument("--seeds", type=int, default=10, help="of the walks")
    parser.add_argument("--repeats", type=int, default=3, help="of the measurements of time")
    parser.add_argument("--against", type=Path, help="another checkout of this package")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    if options.short:
        options.epochs, options.seeds, options.repeats = [1], 3, 1
    results = json.loads(options.output.read_text()) if options.output.exists() and not options.short else {}
    for part in options.parts:
        results |= PARTS[part](options)
    show(results)
    if not options.short:
        packages = ("torch", "numpy", "redzed-tda", "giotto-ph", "ripser", "gudhi")
        about = {"machine": platform.processor() or platform.machine(), **versions(packages)}
        options.output.write_text(json.dumps(results | {"about": about}, indent=1) + "\n")


if __name__ == "__main__":
    main()
