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

from lightning_topolip import TopoLipCallback, compare
from lightning_topolip.data import DigitsDataModule
from lightning_topolip.display.plots import highest_drift, smoothness_figure
from lightning_topolip.files import write_json
from lightning_topolip.models import ImageClassifier, ResNetClassifier, ViTClassifier
from lightning_topolip.topology.comparison import Comparison
from lightning_topolip.topology.history import History
from lightning_topolip.topology.tables import with_error

RECIPES = {
    "ViT": (30, lambda: ViTClassifier(size="micro", patch_size=8, learning_rate=3e-3)),
    "ResNet": (6, lambda: ResNetClassifier(size="micro")),
}
WITH_ERROR = {
    "score": "TopoLip",
    "speed_mean": "mean speed",
    "speed_max": "largest speed",
    "epoch_drift": "epoch drift",
    "path_length": "path length",
}
NUMBERS = [*WITH_ERROR, *(f"{name}_error" for name in WITH_ERROR), "noise", "signal"]


def train(name: str, model: ImageClassifier, epochs: int, folder: Path) -> tuple[dict[str, float | str], History]:
    """Train one model, and return its numbers after the last epoch and the history of its curves."""
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
    accuracy = trainer.test(model, data, verbose=False)[0]["test/accuracy"]
    times = {"seconds": seconds, "analysis": smoothness.analysis_seconds}
    return {"model": name, "accuracy": accuracy, **logged, **times}, smoothness.history


def draw(histories: dict[str, History], folder: Path) -> None:
    """Draw the curves of both on one scale."""
    top = 1.05 * max(map(highest_drift, histories.values()))
    for name, history in histories.items():
        smoothness_figure(history, top=top).savefig(folder / f"{name}.png", dpi=120)


def table_of(rows: list[dict[str, float | str]]) -> Table:
    """Lay out the numbers, one column per model."""
    table = Table(title="Digits after the last epoch (TopoLip: lower is smoother)", box=SIMPLE_HEAD)
    table.add_column("")
    for row in rows:
        table.add_column(row["model"], justify="right")
    table.add_row("accuracy", *(f"{row['accuracy']:.1%}" for row in rows))
    for name, label in WITH_ERROR.items():
        table.add_row(label, *(with_error(row[name], row[f"{name}_error"]) for row in rows))
    table.add_row("noise of TopoLip", *(f"{row['noise']:.2g}" for row in rows))
    table.add_row("signal", *(f"{row['signal']:.2g}" for row in rows))
    table.add_row("training", *(f"{row['seconds']:.0f} s" for row in rows))
    table.add_row("of which analysis", *(f"{row['analysis'] / row['seconds']:.0%}" for row in rows))
    return table


def verdict(comparison: Comparison) -> str:
    """Say in one sentence which of the two is smoother, from the same digits for both."""
    difference = comparison.differences["score"]
    change = "lower" if difference.value < 0 else "higher"
    size = with_error(abs(float(difference.value)), float(difference.error))
    return f"The ViT's TopoLip is {change} than the ResNet's by {size} (z = {difference.z:.1f})."


def main() -> None:
    """Train both, print the table and the comparison, and write the numbers to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, help="epochs of both, instead of 30 for the ViT and 6 for the ResNet")
    parser.add_argument("--folder", type=Path, default=Path("runs/demo"))
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*(LeafSpec|many workers).*")
    console, rows, histories = Console(), [], {}
    for name, (epochs, build) in RECIPES.items():
        seed_everything(0, verbose=False)
        console.print(f"Training {name} for {options.epochs or epochs} epochs ...")
        row, histories[name] = train(name, build(), options.epochs or epochs, options.folder)
        rows.append(row)
    draw(histories, options.folder)
    comparison = compare(histories["ViT"].last, histories["ResNet"].last)
    write_json(options.folder / "demo.json", {"models": rows, "ViT - ResNet": comparison.to_dict()})
    console.print(table_of(rows))
    console.print(verdict(comparison), highlight=False)
    console.print(f"Curves and figures: tensorboard --logdir {options.folder}", highlight=False)


if __name__ == "__main__":
    main()
