"""In any ordinary training the callback gives a trustworthy curve or one sentence, and training does not change."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.trainings import trainer
from lightning import seed_everything
from lightning.pytorch.callbacks import Callback
from ordinary.situations import SITUATIONS, Situation

from lightning_topolip import TopoLipCallback

EPOCHS = 3


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_finite_current_and_repeatable_score_or_one_sentence(name: str, tmp_path: Path) -> None:
    situation = SITUATIONS[name]
    callback, again = TopoLipCallback(**situation.options), TopoLipCallback(**situation.options)
    run, trained, said = fitted(situation, tmp_path, callback)
    _, trained_again, _ = fitted(situation, tmp_path, again)
    _, alone, _ = fitted(situation, tmp_path)
    torch.testing.assert_close(trained, alone, rtol=0, atol=0)
    torch.testing.assert_close(trained_again, alone, rtol=0, atol=0)
    assert len(said) == bool(situation.says), said
    assert all(re.search(situation.says, message) for message in said), said
    history = callback.history
    if not situation.has_score:
        assert history.last is None
        return
    assert history.last is not None
    assert np.isfinite(history.last.score)
    assert history.last.score > 0
    assert not history.last.failures
    assert history.optimizer_steps[-1] == run.global_step
    assert history.curves == again.history.curves
    assert "topolip/score" in run.callback_metrics


def fitted(situation: Situation, folder: Path, *callbacks: Callback) -> tuple[Any, Any, list[str]]:
    """Train; return the trainer, what was trained, and what the callback said."""
    seed_everything(0, verbose=False)
    before, after = situation.before(), situation.after()
    if not callbacks:
        before, after = ([each for each in group if not monitors_us(each)] for group in (before, after))
    model = situation.model()
    options = {"max_epochs": EPOCHS, **situation.trainer}
    run = trainer(folder, *before, *callbacks, *after, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run.fit(model, situation.train(folder), situation.val(folder) if situation.val else None)
    said = [str(warning.message) for warning in caught if "topolip" in str(warning.message).lower()]
    metrics = {key: value for key, value in run.callback_metrics.items() if not key.startswith("topolip")}
    states = [optimizer.state_dict() for optimizer in run.optimizers]
    return run, (model.state_dict(), states, metrics, torch.get_rng_state(), run.global_step), said


def monitors_us(callback: Callback) -> bool:
    return str(getattr(callback, "monitor", None)).startswith("topolip")
