"""Train a ViT and a ResNet on scikit-learn's real digits and compare how smoothly they carry the data."""

import argparse
import logging
import time
from pathlib import Path

from lightning import Trainer, seed_everything
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from rich.table import Table

from lightning_topolip import TopoLipCallback
from lightning_topolip.data import DigitsDataModule
from lightning_topolip.models import ImageClassifier, ResNetClassifier, ViTClassifier


def train(name: str, model: ImageClassifier, epochs: int, folder: Path) -> list[str]:
    """Train one model and give its row of the table."""
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
    logged = {key: float(value) for key, value in trainer.callback_metrics.items()}
    accuracy = trainer.test(model, data, verbose=False)[0]["test/accuracy"]
    return [
        name,
        f"{accuracy:.1%}",
        *(f"{logged[f'topolip/{key}']:.3f}" for key in ("score", "speed_mean", "speed_max", "epoch_drift", "noise")),
        f"{seconds:.0f} s",
        f"{smoothness.analysis_seconds / seconds:.1%}",
    ]


def main() -> None:
    """Train both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, help="of both, instead of 30 for the ViT and 6 for the ResNet")
    parser.add_argument("--folder", type=Path, default=Path("runs/demo"))
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    console = Console()
    table = Table(title="Digits, 1,797 real images, after the last epoch", caption="TopoLip: lower is smoother")
    columns = [
        "model",
        "test accuracy",
        "TopoLip",
        "speed mean",
        "speed max",
        "epoch drift",
        "noise",
        "training",
    ]
    for column in [*columns, "of which analysis"]:
        table.add_column(column, justify="right")
    recipes = {
        "ViT": (30, lambda: ViTClassifier(size="micro", patch_size=8, learning_rate=3e-3)),
        "ResNet": (6, lambda: ResNetClassifier(size="micro")),
    }
    for name, (epochs, build) in recipes.items():
        seed_everything(0, verbose=False)
        console.print(f"Training {name} ...")
        table.add_row(*train(name, build(), options.epochs or epochs, options.folder))
    console.print(table)
    console.print(f"Curves and figures: tensorboard --logdir {options.folder}")


if __name__ == "__main__":
    main()
