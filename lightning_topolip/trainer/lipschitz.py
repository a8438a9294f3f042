"""Local Lipschitz constants within a trainer: in its precision, on the first samples of the probe."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy

from lightning_topolip.lipschitz import OUTPUT, LayerConstants, LocalLipschitz, layer_lipschitz
from lightning_topolip.network.batches import move_batch
from lightning_topolip.network.measure import Forward
from lightning_topolip.network.probe import take_probe
from lightning_topolip.topology.names import INPUT, NETWORK
from lightning_topolip.topology.step_constants import LocalConstants, no_constants

_SHARDED = (FSDPStrategy, ModelParallelStrategy, DeepSpeedStrategy)
_NOT_FINITE = "its Jacobian holds NaN"


def require_whole_model(trainer: Trainer, samples: int) -> None:
    """Refuse local Lipschitz constants where no process holds the whole model.

    Args:
        trainer: The trainer.
        samples: Number of samples that the constants are wanted for; 0 for none.

    Raises:
        ValueError: If the trainer's strategy shards the model.
    """
    if samples and isinstance(trainer.strategy, _SHARDED):
        raise ValueError(
            "Argument `lipschitz` must be 0 where the strategy shards the model, since gathered parameters are gone "
            f"before the Jacobian is taken, got {samples} with {type(trainer.strategy).__name__}; leave it out."
        )


def local_constants(
    trainer: Trainer,
    pl_module: LightningModule,
    probe: Any,
    layers: Sequence[str],
    samples: int,
    forward_fn: Forward,
    seed: int,
) -> LocalConstants:
    """Compute the local Lipschitz constant of every step, the largest over some samples, in this process alone.

    The module is borrowed as for an analysis, and no gradient reaches its parameters.

    Args:
        trainer: The trainer, within a fit, a validation or a test.
        pl_module: Its module.
        probe: The probe, on any device.
        layers: Names of the layers that were measured, ``"<layer>#k"`` for the k-th execution.
        samples: Number of samples, the first ones of the probe.
        forward_fn: Called as ``forward_fn(pl_module, batch)``.
        seed: Seed of the first vectors and of what the model draws.

    Returns:
        The constants. What `layer_lipschitz` cannot do is NaN, with the reason.
    """
    names = list(dict.fromkeys(name.partition("#")[0] for name in layers if name != INPUT))
    try:
        with torch.inference_mode(False), trainer.precision_plugin.forward_context():
            batch = move_batch(take_probe(probe, samples), pl_module.device)
            return _largest(layer_lipschitz(pl_module, batch, names, forward_fn=forward_fn, seed=seed), names)
    except Exception as error:
        return no_constants([*names, OUTPUT], str(error) or repr(error))


def _largest(found: LayerConstants[LocalLipschitz], names: Sequence[str]) -> LocalConstants:
    values = {step: constant.max for step, constant in found.steps.items()}
    reasons = {step: _NOT_FINITE for step, value in values.items() if math.isnan(value)} | found.failures
    left_out = {end: reason for (start, end), reason in reasons.items() if start == end}
    places = {place for step in (*values, *reasons) for place in step} - set(left_out)
    chain = [place for place in (INPUT, *names, OUTPUT) if place in places]
    pieces, whole = list(itertools.pairwise(chain)), (chain[0], chain[-1])
    failures = left_out | {step[1]: reasons[step] for step in pieces if step in reasons}
    return LocalConstants(
        {end: values.get((start, end), math.nan) for start, end in pieces} | dict.fromkeys(left_out, math.nan),
        values.get(whole, math.nan),
        failures | ({NETWORK: reasons[whole]} if whole in reasons else {}),
    )
