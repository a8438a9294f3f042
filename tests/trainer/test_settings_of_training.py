"""Precision, compilation, checkpointing, memory formats: training does not feel it, and every value is there."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.chain import Chain
from helpers.trainings import Augmented, Order, Tiny, loader, trainer
from lightning import seed_everything
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader

from lightning_topolip import TopoLipCallback
from lightning_topolip.models import ResNetClassifier

OPTIONS: dict[str, Any] = {"probe_size": 16, "halvings": 1, "figures": False, "on_error": "raise"}


def trained(folder: Path, model: Callable[[], Any], *callbacks: Callback, **options: Any) -> list[Any]:
    seed_everything(7, verbose=False)
    order, module = Order(), model()
    run = trainer(folder, order, *callbacks, max_epochs=2, **options)
    run.fit(module, loader(shuffle=True), loader())
    optimizers = [optimizer.state_dict() for optimizer in run.optimizers]
    return [run.lightning_module.state_dict(), optimizers, order.seen, torch.get_rng_state()]


def require_invisible(folder: Path, model: Callable[[], Any], epochs: list[float], **options: Any) -> None:
    watch = options.pop("watch", {})
    callback = TopoLipCallback(**OPTIONS | watch)
    with_it = trained(folder, model, callback, **options)
    torch.testing.assert_close(with_it, trained(folder, model, **options), rtol=0, atol=0)
    assert callback.history.epochs == pytest.approx(epochs)
    assert all(math.isfinite(drift) for curve in callback.history.curves for drift in curve.values())


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true", "32-true"])
def test_every_precision(tmp_path: Path, precision: Any) -> None:
    require_invisible(tmp_path, Tiny, [0, 1, 2], precision=precision)


@pytest.mark.parametrize(
    ("watch", "options", "epochs"),
    [
        ({"every_n_epochs": 2}, {}, [0, 2]),
        ({"every_n_steps": 2}, {}, [0, 2 / 3, 4 / 3, 2]),
        ({"every_n_steps": 2}, {"accumulate_grad_batches": 2}, [0, 1, 2]),
        ({"every_n_steps": 100}, {}, [0, 2]),
        ({}, {"val_check_interval": 0.34}, [0, 1, 2]),
        ({}, {"accumulate_grad_batches": 3, "gradient_clip_val": 0.1}, [0, 1, 2]),
        ({"background": True}, {}, [0, 1, 2]),
        ({"background": True, "every_n_steps": 1}, {}, [0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2]),
        ({"budget": 0.99}, {"limit_val_batches": 0}, None),
    ],
)
def test_every_cadence(tmp_path: Path, watch: dict[str, Any], options: dict[str, Any], epochs: Any) -> None:
    if epochs is None:
        callback = TopoLipCallback(**OPTIONS | watch)
        with_it = trained(tmp_path, Tiny, callback, **options)
        torch.testing.assert_close(with_it, trained(tmp_path, Tiny, **options), rtol=0, atol=0)
        assert callback.history.epochs[0] == 0
    else:
        require_invisible(tmp_path, Tiny, epochs, watch=watch, **options)


class Graphs:
    """A compiler that counts what it is given."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, graph: Any, inputs: list[Tensor]) -> Any:
        self.count += 1
        return graph.forward


class Quiet(Tiny):
    """Does not log: where a whole module is compiled, `log` is part of it, and what any callback logs changes that."""

    def validation_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.layers(batch[0]), batch[1])


def in_place(backend: Any) -> Tiny:
    model = Quiet()
    model.layers = Chain(*model.layers)
    model.layers.compile(backend=backend)
    return model


def wrapped(backend: Any) -> Tiny:
    model = Quiet()
    model.layers = torch.compile(model.layers, backend=backend)
    return model


def whole(backend: Any) -> Any:
    return torch.compile(Quiet(), backend=backend)


def whole_in_place(backend: Any) -> Tiny:
    model = Quiet()
    model.compile(backend=backend)
    return model


@pytest.mark.parametrize("kind", [in_place, wrapped, whole, whole_in_place])
def test_compiled_modules_run_eagerly_and_are_not_compiled_again(tmp_path: Path, kind: Any) -> None:
    graphs = {}

    def run(*callbacks: Callback) -> list[Any]:
        torch._dynamo.reset()
        backend = graphs[len(callbacks)] = Graphs()
        return trained(tmp_path, lambda: kind(backend), *callbacks)

    callback = TopoLipCallback(**OPTIONS)
    torch.testing.assert_close(run(callback), run(), rtol=0, atol=0)
    assert graphs[1].count == graphs[0].count > 0
    eager = TopoLipCallback(**OPTIONS)
    trained(tmp_path, Quiet, eager)
    assert callback.history.curves[0] == eager.history.curves[0]
    assert list(callback.history.curves[0]) == ["layers.0", "layers.3", "layers.5"]


class Checkpointed(Tiny):
    """Computes activations twice to save memory."""

    def forward(self, inputs: Tensor) -> Tensor:
        hidden: Tensor = checkpoint(self.layers[:3], inputs, use_reentrant=False)
        output: Tensor = checkpoint(self.layers[3:], hidden, use_reentrant=False)
        return output


def test_gradient_checkpointing(tmp_path: Path) -> None:
    require_invisible(tmp_path, Checkpointed, [0, 1, 2])


def test_channels_last_gives_the_same_numbers(tmp_path: Path) -> None:
    curves = []
    for memory in (torch.contiguous_format, torch.channels_last):
        seed_everything(0, verbose=False)
        model = ResNetClassifier(size="micro", num_classes=4, warmup_fraction=0.0).to(memory_format=memory)
        callback = TopoLipCallback(**OPTIONS)
        trainer(tmp_path, callback, max_epochs=1, limit_train_batches=1).fit(
            model, DataLoader(Augmented(), batch_size=8), DataLoader(Augmented(), batch_size=8)
        )
        curves.append(callback.history.curves[0])
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)


class Mixed(Callback):
    """The dtype that a layer puts out during an analysis."""

    def __init__(self) -> None:
        self.seen: set[torch.dtype] = set()

    def forward(self, module: Any, batch: Any) -> Any:
        output = module(batch[0])
        self.seen.add(output.dtype)
        return output


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("bf16-mixed", torch.bfloat16), ("64-true", torch.float64), ("bf16-true", torch.bfloat16)],
)
def test_the_probe_runs_in_the_precision_of_the_training(tmp_path: Path, precision: Any, dtype: torch.dtype) -> None:
    seen = Mixed()
    callback = TopoLipCallback(**OPTIONS, forward_fn=seen.forward)
    trained(tmp_path, Tiny, callback, precision=precision)
    assert seen.seen == {dtype}
