"""Train a ViT and a ResNet on scikit-learn's real digits and compare how smoothly they carry the data."""

import argparse
import logging
import time
import warnings
from pathlib import Path

from lightning import Trainer, seed_everything
from lightning.pytorch.loggers import TensorBoardLogger
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lightning_topolip import TopoLipCallback
from lightning_topolip.data import DigitsDataModule
from lightning_topolip.display.plots import smoothness_figure
from lightning_topolip.files import write_json
from lightning_topolip.models import ImageClassifier, ResNetClassifier, ViTClassifier

RECIPES = {
    "ViT": (30, lambda: ViTClassifier(size="micro", patch_size=8, learning_rate=3e-3)),
    "ResNet": (6, lambda: ResNetClassifier(size="micro")),
}
NUMBERS = ("score", "speed_mean", "speed_max", "epoch_drift", "noise")


def train(name: str, model: ImageClassifier, epochs: int, folder: Path) -> dict[str, float | str]:
    """Train one model, draw its curve, and return its numbers after the last epoch."""
    smoothness = TopoLipCallback()
    trainer = Trainer(
        max_epochs=epochs,
        callbacks=[smoothness],
        logger=TensorBoardLogger(folder, name=name, version=""),
        enable_checkpointing=False,
        enable_model_summary=False,
        log_every_n_steps=10,
    )
    data = DigitsDataModule(batch_size=64)
    start = time.perf_counter()
    trainer.fit(model, data)
    seconds = time.perf_counter() - start
    logged = {key: float(trainer.callback_metrics[f"topolip/{key}"]) for key in NUMBERS}
    smoothness_figure(smoothness.history).savefig(folder / f"{name}.png")
    accuracy = trainer.test(model, data, verbose=False)[0]["test/accuracy"]
    return {"model": name, "accuracy": accuracy, **logged, "seconds": seconds, "analysis": smoothness.analysis_seconds}


def main() -> None:
    """Train both, print the table, and write its numbers to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, help="epochs of both, instead of 30 for the ViT and 6 for the ResNet")
    parser.add_argument("--folder", type=Path, default=Path("runs/demo"))
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*(LeafSpec|many workers).*")
    console, rows = Console(), []
    for name, (epochs, build) in RECIPES.items():
        seed_everything(0, verbose=False)
        console.print(f"Training {name} for {options.epochs or epochs} epochs ...")
        rows.append(train(name, build(), options.epochs or epochs, options.folder))
    write_json(options.folder / "demo.json", rows)
    table = Table(
        title="Digits after the last epoch (TopoLip: lower is smoother)",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for column in ("model", "accuracy", "TopoLip", "speed", "max", "epoch drift", "noise", "time", "analysis"):
        table.add_column(column, justify="right")
    for row in rows:
        numbers = (f"{row[key]:.3f}" for key in NUMBERS)
        share = row["analysis"] / row["seconds"]
        table.add_row(row["model"], f"{row['accuracy']:.1%}", *numbers, f"{row['seconds']:.0f} s", f"{share:.0%}")
    console.print(table)
    console.print(f"Curves and figures: tensorboard --logdir {options.folder}", highlight=False)


if __name__ == "__main__":
    main()
