"""When figures are drawn, and what the loggers get of many layers and of failed analyses."""

from __future__ import annotations

import logging
import math
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.clouds import cloud_history
from helpers.trainings import INPUTS, Tiny, events, loader, trainer
from lightning import seed_everything
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from matplotlib.figure import Figure
from torch import nn

from lightning_topolip import TopoLipCallback
from lightning_topolip.display import plots
from lightning_topolip.display.loggers import show_picture
from lightning_topolip.display.pictures import draw_pictures
from lightning_topolip.trainer import artist, budget
from lightning_topolip.trainer.budget import Overhead
from lightning_topolip.trainer.processes import Processes


class Gallery(Logger):
    """Keeps the names and steps of figures, and numbers by key."""

    name = version = "gallery"

    def __init__(self) -> None:
        self.shown: list[tuple[str, int]] = []
        self.numbers: dict[str, list[float]] = {}

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        for key, value in metrics.items():
            self.numbers.setdefault(key, []).append(float(value))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


@show_picture.register(Gallery)
def keep(logger: Gallery, tag: str, picture: Any, step: int) -> None:
    logger.shown.append((tag.removeprefix("topolip/"), step))


@pytest.fixture(autouse=True)
def _quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw empty figures; the background, in its own process, draws real ones."""
    for name in ("smoothness_figure", "diagrams_figure", "epoch_map_figure"):
        monkeypatch.setattr(plots, name, lambda *args, **options: Figure(figsize=(1, 1)))


def steps(gallery: Gallery) -> list[int]:
    return sorted({step for _, step in gallery.shown})


def shown(folder: Path, model: Any = None, **options: Any) -> Gallery:
    gallery = Gallery()
    seed_everything(0, verbose=False)
    callback = TopoLipCallback(probe_size=12, halvings=0, **options)
    trainer(folder, callback, logger=gallery).fit(model or Tiny(), loader(), loader())
    return gallery


def test_where_nothing_else_fits_the_end_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_FIGURES_SHARE", 0.0)
    assert sorted(shown(tmp_path).shown) == [("diagrams", 8), ("epoch_map", 8), ("smoothness", 8)]


@pytest.mark.parametrize(("figures", "drawn"), [(True, [0, 2, 5, 8]), (False, [])])
def test_they_are_drawn_always_or_never_on_request(tmp_path: Path, figures: bool, drawn: list[int]) -> None:
    assert steps(shown(tmp_path, figures=figures)) == drawn


def test_they_are_drawn_between_where_they_cost_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_FIGURES_SHARE", 1.0)
    monkeypatch.setattr(budget, "_FIRST_FIGURES", 0.0)
    assert steps(shown(tmp_path)) == [0, 2, 5, 8]


class Clock:
    """Time that passes only when something is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(budget.time, "perf_counter", lambda: self.now)


@pytest.mark.parametrize(("share", "drawn"), [(None, 11), (0.05, 2)])
def test_figures_take_a_tenth_of_the_time_or_half_of_the_budget(
    monkeypatch: pytest.MonkeyPatch, share: float | None, drawn: int
) -> None:
    """200 epochs of a second, an analysis of 1 ms after each, and figures of 2 s: 11 are a tenth of 222 s."""
    clock, overhead, count = Clock(monkeypatch), Overhead(), 0
    overhead.start_training()
    for _ in range(200):
        clock.now += 1.0
        with overhead.counted():
            clock.now += 0.001
            if overhead.allows_figures(share):
                with overhead.counted_as_figures():
                    clock.now += 2.0
                count += 1
    assert count == drawn
    assert overhead.seconds == pytest.approx(0.2 + 2 * drawn)


def test_figures_do_not_make_an_analysis_look_too_long_for_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, overhead = Clock(monkeypatch), Overhead()
    overhead.start_training()
    with overhead.counted():
        clock.now += 1.0
        with overhead.counted_as_figures():
            clock.now += 50.0
    clock.now += 949.0
    assert overhead.allows(0.0521)
    assert not overhead.allows(0.0519)


class AtOnce:
    """Stands in for the process: jobs are done at once, or never."""

    def __init__(self, done: bool) -> None:
        self.done, self.stopped = done, False

    def submit(self, function: Any, *args: Any) -> Future[Any]:
        job: Future[Any] = Future()
        if self.done:
            job.set_result(function(*args))
        return job

    def stop(self) -> None:
        self.stopped = True


@pytest.mark.parametrize(
    ("figures", "done", "drawn"),
    [("auto", False, [8]), (True, True, [0, 2, 5, 8]), (True, False, [0, 2, 5, 8])],
)
def test_the_background_draws_what_it_can_and_the_end_waits_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figures: Any, done: bool, drawn: list[int]
) -> None:
    process = AtOnce(done)
    monkeypatch.setattr(artist, "Processes", lambda *_, **__: process)
    assert steps(shown(tmp_path, background=True, figures=figures)) == drawn
    assert process.stopped


def test_the_background_does_not_wait_for_time_to_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_FIGURES_SHARE", 0.0)
    monkeypatch.setattr(artist, "Processes", lambda *_, **__: AtOnce(done=True))
    first, *_, last = steps(shown(tmp_path, background=True))  # some between, as the results arrive
    assert (first, last) == (0, 8)


