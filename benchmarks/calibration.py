"""Compare the errors of trained networks with the scatter over other probes, and probes of different sizes.

`errors.py` runs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback

from lightning_topolip import SmoothnessReport, analyze
from lightning_topolip.data.datamodule import ImageDataModule
from lightning_topolip.models import ResNetClassifier, ViTClassifier
from lightning_topolip.topology.drifts import per_sample
from lightning_topolip.topology.estimate import Estimate

NETWORKS = {"ViT": ViTClassifier, "ResNet": ResNetClassifier}
NUMBERS = ("score", "speed_mean", "speed_max", "curve")


class Snapshots(Callback):
    """Keeps the weights after some epochs."""

    def __init__(self, epochs: Sequence[int]) -> None:
        """Take the epochs."""
        self.epochs, self.weights = epochs, dict[int, dict[str, torch.Tensor]]()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Copy the weights."""
        if (epoch := trainer.current_epoch + 1) in self.epochs:
            self.weights[epoch] = {name: value.clone() for name, value in pl_module.state_dict().items()}


def trained(data: ImageDataModule, epochs: Sequence[int]) -> Iterator[tuple[str, int, torch.nn.Module]]:
    """Train both bundled networks in their size micro, and yield them as they are after some epochs."""
    for name, network in NETWORKS.items():
        seed_everything(0, verbose=False)
        model, snapshots = network(size="micro", num_classes=data.num_classes), Snapshots(epochs)
        quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
        trainer = Trainer(
            max_epochs=max(epochs), accelerator="cpu", callbacks=[snapshots], enable_progress_bar=False, **quiet
        )
        trainer.fit(model, data.train_dataloader())
        for epoch, weights in snapshots.weights.items():
            model.load_state_dict(weights)
            yield name, epoch, model


def calibration(reports: Sequence[SmoothnessReport], halvings: Sequence[int]) -> list[dict[str, Any]]:
    """Compare the errors of reports on different probes with the scatter of their numbers.

    Args:
        reports: Reports with the largest number of halvings; the first few of them are those of a smaller number.
        halvings: Numbers of halvings.

    Returns:
        By number and number of halvings the scatter (standard deviation over probes), the root mean square of the
        error, their ratio, and how far the error itself scatters, relative to its mean. For the curve each is the mean
        over steps.
    """
    rows = []
    for name in NUMBERS:
        estimates = [_estimate(report, name) for report in reports]
        scatter = np.std([estimate.value for estimate in estimates], axis=0, ddof=1)
        for cuts in halvings:
            errors = np.array([Estimate(found.value, found.parts[:cuts]).error for found in estimates])
            typical = np.sqrt((errors**2).mean(axis=0))
            rows.append(
                {
                    "number": name,
                    "halvings": cuts,
                    "value": float(np.mean([estimate.value for estimate in estimates])),
                    "scatter": float(np.mean(scatter)),
                    "error": float(np.mean(typical)),
                    "ratio": float(np.mean(typical / scatter)),
                    "scatter of the error": float(np.mean(errors.std(axis=0, ddof=1) / errors.mean(axis=0))),
                }
            )
    return rows


def bias(model: torch.nn.Module, images: torch.Tensor, sizes: Sequence[int], probes: int) -> list[dict[str, Any]]:
    """Average score and speed over disjoint probes of each size, per sample and by the plain W_p."""
    rows = []
    for n in sizes:
        parts = images[: len(images) // n * n].split(n)[:probes]
        reports = [analyze(model, part, halvings=0, subset_size=None) for part in parts]
        score, speed = (float(np.mean([getattr(report, name) for report in reports])) for name in NUMBERS[:2])
        plain = 1 / per_sample(n, reports[0].settings.order)
        rows.append(
            {
                "n": n,
                "probes": len(parts),
                "score": score,
                "speed": speed,
                "plain score": plain * score,
                "plain speed": plain * speed,
            }
        )
    return rows


def _estimate(report: SmoothnessReport, name: str) -> Estimate:
    return report.scored if name == "curve" else report.estimates[name]
