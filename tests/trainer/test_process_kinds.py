"""Processes that cannot start others, and processes that a strategy starts for the fit alone."""

from __future__ import annotations

import multiprocessing
import warnings
from pathlib import Path
from typing import Any

import pytest
from helpers.trainings import INPUTS, Tiny, loader, trainer

from lightning_topolip import TopoLipCallback
from lightning_topolip.trainer.placement import Placement
from lightning_topolip.trainer.ranks import warn_of_lost_history
from lightning_topolip.trainer.workers import Staff

OPTIONS: dict[str, Any] = {"probe": INPUTS[:12], "figures": False, "halvings": 0}


def watched(folder: Path, options: dict[str, Any], stage: str) -> tuple[list[str], Any]:
    """Runs in a process of a pool, which is daemonic."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        callback, model = TopoLipCallback(**OPTIONS, **options), Tiny()
        run = trainer(folder, callback, max_epochs=1)
        getattr(run, stage)(model, loader(), *([loader()] if stage == "fit" else []))
    last = callback.history.last
    score = last.score if last else float(run.callback_metrics["topolip/score"])
    return [str(warning.message) for warning in caught if "TopoLip" in str(warning.message)], score


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_daemonic_process_computes_by_itself(tmp_path: Path, method: str) -> None:
    """It can start threads, but no processes."""
    placements: list[tuple[dict[str, Any], str]] = [
        ({"background": True}, "fit"), ({"workers": 2}, "fit"), ({"workers": 2}, "validate"), ({}, "fit")
    ]  # fmt: skip
    kinds = [({**options, "engine": engine}, stage) for engine in ("auto", "ripser") for options, stage in placements]
    with multiprocessing.get_context(method).Pool(1) as pool:
        found = pool.starmap(watched, [(tmp_path, *kind) for kind in kinds], chunksize=1)
    for (options, _), (said, score) in zip(kinds, found, strict=True):
        assert score > 0
        if options["engine"] == "auto":
            assert said == []
        elif len(options) > 1:
            assert len(said) == 1
            assert said[0].startswith("TopoLip computes persistence by 'ripser' in this process, since a daemonic")


def test_a_placement_says_how_many_workers_there_are() -> None:
    assert Placement().staff(4) == Staff(threads=4, processes=0)
    assert Placement(workers=0).staff(4) == Staff(threads=0, processes=0)
    assert Placement(workers=3).staff(4) == Staff(threads=3, processes=3)
    assert Placement(workers=3, background=True).staff(4) == Staff(threads=1, processes=1, niceness=19)


@pytest.mark.parametrize(
    ("strategy", "loses"),
    [("ddp_spawn", True), ("ddp_fork", True), ("ddp_notebook", True), ("ddp", False), ("auto", False)],
)
def test_strategies_that_start_processes_for_the_fit_are_known(
    tmp_path: Path, strategy: str, loses: bool, recwarn: pytest.WarningsRecorder
) -> None:
    warn_of_lost_history(trainer(tmp_path, devices=1 if strategy == "auto" else 2, strategy=strategy))
    assert [str(warning.message).partition(",")[0] for warning in recwarn if "TopoLip" in str(warning.message)] == [
        "The strategy starts its own processes for the fit"
    ] * loses


def test_a_fit_in_another_process_says_where_the_history_is(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    callback = TopoLipCallback(**OPTIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = trainer(tmp_path, callback, max_epochs=1, devices=1, strategy="ddp_spawn")
        run.fit(Tiny(), loader(), loader())
    assert callback.history.epochs == []
    assert "history stays empty in the process that calls it; the curves are in the loggers" in capfd.readouterr().err
    assert float(run.callback_metrics["topolip/score"]) > 0