def test_a_process_of_its_own_draws_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the figures are real
    run, process = cloud_history(2), Processes(1, None)
    try:
        drawn = process.submit(draw_pictures, run.snapshot(), None).result()
    finally:
        process.stop()
    assert drawn == draw_pictures(run, None)
    assert list(drawn.files) == ["smoothness", "diagrams", "epoch_map"]


def test_without_its_process_training_draws_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: Any) -> Future[Any]:
        job: Future[Any] = Future()
        job.set_exception(BrokenProcessPool("killed"))
        return job

    monkeypatch.setattr(artist.Processes, "submit", lost)
    with pytest.warns(UserWarning, match="lost the process that draws figures"):
        gallery = shown(tmp_path, background=True)
    assert steps(gallery)[-1] == 8
    assert len(gallery.numbers["topolip/score"]) == 4


def test_a_snapshot_stays_as_it_is() -> None:
    run = cloud_history(2)
    before = run.snapshot()
    run.add(2.0, cloud_history(1).last)  # type: ignore[arg-type]
    assert (before.epochs, run.epochs) == ([0.0, 1.0], [0.0, 1.0, 2.0])
    assert len(before.curves) == len(before.epoch_drifts) == 2


def test_an_interrupted_training_is_drawn_and_says_what_failed(tmp_path: Path) -> None:
    class Interrupted(Tiny):
        def on_train_epoch_start(self) -> None:
            if self.current_epoch == 2:
                raise RuntimeError("the power is gone")

    def sometimes(module: Any, batch: Any) -> Any:
        if module.trainer.global_step == 3:
            raise OSError("away")
        return module(batch[0])

    gallery = Gallery()
    run = trainer(tmp_path, TopoLipCallback(probe_size=12, forward_fn=sometimes), logger=gallery)
    with (
        pytest.raises(RuntimeError, match="the power is gone"),
        pytest.warns(UserWarning, match="A TopoLip analysis failed"),
        pytest.warns(UserWarning, match=r"1 of 3 TopoLip analyses failed and gave NaN: OSError\('away'\)"),
    ):
        run.fit(Interrupted(), loader(), loader())
    assert steps(gallery)[-1] == 5


def test_a_failed_analysis_is_not_in_tensorboard_and_is_nan_in_a_table(tmp_path: Path) -> None:
    def sometimes(module: Any, batch: Any) -> Any:
        if module.trainer.global_step == 3:
            raise OSError("away")
        return module(batch[0])

    loggers = [TensorBoardLogger(tmp_path), CSVLogger(tmp_path)]
    callback = TopoLipCallback(probe_size=12, forward_fn=sometimes, figures=False)
    with (
        pytest.warns(UserWarning, match="A TopoLip analysis failed"),
        pytest.warns(UserWarning, match="1 of 4 TopoLip analyses failed and gave NaN"),
    ):
        trainer(tmp_path, callback, logger=loggers).fit(Tiny(), loader(), loader())
    found = events(loggers[0])
    assert [event.step for event in found.Scalars("topolip/score")] == [0, 5, 8]
    tags = found.Tags()["scalars"]
    assert all(math.isfinite(event.value) for tag in tags for event in found.Scalars(tag))
    rows = (Path(loggers[1].log_dir) / "metrics.csv").read_text().splitlines()
    score = rows[0].split(",").index("topolip/score")
    assert [row.split(",")[score] for row in rows[1:]].count("nan") == 1


class Deep(Tiny):
    """As many linear blocks as it is told."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(nn.Linear(6, 6) for _ in range(blocks)))

    def forward(self, inputs: torch.Tensor) -> Any:
        return self.layers(self.blocks(inputs))


@pytest.mark.parametrize(
    ("blocks", "choice", "logged"), [(24, "auto", 24), (25, "auto", 0), (25, True, 25), (3, False, 0)]
)
def test_numbers_of_single_layers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, blocks: int, choice: Any, logged: int
) -> None:
    gallery = Gallery()
    callback = TopoLipCallback("blocks.*", probe=INPUTS[:12], halvings=0, figures=False, layer_scalars=choice)
    run = trainer(tmp_path, callback, logger=gallery, max_epochs=1)
    with caplog.at_level(logging.INFO, "lightning.pytorch"):
        run.fit(Deep(blocks), loader(), loader())
    for kind in ("depth", "epoch"):
        assert sum(key.startswith(f"topolip_{kind}/") for key in gallery.numbers) == logged
        assert sum(key.startswith(f"topolip_{kind}/") for key in run.callback_metrics) == blocks
    assert len(gallery.numbers["topolip/score"]) == 2
    assert ("TopoLip logs no numbers of single layers" in caplog.text) == (logged == 0)


def test_the_choices_are_checked() -> None:
    for name in ("figures", "layer_scalars"):
        with pytest.raises(ValueError, match=f"Argument `{name}` must be one of"):
            TopoLipCallback(**{name: "sometimes"})  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"figures": True}, {"background": True}, {}])
def test_figures_leave_training_as_it_is(tmp_path: Path, options: dict[str, Any]) -> None:
    def trained(*callbacks: Any) -> Any:
        seed_everything(0, verbose=False)
        model = Tiny()
        run = trainer(tmp_path, *callbacks, logger=Gallery())
        run.fit(model, loader(shuffle=True), loader())
        return model.state_dict(), [optimizer.state_dict() for optimizer in run.optimizers], torch.get_rng_state()

    torch.testing.assert_close(trained(TopoLipCallback(probe_size=12, **options)), trained(), rtol=0, atol=0)
