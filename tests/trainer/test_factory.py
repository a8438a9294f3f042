"""A Trainer watches where an environment variable asks for it, through the entry point that the package declares."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
from helpers.paths import ROOT
from helpers.requirements import PROJECT
from helpers.trainings import Tiny, loader, trainer
from lightning import Trainer, seed_everything

from lightning_topolip import TopoLipCallback
from lightning_topolip.trainer.standby import StandbyCallback

GROUP = "lightning.pytorch.callbacks_factory"


@pytest.fixture(autouse=True)
def _declared_entry_points_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an installation of this checkout would register, however the package was installed."""
    declared = PROJECT["entry-points"][GROUP]
    points = EntryPoints(EntryPoint(name, value, GROUP) for name, value in declared.items())
    monkeypatch.setattr("lightning.fabric.utilities.registry.entry_points", points.select)
    monkeypatch.setenv("TOPOLIP_WATCH", "1")


def standbys(run: Trainer) -> list[StandbyCallback]:
    return [callback for callback in run.callbacks if isinstance(callback, StandbyCallback)]


def test_a_training_is_watched_without_a_line_of_code(tmp_path: Path) -> None:
    unasked, asked = TopoLipCallback(), trainer(tmp_path, max_epochs=2)
    for run in (asked, trainer(tmp_path, unasked, max_epochs=2)):
        seed_everything(0, verbose=False)
        run.fit(Tiny(), loader(), loader())
    (standby,) = standbys(asked)
    assert standby.history.curves == unasked.history.curves
    assert standby.history.epochs == [0, 1, 2]
    assert asked.callback_metrics["topolip/score"].item() == pytest.approx(standby.history.last.score)


def test_an_own_callback_is_enough(tmp_path: Path) -> None:
    own = TopoLipCallback(probe_size=12)
    run = trainer(tmp_path, own, max_epochs=1)
    run.fit(Tiny(), loader(), loader())
    run.validate(Tiny(), loader(), verbose=False)
    (standby,) = standbys(run)
    assert own.history.epochs == [0, 1]
    assert standby.history.epochs == []
    assert standby.analysis_seconds == 0


def test_a_list_of_callbacks_may_serve_several_trainers(tmp_path: Path) -> None:
    callbacks: list[StandbyCallback] = []
    runs = [trainer(tmp_path, *callbacks, max_epochs=1) for _ in range(2)]
    shared = [*standbys(runs[0]), *standbys(runs[1])]
    run = trainer(tmp_path, *shared, max_epochs=1)
    run.fit(Tiny(), loader(), loader())
    assert [len(standby.history.epochs) for standby in standbys(run)] == [2, 0, 0]


@pytest.mark.parametrize("value", ["", "0", "false", "OFF"])
def test_off_means_no_callback(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOPOLIP_WATCH", value)
    assert standbys(trainer(tmp_path)) == []


def test_another_value_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOPOLIP_WATCH", "maybe")
    with pytest.raises(ValueError, match="Environment variable `TOPOLIP_WATCH` must be 1 or 0, got 'maybe'"):
        trainer(tmp_path)


def test_it_imports_nothing_while_it_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOPOLIP_WATCH", "0")
    code = (
        "import sys; from lightning_topolip.trainer.factory import requested_callbacks; "
        "assert requested_callbacks() == []; print(sorted({'torch', 'numpy', 'lightning'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
