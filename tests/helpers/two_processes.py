"""Trainings that `test_distributed.py` runs in one process and in two, and what they found, as JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from lightning import seed_everything
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.strategies import DDPStrategy, FSDPStrategy, ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.utils.data import DataLoader, TensorDataset

from helpers.trainings import INPUTS, Tiny, loader, trainer
from lightning_topolip import TopoLipCallback, TopoLipRegularizer, topolip_loss
from lightning_topolip.topology import layer as topology

OPTIONS: dict[str, Any] = {"probe_size": 12, "figures": False, "on_error": "raise", "pairing": True}


class OwnLoader(Tiny):
    """Each process has validation data of another length, and more layers than processes."""

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(TensorDataset(INPUTS, (INPUTS.sum(1) > 0).long()), batch_size=4 * (1 + self.global_rank))


FAILED: list[int] = []  # outside of the module, whose attributes come back after an analysis


class FailsOnce(Tiny):
    """The batch-transfer hook of the second process fails when the probe is taken."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        if self.global_rank == 1 and not self.trainer.training and not FAILED:
            FAILED.append(self.global_rank)
            raise MemoryError("once")
        return batch


class CPUShards(FSDPStrategy):
    """Lightning refuses its own class without an accelerator; torch shards on the CPU where it is told to."""

    def _setup_model(self, model: nn.Module) -> nn.Module:
        return FullyShardedDataParallel(model, device_id=torch.device("cpu"), **self.kwargs)


class Sharded(Tiny):
    """Sharded by its own hook, as `ModelParallelStrategy` wants it."""

    def configure_model(self) -> None:
        for layer in self.layers:
            fully_shard(layer, mesh=self.device_mesh["data_parallel"])
        fully_shard(self.layers, mesh=self.device_mesh["data_parallel"])


class Halves(Callback):
    """Replaces the weights at the end of training."""

    def on_train_end(self, run: Any, module: Any) -> None:
        module.load_state_dict({name: value / 2 for name, value in module.state_dict().items()})


class Penalised(Tiny):
    """Adds the penalty of `TopoLipRegularizer` to its loss, if told to."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        hidden, outputs = batch[0], []
        for layer in self.layers:
            hidden = layer(hidden)
            outputs.append(hidden[:8])
        loss = nn.functional.cross_entropy(hidden, batch[1])
        return loss + self.weight * topolip_loss(outputs) if self.weight else loss


def static_graph() -> DDPStrategy:
    return DDPStrategy(static_graph=True)


def steered(folder: Path, model: Tiny, *callbacks: Callback, epochs: int = 1, **options: Any) -> dict[str, Any]:
    seed_everything(0, verbose=False)
    fitted = trainer(folder, *callbacks, max_epochs=epochs, **options)
    fitted.fit(model, loader())
    return exact(fitted)


def fails_on_the_second(module: Any, batch: Any) -> Any:
    if module.global_rank == 1:
        raise OSError("the second process fails")
    return module(batch[0])


def run(
    folder: Path, model: Tiny, callback: TopoLipCallback | None, *others: Callback, **options: Any
) -> dict[str, Any]:
    counted = mock.patch.object(topology, "layer_topology", wraps=topology.layer_topology)
    seed_everything(0, verbose=False)
    callbacks = [*others, *([callback] if callback else [])]
    if callback:
        callbacks.append(EarlyStopping("topolip/score", patience=9, check_finite=False))
    fitted = trainer(folder, *callbacks, max_epochs=2, use_distributed_sampler=False, **options)
    with counted as measured:
        fitted.fit(model, loader(), None if isinstance(model, OwnLoader) else loader())
    values = {key: float(value) for key, value in fitted.callback_metrics.items() if key.startswith("topolip")}
    timed = ("topolip/seconds", "topolip/overhead")
    return {
        "curves": callback.history.curves if callback else [],
        "drifts": callback.history.epoch_drifts if callback else [],
        "values": {key: repr(value) for key, value in values.items() if key not in timed},
        "measured": measured.call_count,
        "weights": {} if options.get("strategy") != several(options["devices"])["strategy"] else exact(fitted),
    }


def exact(fitted: Any) -> dict[str, Any]:
    return {name: value.tolist() for name, value in fitted.lightning_module.state_dict().items()}


def several(processes: int) -> dict[str, Any]:
    return {"devices": processes, "strategy": "ddp" if processes > 1 else "auto"}


def tiny(kind: type[Tiny] = Tiny) -> Tiny:
    seed_everything(1, verbose=False)
    return kind()


def penalised(weight: float) -> Penalised:
    seed_everything(1, verbose=False)
    return Penalised(weight)


def main(folder: Path, processes: int) -> None:
    plain = several(processes)
    found = {"plain": run(folder, tiny(), None, **plain)}
    regulariser = TopoLipRegularizer(0.5, "layers.*", points=8, max_ratio=None)
    found["steered"] = {
        "by the loss": steered(folder, penalised(0.5), **plain),
        "by the callback": steered(folder, penalised(0.0), regulariser, **plain),
        "not": steered(folder, penalised(0.0), **plain),
    }
    if processes > 1:
        limited = [TopoLipRegularizer(0.5, "layers.*", points=8)]
        found["static"] = {
            kind: steered(folder, penalised(0.0), *callbacks, epochs=3, devices=processes, strategy=static_graph())
            for kind, callbacks in (("steered", limited), ("not", []))
        }
    found["watched"] = run(folder, tiny(), TopoLipCallback(**OPTIONS), **plain)
    found["background"] = run(folder, tiny(), TopoLipCallback(**OPTIONS, background=True), **plain)
    found["unequal"] = run(folder, tiny(OwnLoader), TopoLipCallback(**OPTIONS), **plain, val_check_interval=2)
    found["replaced"] = run(folder, tiny(), TopoLipCallback(**OPTIONS), Halves(), **plain)
    found["steps"] = run(folder, tiny(), TopoLipCallback(**OPTIONS, every_n_steps=2), **plain)
    if processes > 1:
        failing = OPTIONS | {"on_error": "warn", "forward_fn": fails_on_the_second}
        found["failing"] = run(folder, tiny(), TopoLipCallback(**failing), **plain)
        once = TopoLipCallback(**OPTIONS | {"on_error": "warn"})
        found["once"] = run(folder, tiny(FailsOnce), once, **plain, num_sanity_val_steps=0)
        wrapped = CPUShards(auto_wrap_policy={nn.Linear})
        found["wrapped"] = run(folder, tiny(), TopoLipCallback(**OPTIONS), devices=processes, strategy=wrapped)
        sharded = ModelParallelStrategy(data_parallel_size=processes, tensor_parallel_size=1)
        found["sharded"] = run(folder, tiny(Sharded), TopoLipCallback(**OPTIONS), devices=processes, strategy=sharded)
    (folder / f"{processes}-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(found))
