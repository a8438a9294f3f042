"""Every kind of logger in real trainings: the values are read back from the files it wrote."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import resource
import struct
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from matplotlib.figure import Figure
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_ndarray
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_topolip import TopoLipCallback
from lightning_topolip.display import plots
from lightning_topolip.display.figures import log_figures
from lightning_topolip.display.layout import log_layout
from lightning_topolip.display.loggers import log_picture, log_scalars, show_picture, shows_figures
from lightning_topolip.display.pictures import png

Numbers = dict[str, list[tuple[int, float]]]
Pictures = dict[tuple[str, int], Any]
FIGURES = {("topolip/smoothness", step) for step in (0, 2, 5)} | {("topolip/diagrams", step) for step in (0, 2, 5)}
FIGURES |= {("topolip/epoch_map", step) for step in (2, 5)}


class Tiny(LightningModule):
    """Three layers, the second one called twice, so that a logged key carries a ``#``."""

    def __init__(self, logs: bool = True) -> None:
        super().__init__()
        self.first, self.shared, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 2)
        self.logs = logs

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.relu(self.shared(torch.relu(self.first(inputs))))
        output: Tensor = self.last(torch.relu(self.shared(hidden)))
        return output

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        if self.logs:
            self.log("train/loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


def fit(loggers: Any, *, logs: bool = True, **options: Any) -> tuple[TopoLipCallback, Trainer]:
    seed_everything(0, verbose=False)
    inputs = torch.randn(48, 6)
    callback = TopoLipCallback(layers=["first", "shared", "last"], probe_size=16, halvings=1, figures=True)
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        callbacks=[callback],
        logger=loggers,
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **options,
    )
    trainer.fit(Tiny(logs), DataLoader(TensorDataset(inputs, (inputs.sum(1) > 0).long()), batch_size=16))
    return callback, trainer


def log_figure(loggers: list[Logger], tag: str, figure: Figure, step: int) -> None:
    log_picture(loggers, tag, png(figure), step)


def numbers_of_tensorboard(logger: TensorBoardLogger) -> Numbers:
    found = events(logger)
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def pictures_of_tensorboard(logger: TensorBoardLogger) -> Pictures:
    found = events(logger)
    return {
        (tag, event.step): pixels(io.BytesIO(event.encoded_image_string))
        for tag in found.Tags()["images"]
        for event in found.Images(tag)
    }


def events(logger: TensorBoardLogger) -> EventAccumulator:
    accumulator = EventAccumulator(logger.log_dir, size_guidance={"images": 0, "scalars": 0, "tensors": 0})
    accumulator.Reload()
    return accumulator


