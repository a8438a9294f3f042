"""A training with geometry and Lipschitz constants that `test_callback_geometry.py` runs in one process and in two."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

from helpers.trainings import loader, trainer
from helpers.two_processes import OPTIONS, OwnLoader, run, several, tiny
from lightning_topolip import TopoLipCallback


def lost_on_the_second(module: Any, batch: Any) -> Any:
    """A forward that one process alone cannot differentiate."""
    if module.global_rank == 1 and torch.is_grad_enabled():
        raise OSError("the second process fails")
    return module(batch[0])


def validated(folder: Path, processes: int) -> dict[str, str]:
    callback = TopoLipCallback(**OPTIONS, geometry=True, lipschitz=3)
    alone = trainer(folder, callback, use_distributed_sampler=False, **several(processes))
    alone.validate(tiny(), loader(), verbose=False)
    return {key: repr(float(value)) for key, value in alone.callback_metrics.items() if key.startswith("topolip")}


def main(folder: Path, processes: int) -> None:
    found: dict[str, Any] = {"plain": run(folder, tiny(OwnLoader), None, **several(processes))}
    found["alone"] = validated(folder, processes)
    for case, options in {
        "inline": {},
        "background": {"background": True},
        "failing": {"forward_fn": lost_on_the_second},
    }.items():
        callback = TopoLipCallback(**OPTIONS, geometry=True, lipschitz=3, **options)
        found[case] = run(folder, tiny(OwnLoader), callback, **several(processes))
        last = callback.history.last
        found[case]["geometry"] = {name: repr(each) for name, each in last.geometry.items()} if last else {}
        found[case]["local"] = repr(last and last.local_lipschitz)
    (folder / f"{processes}-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(found))
