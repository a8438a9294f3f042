"""Train a small ResNet on digits with and without the penalty of `TopoLipRegularizer`: score and accuracies.

python benchmarks/smoothing.py                  five weights, two seeds: ten trainings, ten minutes on two cores
python benchmarks/smoothing.py --short          two weights, one seed, one epoch, writes nothing
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import warnings
from importlib.metadata import version
from pathlib import Path

import torch
from lightning import Trainer, seed_everything
from rich.console import Console
from rich.table import Table

from lightning_topolip import TopoLipRegularizer, analyze
from lightning_topolip.data import DigitsDataModule
from lightning_topolip.models import ResNetClassifier
from lightning_topolip.network.probe import take_probe

WEIGHTS = (-1.0, 0.0, 1.0, 3.0, 10.0)
NOISE = 0.2


def trained(weight: float, seed: int, epochs: int) -> dict[str, float]:
    """Train one network; its score on 256 validation images, and its accuracies on the test images."""
    seed_everything(seed, verbose=False)
    data, model = DigitsDataModule(batch_size=64), ResNetClassifier(size="micro")
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        callbacks=[TopoLipRegularizer(weight)] if weight else [],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(model, data)
    report = analyze(model.eval(), take_probe(data.val_dataloader(), 256))
    images, labels = map(torch.cat, zip(*data.test_dataloader(), strict=True))
    noise = NOISE * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        clean, noisy = (
            float((model(pixels.clamp(0, 1)).argmax(dim=1) == labels).float().mean())
            for pixels in (images, images + noise)
        )
    return {
        "weight": weight,
        "seed": seed,
        "score": report.score,
        "score_error": report.score_error,
        "accuracy": clean,
        f"accuracy under noise of {NOISE}": noisy,
    }


def main() -> None:
    """Train all networks, print a table, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=float, nargs="+", default=WEIGHTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    if options.short:
        options.weights, options.seeds, options.epochs = (0.0, 3.0), (0,), 1
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    rows = [trained(weight, seed, options.epochs) for weight in options.weights for seed in options.seeds]
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(f"{value:.3g}" for value in row.values()))
    Console().print(table)
    if not options.short:
        record = {
            "command": f"python benchmarks/smoothing.py --weights {' '.join(map(str, options.weights))} "
            f"--seeds {' '.join(map(str, options.seeds))} --epochs {options.epochs}",
            "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
            "versions": {name: version(name) for name in ("torch", "lightning", "redzed-tda", "numpy")},
            "rows": rows,
        }
        options.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