def numbers_of_csv(logger: CSVLogger) -> Numbers:
    numbers: Numbers = defaultdict(list)
    with (Path(logger.log_dir) / "metrics.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            for key, value in row.items():
                if value:
                    numbers[key].append((int(row["step"]), float(value)))
    return numbers


def pictures_of_csv(logger: CSVLogger) -> Pictures:
    folder = Path(logger.log_dir) / "figures"
    return {
        (path.parent.relative_to(folder).as_posix(), int(path.stem.removeprefix("step="))): pixels(path)
        for path in folder.rglob("*")
        if path.is_file()
    }


def numbers_of_mlflow(logger: MLFlowLogger) -> Numbers:
    run = logger.experiment.get_run(logger.run_id)
    history = {key: logger.experiment.get_metric_history(logger.run_id, key) for key in run.data.metrics}
    return {key: [(metric.step, metric.value) for metric in metrics] for key, metrics in history.items()}


def pictures_of_mlflow(logger: MLFlowLogger) -> Pictures:
    paths = [Path(artifact.path) for artifact in logger.experiment.list_artifacts(logger.run_id, "images")]
    names = {path: path.name.replace("%", "+").split("+") for path in paths if path.suffix == ".png"}
    return {
        (name[0].replace("~", "/"), int(name[2])): pixels(
            logger.experiment.download_artifacts(logger.run_id, path.as_posix())
        )
        for path, name in names.items()
    }


def numbers_of_wandb(logger: WandbLogger) -> Numbers:
    numbers: Numbers = defaultdict(list)
    for row in wandb_rows(logger):
        for key, value in row.items():
            if not key.startswith("_") and not isinstance(value, dict):
                numbers[key].append((int(row["trainer/global_step"]), float(value)))
    return numbers


def pictures_of_wandb(logger: WandbLogger) -> Pictures:
    return {
        (key, row["trainer/global_step"]): pixels(Path(logger.experiment.dir) / name)
        for row in wandb_rows(logger)
        for key, value in row.items()
        if isinstance(value, dict)
        for name in value["filenames"]
    }


def wandb_rows(logger: WandbLogger) -> list[dict[str, Any]]:
    """Read the history of a run out of its file, once the process that writes it has closed it."""
    logger.experiment.finish()
    (path,) = Path(logger.experiment.dir).parent.glob("*.wandb")
    latest = time.monotonic() + 10
    while not any(record.HasField("exit") for record in wandb_records(path.read_bytes())):
        assert time.monotonic() < latest
        time.sleep(0.02)
    rows = []
    for record in wandb_records(path.read_bytes()):
        row: dict[str, Any] = {}
        for item in record.history.item:
            key, *field = item.nested_key or [item.key]
            value = json.loads(item.value_json)
            row[key] = {**row.get(key, {}), field[0]: value} if field else value
        rows += [row] if row else []
    assert [row["_step"] for row in rows] == list(range(len(rows)))
    return rows


def wandb_records(data: bytes) -> Iterator[Any]:
    """Take apart a log in blocks of 32 KiB, in the format of LevelDB."""
    from wandb.proto.wandb_internal_pb2 import Record

    position, content = 7, b""
    while position < len(data):
        left_in_block = 32768 - position % 32768
        if left_in_block < 7:
            position += left_in_block
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        content += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a complete record, or the last part of one
            yield Record.FromString(content)
            content = b""


def pixels(source: Any) -> Any:
    with Image.open(source) as image:
        image.load()
        return np.asarray(image.convert("RGB"))


READERS: dict[type[Logger], tuple[Callable[[Any], Numbers], Callable[[Any], Pictures]]] = {
    TensorBoardLogger: (numbers_of_tensorboard, pictures_of_tensorboard),
    CSVLogger: (numbers_of_csv, pictures_of_csv),
    WandbLogger: (numbers_of_wandb, pictures_of_wandb),
    MLFlowLogger: (numbers_of_mlflow, pictures_of_mlflow),
}
KINDS = ["tensorboard", "csv", "wandb", "mlflow-files"]


@pytest.fixture(autouse=True)
def _nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_MODE", "offline")


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Logger]]:
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    for name in ("CACHE", "CONFIG", "DATA", "ARTIFACT"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / "wandb-folders"))

    def make(kind: str) -> Logger:
        if kind == "tensorboard":
            return TensorBoardLogger(tmp_path / kind)
        if kind == "csv":
            return CSVLogger(tmp_path / kind)
        if kind == "wandb":
            pytest.importorskip("wandb")
            (tmp_path / kind).mkdir()
            return WandbLogger(save_dir=tmp_path / kind, offline=True)
        pytest.importorskip("mlflow")
        artifacts = (tmp_path / kind / "artifacts").as_uri()
        if kind == "mlflow-files":
            return MLFlowLogger(tracking_uri=f"file:{tmp_path / kind}", artifact_location=artifacts)
        pytest.importorskip("sqlalchemy")
        return MLFlowLogger(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}", artifact_location=artifacts)

    yield make
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()


@pytest.fixture
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Draw empty figures and list their names; another test compares the real figures between loggers."""
    drawn: list[str] = []

    def quick(name: str) -> Callable[..., Figure]:
        return lambda *args, **options: drawn.append(name) or Figure(figsize=(1, 1))

    for name in ("smoothness_figure", "diagrams_figure", "epoch_map_figure"):
        monkeypatch.setattr(plots, name, quick(name))
    return drawn


def expected(callback: TopoLipCallback) -> Numbers:
    """The numbers that a fit must log for every layer, from the callback's history."""
    history, steps = callback.history, (0, 2, 5)
    assert history.epochs == [0, 1, 2]
    numbers: Numbers = defaultdict(list)
    for prefix, rows in (("topolip_depth", history.curves), ("topolip_epoch", history.epoch_drifts)):
        for step, row in zip(steps, rows, strict=True):
            for layer, value in row.items():
                numbers[f"{prefix}/{layer}"].append((step, pytest.approx(value)))
    return numbers


