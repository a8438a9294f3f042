"""A fingerprint of the weights, to notice that something replaced them."""

from __future__ import annotations

import itertools

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from torch import Tensor, nn

SHARDED = (FSDPStrategy, ModelParallelStrategy, DeepSpeedStrategy)
_RUNNING = ("running_mean", "running_var")
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def weights_fingerprint(trainer: Trainer, module: nn.Module) -> tuple[int, ...] | None:
    """Sum the bits of every parameter and running statistic, exactly, so that neither device nor order matters.

    None if the strategy shards the module, since no process holds its weights then.
    """
    if isinstance(trainer.strategy, SHARDED):
        return None
    running = (buffer for name, buffer in module.named_buffers() if name.endswith(_RUNNING))
    return tuple(map(_sum_of_bits, itertools.chain(module.parameters(), running)))


def _sum_of_bits(tensor: Tensor) -> int:
    """0 for a tensor whose bits cannot be read, such as a sparse, quantised or lazy one."""
    try:
        real = torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor.detach()
        return int(real.view(_INTEGERS[real.element_size()]).sum(dtype=torch.int64))
    except Exception:
        return 0
