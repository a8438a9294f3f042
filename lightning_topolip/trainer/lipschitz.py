"""Local Lipschitz constants within a trainer: in its precision, on the first samples of the probe."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer

from lightning_topolip.lipschitz import OUTPUT, LayerConstants, LocalLipschitz, layer_lipschitz
from lightning_topolip.network.batches import move_batch
from lightning_topolip.network.probe import take_probe
from lightning_topolip.network.subject import Subject
from lightning_topolip.topology.names import INPUT, NETWORK
from lightning_topolip.topology.step_lipschitz import LocalConstants, no_constants
from lightning_topolip.trainer.fingerprint import SHARDED

_NOT_FINITE = "its Jacobian holds NaN"


def require_whole_model(trainer: Trainer, samples: int) -> None:
    """Refuse local Lipschitz constants of ``samples`` samples, 0 for none, if no process holds the whole model."""
    if samples and isinstance(trainer.strategy, SHARDED):
        raise ValueError(
            "Argument `lipschitz` must be 0 if the strategy shards the model, since gathered parameters are freed "
            f"before the Jacobian is taken, got {samples} with {type(trainer.strategy).__name__}; leave it out."
        )


def local_constants(
    trainer: Trainer, pl_module: LightningModule, probe: Any, subject: Subject, layers: Sequence[str], samples: int
) -> LocalConstants:
    """Compute the local Lipschitz constant of every step, the largest over some samples, in this process alone.

    The module is borrowed as for an analysis, and no gradient reaches its parameters.

    Args:
        trainer: The trainer, within a fit, a validation or a test.
        pl_module: Its module.
        probe: The probe, on any device.
        subject: How the module is called, and the seed.
        layers: Names of the measured layers, ``"<layer>#k"`` for the k-th execution.
        samples: Number of samples, the first ones of the probe.

    Returns:
        The constants; NaN, with the reason, for those that `layer_lipschitz` cannot compute.
    """
    names = list(dict.fromkeys(name.partition("#")[0] for name in layers if name != INPUT))
    try:
        with torch.inference_mode(False), trainer.precision_plugin.forward_context():
            batch = move_batch(take_probe(probe, samples, subject.samples_fn), pl_module.device)
            constants = layer_lipschitz(
                pl_module,
                batch,
                names,
                forward_fn=subject.forward_fn,
                samples_fn=subject.samples_fn,
                seed=subject.settings.seed,
            )
            return _largest(constants, names)
    except Exception as error:
        return no_constants([*names, OUTPUT], str(error) or repr(error))


def _largest(constants: LayerConstants[LocalLipschitz], names: Sequence[str]) -> LocalConstants:
    values = {step: constant.max for step, constant in constants.steps.items()}
    failures = {step: _NOT_FINITE for step, value in values.items() if math.isnan(value)} | constants.failures
    skipped = {end: reason for (start, end), reason in failures.items() if start == end}
    places = {place for step in (*values, *failures) for place in step} - set(skipped)
    chain = [place for place in (INPUT, *names, OUTPUT) if place in places]
    steps, network = list(itertools.pairwise(chain)), (chain[0], chain[-1])
    reasons = skipped | {step[1]: failures[step] for step in steps if step in failures}
    return LocalConstants(
        {end: values.get((start, end), math.nan) for start, end in steps} | dict.fromkeys(skipped, math.nan),
        values.get(network, math.nan),
        reasons | ({NETWORK: failures[network]} if network in failures else {}),
    )