def check_numbers(logger: Logger, callback: TopoLipCallback) -> None:
    numbers = READERS[type(logger)][0](logger)
    allowed = {key: key.replace("#", "_") if isinstance(logger, MLFlowLogger) else key for key in expected(callback)}
    assert len(allowed) == 8
    for key, values in expected(callback).items():
        assert numbers[allowed[key]] == values
    for name in ("score", "speed_mean", "speed_max", "noise", "signal", "seconds"):
        assert [step for step, _ in numbers[f"topolip/{name}"]] == [0, 2, 5]
    assert [step for step, _ in numbers["topolip/epoch_drift"]] == [2, 5]
    assert [step for step, _ in numbers["train/loss"]] == list(range(6))


def check_odd_numbers(logger: Logger) -> None:
    odd = {"odd/<input>": 1.0, "odd/a#2": 2.0, "odd/a_2": 3.0, "odd/été": 4.0, "odd/nan": math.nan}
    log_scalars([logger], odd, 7)
    names = ["odd/_input_", "odd/a_2_", "odd/a_2", "odd/_t_", "odd/nan"] if isinstance(logger, MLFlowLogger) else odd
    if isinstance(logger, TensorBoardLogger):  # which draws NaN as a triangle at 0
        names = list(odd)[:-1]
    found = {key: values for key, values in READERS[type(logger)][0](logger).items() if key.startswith("odd")}
    assert set(found) == set(names)
    for key, value in zip(names, odd.values(), strict=False):
        assert found[key] == [(7, pytest.approx(value, nan_ok=True))]


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_logger_gets_every_number_and_figure(
    kind: str, make: Callable[[str], Logger], quick_figures: list[str]
) -> None:
    logger = make(kind)
    callback, _ = fit(logger)
    check_numbers(logger, callback)
    assert set(READERS[type(logger)][1](logger)) == FIGURES
    assert len(quick_figures) == len(FIGURES)


@pytest.mark.parametrize("kind", KINDS)
def test_nan_and_odd_names_are_kept(kind: str, make: Callable[[str], Logger]) -> None:
    check_odd_numbers(make(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_late_values_keep_their_step(kind: str, make: Callable[[str], Logger]) -> None:
    logger = make(kind)
    log_scalars([logger], {"train/loss": 1.0}, 9)
    log_figure([logger], "topolip/diagrams", Figure(figsize=(1, 1)), 4)
    log_scalars([logger], {"topolip/score": 2.0}, 4)
    numbers, pictures = (read(logger) for read in READERS[type(logger)])
    assert (numbers["train/loss"], numbers["topolip/score"]) == ([(9, 1.0)], [(4, 2.0)])
    assert set(pictures) == {("topolip/diagrams", 4)}


@pytest.mark.slow
@pytest.mark.usefixtures("quick_figures")
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")  # MLflow 3.17 on SQLAlchemy 2.1
def test_mlflow_in_a_database(make: Callable[[str], Logger]) -> None:
    logger = make("mlflow-sqlite")
    callback, _ = fit(logger)
    check_odd_numbers(logger)
    check_numbers(logger, callback)
    assert set(READERS[type(logger)][1](logger)) == FIGURES


def test_several_loggers_get_the_same_numbers_and_pixels(make: Callable[[str], Logger]) -> None:
    loggers = [make(kind) for kind in ("csv", "wandb", "mlflow-files", "tensorboard")]
    callback, _ = fit(loggers)
    first, *others = [READERS[type(logger)][1](logger) for logger in loggers]
    assert set(first) == FIGURES
    for logger in loggers:
        check_numbers(logger, callback)
    for (tag, step), picture in first.items():
        assert picture.std() > 10
        for other in others:
            assert np.array_equal(other[tag, step], picture)


@pytest.mark.parametrize("options", [{}, {"fast_dev_run": True}])
def test_without_a_logger_nothing_is_drawn(options: dict[str, Any], quick_figures: list[str]) -> None:
    callback, trainer = fit(False, **options)
    assert len(callback.history.epochs) == 1 + trainer.current_epoch
    assert quick_figures == []


def test_figures_beside_a_csv_of_another_file_system() -> None:
    files = fsspec.filesystem("memory")
    logger = CSVLogger("memory://runs", name="remote")
    log_figure([logger], "topolip/smoothness", Figure(), 7)
    assert files.find("/runs/remote/version_0/figures") == [
        "/runs/remote/version_0/figures/topolip/smoothness/step=000007.png"
    ]
    files.rm("/runs", recursive=True)


def charts_of(logger: TensorBoardLogger) -> dict[str, dict[str, list[str]]]:
    """The layout that TensorBoard shows: the last one of a run."""
    from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

    logger.save()
    *_, event = events(logger).Tensors("custom_scalars__config__")
    categories = Layout.FromString(make_ndarray(event.tensor_proto).item()).category
    return {kind.title: {chart.title: list(chart.multiline.tag) for chart in kind.chart} for kind in categories}


def test_every_layer_has_its_place_in_one_chart_of_six(tmp_path: Path) -> None:
    logger, layers = TensorBoardLogger(tmp_path), [f"blocks.{index}" for index in range(8)]
    log_layout([logger, CSVLogger(tmp_path)], "top.lip", layers)
    charts = charts_of(logger)["top.lip"]
    assert list(charts) == [
        "score and speed",
        "drift, layers 0 to 5",
        "drift, layers 6 to 7",
        "epoch drift, layers 0 to 5",
        "epoch drift, layers 6 to 7",
    ]
    for key in ("depth", "epoch"):
        for name in [*layers, "blocks.1#2"]:
            tag = f"top.lip_{key}/{name}"
            assert sum(bool(re.match(pattern, tag)) for patterns in charts.values() for pattern in patterns) == 1


def test_the_layouts_of_two_callbacks_are_merged_and_those_of_another_run_are_not(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    for prefix in ("topolip_raw", "topolip"):
        log_layout([logger], prefix, ["first", "last"])
    assert list(charts_of(logger)) == ["topolip_raw", "topolip"]
    other = TensorBoardLogger(tmp_path / "other")
    log_layout([other], "topolip")
    assert {title: list(charts) for title, charts in charts_of(other).items()} == {"topolip": ["score and speed"]}


class InMemory(Logger):
    """A user's logger, which keeps everything or refuses everything."""

    name = version = "custom"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.numbers: Numbers = defaultdict(list)
        self.figures: list[tuple[str, int]] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        assert step is not None
        for key, value in metrics.items():
            if self.error is not None and key.startswith("topolip"):
                raise type(self.error)(*self.error.args)
            self.numbers[key].append((step, float(value)))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


class InMemoryWithFigures(InMemory):
    """A user's logger that takes figures."""


@show_picture.register(InMemoryWithFigures)
def keep_figure(logger: InMemoryWithFigures, tag: str, picture: Image.Image, step: int) -> None:
    if logger.error is not None:
        raise logger.error
    logger.figures.append((tag, step))


@pytest.mark.usefixtures("quick_figures")
def test_an_adapter_for_figures_can_be_registered() -> None:
    logger = InMemoryWithFigures()
    callback, _ = fit(logger)
    assert set(logger.figures) == FIGURES
    assert expected(callback).items() <= logger.numbers.items()
    assert not shows_figures(InMemory())


class Series(list[Any]):
    """A series of LitLogger's experiment: numbers or images, never both."""

    def append(self, value: Any, step: int | None = None) -> None:
        assert all(isinstance(value, Shown) == isinstance(other, Shown) for _, other in self)
        super().append((step, value))


@dataclass
class Shown:
    """An image of LitLogger or Trackio."""

    picture: Image.Image


@pytest.mark.usefixtures("quick_figures")
@pytest.mark.filterwarnings("ignore:LitLogger does not support `log_graph`")
def test_litlogger_gets_numbers_and_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loggers = pytest.importorskip("lightning.pytorch.loggers")
    if not hasattr(loggers, "LitLogger"):
        pytest.skip("this Lightning has no LitLogger")
    series: dict[str, Series] = defaultdict(Series)
    experiment = type("Experiment", (), {"__getitem__": lambda _, key: series[key], "__init__": lambda *_, **__: None})
    experiment.print_url = lambda _: None
    experiment.finalize = lambda *_: None
    monkeypatch.setitem(sys.modules, "litlogger", SimpleNamespace(Experiment=experiment, Image=Shown))
    logger = loggers.LitLogger(tmp_path, name="mine")
    callback, _ = fit(logger)
    shown = {(key, step) for key, values in series.items() for step, value in values if isinstance(value, Shown)}
    assert shown == FIGURES
    for key, values in expected(callback).items():
        assert series[key] == values
    log_scalars([logger], {"topolip/score": math.nan}, 9)
    assert [step for step, _ in series["topolip/score"]] == [0, 2, 5]


class TrackioLogger(Logger):
    """As Lightning's issue 21466 proposes it: the experiment is a run of Trackio."""

    name = version = "trackio"

    def __init__(self) -> None:
        self.logged: list[tuple[int | None, dict[str, Any]]] = []

    @property
    def experiment(self) -> Any:
        return SimpleNamespace(log=lambda metrics, step=None: self.logged.append((step, metrics)))

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.experiment.log(dict(metrics), step=step)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


@pytest.mark.usefixtures("quick_figures")
def test_trackio_gets_numbers_and_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackio", SimpleNamespace(Image=Shown))
    logger = TrackioLogger()
    fit(logger)
    logged = [(key, step, value) for step, metrics in logger.logged for key, value in metrics.items()]
    assert {(key, step) for key, step, value in logged if isinstance(value, Shown)} == FIGURES
    assert [step for key, step, _ in logged if key == "topolip/score"] == [0, 2, 5]


def messages(caught: pytest.WarningsRecorder) -> list[str]:
    return [str(warning.message) for warning in caught if "TopoLip" in str(warning.message)]


@pytest.mark.usefixtures("quick_figures")
def test_each_failing_logger_is_warned_about_once_and_the_others_get_everything(tmp_path: Path) -> None:
    full, lost = OSError(28, "No space left on device"), ConnectionError("server is gone")
    csv_logger = CSVLogger(tmp_path)
    loggers = [InMemoryWithFigures(full), InMemory(lost), csv_logger, InMemory(lost)]
    with pytest.warns(UserWarning, match="TopoLip could not write to") as caught:
        callback, trainer = fit(loggers)
    assert trainer.current_epoch == 2
    assert sorted(message.split(". ")[0] for message in messages(caught)) == [
        "TopoLip could not write to InMemory: ConnectionError('server is gone')",
        "TopoLip could not write to InMemory: ConnectionError('server is gone')",
        "TopoLip could not write to InMemoryWithFigures: OSError(28, 'No space left on device')",
    ]
    check_numbers(csv_logger, callback)
    assert set(pictures_of_csv(csv_logger)) == FIGURES


def test_without_matplotlib_only_the_figures_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = CSVLogger(tmp_path)
    monkeypatch.delattr("lightning_topolip.display.plots")
    monkeypatch.setitem(sys.modules, "lightning_topolip.display.plots", None)
    with pytest.warns(UserWarning, match="could not draw the figure") as caught:
        callback, trainer = fit(logger)
    assert trainer.current_epoch == 2
    assert len(messages(caught)) == 3
    check_numbers(logger, callback)


def test_a_logger_that_recovers_gets_the_next_values() -> None:
    logger = InMemory(OSError("away"))
    with pytest.warns(UserWarning, match="OSError.*away"):
        log_scalars([logger], {"topolip/score": 1.0}, 0)
    logger.error = None
    log_scalars([logger], {"topolip/score": 2.0}, 1)
    assert logger.numbers == {"topolip/score": [(1, 2.0)]}
    logger.error = ValueError("something else")
    with pytest.warns(UserWarning, match="ValueError.*something else"):
        log_scalars([logger], {"topolip/score": 3.0}, 2)


def test_every_new_logger_is_warned_about_although_python_reuses_addresses() -> None:
    for _ in range(20):
        with pytest.warns(UserWarning, match="OSError.*away"):
            log_scalars([InMemory(OSError("away"))], {"topolip/score": 1.0}, 0)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def log_figures_on_a_small_disk(logger: Logger, figure: Figure) -> None:
    with largest_file(4096):
        for step in (0, 1):
            log_figure([logger], "topolip/diagrams", figure, step)


def test_a_figure_is_written_completely_or_not_at_all(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    figure = Figure()
    figure.subplots().imshow(np.random.default_rng(0).random((64, 64)))
    log_figure([logger], "topolip/diagrams", figure, 0)
    with pytest.warns(UserWarning, match="could not write to CSVLogger: OSError.*File too large") as caught:
        log_figures_on_a_small_disk(logger, figure)
    assert len(messages(caught)) == 1
    log_scalars([logger], {"topolip/score": 1.0}, 1)
    assert numbers_of_csv(logger)["topolip/score"] == [(1, 1.0)]
    pictures = pictures_of_csv(logger)
    assert set(pictures) == {("topolip/diagrams", 0)}
    assert pictures["topolip/diagrams", 0].shape == (480, 640, 3)


@pytest.mark.usefixtures("quick_figures")
def test_a_tensorboard_writer_that_raises_does_not_end_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = TensorBoardLogger(tmp_path)
    writer = logger.experiment.file_writer
    write = writer.add_summary

    def refuse(summary: Any, *args: Any, **kwargs: Any) -> None:
        if any(value.tag.startswith("topolip") for value in summary.value):
            raise OSError(28, "No space left on device")
        write(summary, *args, **kwargs)

    monkeypatch.setattr(writer, "add_summary", refuse)
    with pytest.warns(UserWarning, match="could not write to TensorBoardLogger") as caught:
        _, trainer = fit(logger)
    assert trainer.current_epoch == 2
    assert len({message for message in messages(caught)}) == len(messages(caught)) <= 2
    assert [step for step, _ in numbers_of_tensorboard(logger)["train/loss"]] == list(range(6))


class LeftOpen(TensorBoardLogger):
    """Without Lightning's last flush, which raises the error of the writer's thread."""

    def finalize(self, status: str) -> None:
        pass


@pytest.mark.usefixtures("quick_figures")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_writer_thread_that_dies_does_not_end_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: RecordWriter, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    logger, kept = LeftOpen(tmp_path), CSVLogger(tmp_path)
    logger.experiment.flush()
    monkeypatch.setattr(RecordWriter, "write", refuse)
    with pytest.warns(UserWarning, match="could not write to LeftOpen") as caught:
        callback, trainer = fit([logger, kept], logs=False)
    assert trainer.current_epoch == 2
    assert 1 <= len(messages(caught)) <= 2
    assert expected(callback).items() <= numbers_of_csv(kept).items()


def test_a_lost_server_is_warned_about_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    lost, kept = MLFlowLogger(tracking_uri="http://127.0.0.1:9"), CSVLogger(tmp_path)
    with pytest.warns(UserWarning, match="could not write to MLFlowLogger.*127.0.0.1") as caught:
        log_scalars([lost, kept], {"topolip/score": 0.5}, 0)
    log_scalars([lost, kept], {"topolip/score": 0.5}, 1)
    log_figure([lost, kept], "topolip/diagrams", Figure(), 1)
    assert len(messages(caught)) == 1
    assert numbers_of_csv(kept)["topolip/score"] == [(0, 0.5), (1, 0.5)]
    assert set(pictures_of_csv(kept)) == {("topolip/diagrams", 1)}


@pytest.mark.parametrize("kind", KINDS)
def test_other_ranks_write_and_draw_nothing(
    kind: str,
    make: Callable[[str], Logger],
    quick_figures: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    callback, _ = fit(False)
    logger = make(kind)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Figure, "savefig", pytest.fail)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    log_layout([logger], "topolip")
    log_scalars([logger], {"topolip/score": 1.0}, 0)
    log_picture([logger], "topolip/smoothness", b"", 0)
    log_figures([logger], callback.history, 0, "topolip", None, pytest.fail)
    assert quick_figures == []
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_no_package_of_a_logger_is_imported_or_needed() -> None:
    code = """
import sys
packages = ("wandb", "mlflow", "comet_ml", "neptune")
for name in packages[::2]:
    sys.modules[name] = None
from lightning_topolip.display.figures import log_figures
from lightning_topolip.display.loggers import log_scalars, shows_figures
from lightning.pytorch.loggers import CSVLogger
assert shows_figures(CSVLogger("."))
assert [name for name in packages if sys.modules.get(name)] == []
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
