"""TopoLipMetric: the same numbers as the functions it is made of, fair samples, and the conventions of torchmetrics."""

import copy
import gc
import json
import math
import pickle
import warnings
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import forked
from lightning.pytorch import LightningModule, Trainer
from scipy.stats import chi2
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanMetric, MetricCollection, MetricTracker

from lightning_topolip import analyze
from lightning_topolip.metric.metric import TopoLipMetric
from lightning_topolip.metric.options import QUANTITIES
from lightning_topolip.metric.reservoir import Reservoir
from lightning_topolip.metric.sampling import lowest, next_places, sampling_keys
from lightning_topolip.network.distances import distance_matrix
from lightning_topolip.network.reductions import point_cloud
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.names import INPUT
from lightning_topolip.topology.settings import Settings
from lightning_topolip.topology.smoothness_report import SmoothnessReport, smoothness_report

NAMES = (INPUT, "a", "b", "c", "d")


def activations(n: int = 40, seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Layers of different shapes, the first of which is a plain cloud."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((6,), (4, 3), (2, 3, 3), (8,), (5,))
    rows = (torch.randn(n, *shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return {name: output.to(dtype) for name, output in zip(NAMES, rows, strict=True)}


def part(batch: dict[str, Tensor], start: int, stop: int) -> dict[str, Tensor]:
    return {name: output[start:stop] for name, output in batch.items()}


def directly(batch: dict[str, Tensor], **settings: Any) -> SmoothnessReport:
    chosen = Settings(**settings)
    matrices = {
        name: distance_matrix(point_cloud(output, "flatten" if name == INPUT else chosen.reduction)).numpy()
        for name, output in batch.items()
    }
    return smoothness_report(Measurement(matrices), chosen)


def text(report: SmoothnessReport) -> str:
    """All numbers of a report, to the bit, NaN equal to itself."""
    return json.dumps({**report.to_dict(), "probe": ""})  # a metric does not know it


def updated(*batches: dict[str, Tensor], **arguments: Any) -> TopoLipMetric:
    metric = TopoLipMetric(**arguments)
    for batch in batches:
        metric.update(batch)
    return metric


def kept(metric: TopoLipMetric) -> list[int]:
    """Places in the epoch of the samples that a metric keeps."""
    return torch.cat(metric.places).tolist()


def numbered(n: int, start: int = 0) -> dict[str, Tensor]:
    """Samples that say which they are."""
    return {"a": torch.arange(start, start + n, dtype=torch.float64)}


def content(metric: TopoLipMetric) -> list[float]:
    return torch.cat(metric.points).view(torch.float64).tolist()


# The numbers


def test_equals_the_report_of_all_samples_when_they_fit() -> None:
    batch = activations()
    metric = updated(batch)
    expected = directly(batch)
    assert text(metric.report()) == text(expected)
    value = metric.compute()
    assert value.dtype == torch.float32
    assert value.shape == ()
    assert value.item() == pytest.approx(expected.score, rel=1e-6)
    assert math.isfinite(expected.score)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_every_quantity(quantity: str) -> None:
    batch = activations()
    settings = {"order": math.inf, "dimensions": (0,), "reduction": "mean", "view": "raw", "seed": 3, "halvings": 2}
    expected = directly(batch, **settings).to_dict()[quantity]
    assert math.isfinite(expected)
    assert updated(batch, quantity=quantity, **settings).compute().item() == pytest.approx(expected, rel=1e-6)


def test_the_input_joins_the_score_by_option_and_comes_first() -> None:
    batch = activations()
    shuffled = {name: batch[name] for name in ("a", INPUT, "b", "c", "d")}
    metric = updated(shuffled, include_input=True, engine="ripser")
    assert metric.report().layers == NAMES
    assert metric.compute().item() == pytest.approx(directly(batch, include_input=True).score, rel=1e-5)


@pytest.mark.parametrize("max_points", [256, 10])
@pytest.mark.parametrize("size", [1, 7, 39])
def test_any_split_into_batches_gives_the_same_report(size: int, max_points: int) -> None:
    batch = activations()
    pieces = [part(batch, start, start + size) for start in range(0, 40, size)]
    whole, split = updated(batch, max_points=max_points), updated(*pieces, max_points=max_points)
    assert kept(whole) == kept(split)
    assert len(kept(whole)) == min(40, max_points)
    assert text(whole.report()) == text(split.report())


def test_the_same_samples_of_every_layer_are_kept() -> None:
    rows = torch.arange(100.0)
    metric = updated({"a": rows, "b": (2 * rows).double(), "c": rows[:, None].expand(100, 3)}, max_points=12)
    found = Reservoir.read_any(metric.metric_state).rows()
    assert found["a"].tolist() == kept(metric)
    assert torch.equal(found["b"], 2 * found["a"].double())
    assert torch.equal(found["c"], found["a"][:, None].expand(12, 3))


def test_named_layers_only_in_the_order_of_the_mapping() -> None:
    assert updated(activations(), layers=["d", "b", "c"]).report().layers == (INPUT, "b", "c", "d")


# The sample


def test_each_sample_is_kept_with_the_same_frequency() -> None:
    n, size, seeds = 40, 10, 1000
    counts = np.zeros(n)
    for seed in range(seeds):
        metric = TopoLipMetric(max_points=size, seed=seed)
        for start, stop in ((0, 7), (7, 29), (29, 40)):
            metric.update(numbered(stop - start, start))
        assert content(metric) == kept(metric)
        counts[kept(metric)] += 1
    assert counts.sum() == seeds * size
    assert is_uniform(counts, seeds, size)


@pytest.mark.parametrize("sizes", [(15, 45), (50, 10)])
def test_merged_samples_hold_each_with_the_same_frequency(sizes: tuple[int, int]) -> None:
    """Both have the seed, and with it the keys, of each other; a choice by the same keys twice would exceed it."""
    n, size, seeds = sum(sizes), 8, 2000
    counts = np.zeros(n)
    for seed in range(seeds):
        first, second = (filled(count, start, size, seed) for count, start in zip(sizes, (0, sizes[0]), strict=True))
        counts[first.merged(second).rows()["a"].long().numpy()] += 1
    assert counts.sum() == seeds * size
    assert is_uniform(counts, seeds, size)


def filled(count: int, start: int, size: int, seed: int) -> Reservoir:
    empty = Reservoir.read({"points": [], "places": [], "layout": [], "seen": 0, "end": 0}, size, seed)
    draw = empty.draw(count)
    return empty.added({name: draw.rows(rows) for name, rows in numbered(count, start).items()}, draw)


def is_uniform(counts: np.ndarray, seeds: int, size: int) -> bool:
    """Chi-square over samples, each kept in a share of the seeds, between its quantiles 1e-4 and 1 - 1e-4."""
    n, share = len(counts), size / len(counts)
    statistic = float(((counts - seeds * share) ** 2).sum() / (seeds * share * (1 - share)) * (n - 1) / n)
    return bool(chi2.ppf(1e-4, n - 1) < statistic < chi2.ppf(1 - 1e-4, n - 1))


def test_the_measure_of_fairness_detects_an_unfair_sample() -> None:
    generator = np.random.default_rng(0)
    fair, late, rigid = np.zeros(40), np.zeros(40), np.full(40, 250.0)
    for _ in range(1000):
        fair[generator.choice(40, 10, replace=False)] += 1
        late[generator.choice(40, 10, replace=False, p=np.linspace(0.8, 1.2, 40) / 40)] += 1
    assert is_uniform(fair, 1000, 10)
    assert not is_uniform(late, 1000, 10)
    assert not is_uniform(rigid, 1000, 10)


def test_the_choice_from_a_union_is_the_choice_from_the_choices() -> None:
    places = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    whole = places[lowest(places, 20, seed=5)]
    halves = torch.cat([half[lowest(half, 20, seed=5)] for half in places.chunk(3)])
    assert torch.equal(whole, halves[lowest(halves, 20, seed=5)])
    assert torch.equal(whole, whole.sort().values)


def test_keys_differ_by_seed_and_place_and_processes_share_no_place() -> None:
    places = torch.arange(10_000)
    keys = sampling_keys(places, seed=0)
    assert len(keys.unique()) == len(places)
    assert not bool((keys == sampling_keys(places, seed=1)).any())
    taken, ends = [], [0, 0, 0]
    for counts in ((4, 4, 4), (3, 0, 2), (1, 5, 1)):
        for rank, count in enumerate(counts):
            new = next_places(ends[rank], count, rank, world=3)
            assert (new % 3 == rank).all()
            taken += new.tolist()
            ends[rank] = taken[-1] + 1 if count else ends[rank]
    assert len(set(taken)) == len(taken)


def test_reset_starts_the_same_choice_again_and_another_seed_another() -> None:
    batch = activations(200)
    metric = updated(batch, max_points=20)
    first = kept(metric)
    metric.reset()
    assert metric.metric_state["points"] == []
    metric.update(batch)
    assert kept(metric) == first
    assert kept(updated(batch, max_points=20, seed=1)) != first


def test_a_loaded_state_and_a_clone_stay_as_they_are() -> None:
    metric = updated(activations(40), max_points=20)
    metric.persistent(True)
    state, twin = metric.state_dict(), metric.clone()
    before = state["points"][0].clone()
    metric.load_state_dict(state)
    metric.update(activations(60, seed=1))
    assert not torch.equal(metric.points[0], before)
    assert torch.equal(state["points"][0], before)
    assert torch.equal(twin.points[0], before)


def test_no_global_random_number_is_drawn() -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index]
    updated(activations(100), max_points=10).compute()
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()  # type: ignore[index]


def test_memory_is_bounded_by_update_and_by_forward() -> None:
    metric = TopoLipMetric(max_points=8)
    for step in range(6):
        (metric.update if step % 2 else metric.forward)(activations(16, seed=step))
        assert len(metric.points) == len(metric.places) == len(metric.layout) == 1
        assert len(metric.places[0]) == 8
    assert int(metric.seen) == 96


# The conventions of torchmetrics


def test_flags_and_states() -> None:
    metric = TopoLipMetric()
    assert (metric.is_differentiable, metric.higher_is_better, metric.full_state_update) == (False, False, False)
    assert (metric.plot_lower_bound, metric.plot_upper_bound) == (0.0, None)
    assert set(metric.metric_state) == {"points", "places", "layout", "seen", "end"}
    assert metric.state_dict() == {}
    with pytest.raises(RuntimeError, match="Can't change const"):
        metric.higher_is_better = True


def test_forward_gives_the_batch_and_keeps_the_epoch() -> None:
    batches = [activations(20, seed) for seed in range(3)]
    metric = TopoLipMetric(max_points=30)
    values = [metric(batch).item() for batch in batches]
    assert values == [pytest.approx(directly(batch).score, rel=1e-6) for batch in batches]
    assert metric.update_count == 3
    by_update = updated(*batches, max_points=30)
    assert kept(metric) == kept(by_update)
    assert text(metric.report()) == text(by_update.report())
    by_steps = TopoLipMetric(max_points=30, dist_sync_on_step=True)
    assert [by_steps(batch).item() for batch in batches] == values
    assert kept(by_steps) == kept(by_update)


def test_forward_refuses_other_layers_than_before() -> None:
    metric = TopoLipMetric()
    metric(activations())
    with pytest.raises(ValueError, match="same layers, dtypes and shapes"):
        metric({"other": torch.zeros(4, 3)})


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_precisions(dtype: torch.dtype) -> None:
    batch = activations(dtype=dtype)
    metric = updated(batch)
    exact = {name: output.double() for name, output in batch.items()}
    assert metric.compute().dtype == torch.float32
    assert metric.compute().item() == pytest.approx(directly(exact).score, rel=1e-5)
    reference = updated(activations()).compute().item()
    loss = {torch.float64: 1e-5, torch.float16: 0.02, torch.bfloat16: 0.2}[dtype]
    assert metric.compute().item() == pytest.approx(reference, rel=loss)


def test_float64_survives_an_offset_that_float32_cannot_carry() -> None:
    batch = activations(dtype=torch.float64)
    moved = {name: output + 1e9 for name, output in batch.items()}
    assert updated(moved).compute().item() == pytest.approx(updated(batch).compute().item(), rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_set_dtype_and_to_leave_the_sample_as_it_is(dtype: torch.dtype) -> None:
    for change in (lambda metric: metric.set_dtype(dtype), lambda metric: metric.to(dtype)):
        metric = updated(activations(100), max_points=20)
        expected = metric.clone().compute()
        change(metric)
        assert metric.dtype == dtype
        assert metric.compute() == expected
        metric.update(activations(100, seed=1))
        assert kept(metric) == kept(updated(activations(200), max_points=20))
        metric.reset()
        metric.update(activations(100))
        assert metric.compute() == expected
        assert metric.compute().dtype == torch.float32
    assert updated(activations()).half().float().double().compute() == updated(activations()).compute()


def test_to_another_device() -> None:
    metric = updated(activations()).to("meta").to("meta")
    assert metric.device.type == "meta"
    assert all(tensor.device.type == "meta" for tensor in (*metric.points, *metric.places, metric.seen))


def test_compute_on_cpu() -> None:
    metric = updated(activations(20), activations(20, seed=1), compute_on_cpu=True)
    assert metric.compute() == updated(activations(20), activations(20, seed=1)).compute()


def test_clone_pickle_deepcopy_and_hash() -> None:
    metric = updated(activations(), max_points=20)
    value = metric.compute()
    for twin in (metric.clone(), copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        assert twin.compute() == value
        twin.update(activations(seed=1))
        assert kept(twin) != kept(metric)
        assert hash(twin) != hash(metric)
    assert metric.compute() == value


def test_state_dict_restores_a_metric_that_goes_on() -> None:
    metric = updated(activations(30), max_points=20)
    metric.persistent(True)
    restored = TopoLipMetric(max_points=20)
    restored.persistent(True)
    restored.load_state_dict(metric.state_dict())
    assert text(restored.report()) == text(metric.report())
    for one in (metric, restored):
        one.update(activations(30, seed=1))
    assert kept(metric) == kept(restored)
    assert text(restored.report()) == text(metric.report())


def test_a_state_of_other_sampling_is_refused() -> None:
    metric = updated(activations(30), max_points=20)
    metric.persistent(True)
    other = TopoLipMetric(max_points=10)
    other.persistent(True)
    other.load_state_dict(metric.state_dict())
    with pytest.raises(ValueError, match=r"`max_points` and `seed` .* got \[10, 0\] here and \[\[20, 0\]\] there"):
        other.update(activations())
    other.reset()
    other.update(activations())


def test_merging_is_updating_with_the_samples_of_the_other() -> None:
    first, second = updated(activations(15)), updated(activations(12, seed=1), seed=9)
    together = updated(activations(15), activations(12, seed=1))
    before = first.compute()
    first.merge_state(second)
    assert first.compute() != before
    assert text(first.report()) == text(together.report())
    first.update(activations(5, seed=2))
    together.update(activations(5, seed=2))
    assert text(first.report()) == text(together.report())
    by_state = updated(activations(15))
    by_state.merge_state(second.metric_state)
    by_state.merge_state(TopoLipMetric())
    by_state.update(activations(5, seed=2))
    assert text(by_state.report()) == text(together.report())
    empty = TopoLipMetric()
    empty.merge_state(first)
    assert text(empty.report()) == text(first.report())


def test_merging_refuses_other_samples() -> None:
    metric = updated(activations(15))
    with pytest.raises(ValueError, match=r"same layers.*got \['<input>', 'a', 'b', 'c', 'd'\] and then \['x'\]"):
        metric.merge_state(updated({"x": torch.zeros(4, 2)}))
    with pytest.raises(ValueError, match="must hold 15 of its 15 samples, got 5; give both metrics the same"):
        metric.merge_state(updated(activations(15), max_points=5))
    for wrong in (MeanMetric(), {"points": []}, 3):
        with pytest.raises(ValueError, match="must be a TopoLipMetric or its `metric_state`"):
            metric.merge_state(wrong)  # type: ignore[arg-type]
    assert text(metric.report()) == text(updated(activations(15)).report())


def test_collection_shares_a_sample_between_settings_and_never_between_samplings() -> None:
    collection = MetricCollection(
        {
            "score": TopoLipMetric(),
            "raw": TopoLipMetric(view="raw", order=1.0, quantity="speed_mean", reduction="mean"),
            "few": TopoLipMetric(max_points=10),
            "seed": TopoLipMetric(seed=1),
            "layers": TopoLipMetric(layers=["b", "c", "d"]),
        }
    )
    collection.update(activations(8))
    collection.update(activations(30, seed=1))
    assert sorted(map(sorted, collection.compute_groups.values())) == [["few"], ["layers"], ["raw", "score"], ["seed"]]
    batches = activations(8), activations(30, seed=1)
    found = collection.compute()
    for name, arguments in {
        "score": {},
        "raw": {"view": "raw", "order": 1.0, "quantity": "speed_mean", "reduction": "mean"},
        "few": {"max_points": 10},
        "layers": {"layers": ["b", "c", "d"]},
    }.items():
        assert found[name] == updated(*batches, **arguments).compute()
    collection.reset()
    collection.update(activations(8))
    assert collection.clone().compute() == collection.compute()


def test_tracker_knows_that_a_lower_score_is_better() -> None:
    tracker = MetricTracker(TopoLipMetric())
    for seed in range(3):
        tracker.increment()
        tracker.update(activations(seed=seed))
    values = tracker.compute_all()
    assert values.tolist() == [updated(activations(seed=seed)).compute().item() for seed in range(3)]
    assert tracker.best_metric(return_step=True) == (values.min().item(), int(values.argmin()))


def test_arithmetic_of_metrics() -> None:
    metric = TopoLipMetric()
    doubled = metric * 2
    doubled.update(activations())
    assert doubled.compute() == 2 * metric.compute()


def test_plot_of_a_value_of_several_and_on_given_axes() -> None:
    metric = updated(activations())
    figure, axes = metric.plot()
    assert axes.figure is figure
    assert axes.lines[0].get_ydata() == metric.compute()  # type: ignore[comparison-overlap]
    _, same = metric.plot([torch.tensor(1.0), torch.tensor(0.5)], ax=axes)
    assert same is axes
    assert list(axes.lines[-1].get_ydata()) == [1.0, 0.5]  # type: ignore[arg-type]
    assert axes.get_ylabel() == "TopoLip score"


def test_plot_curve_shows_the_curve() -> None:
    metric = updated(activations())
    line = metric.plot_curve().axes[-1].lines[0]
    assert np.asarray(line.get_ydata()).tolist() == metric.report().scored_drifts().tolist()


# What goes wrong


def test_before_an_update() -> None:
    metric = TopoLipMetric()
    with pytest.warns(UserWarning, match="was called before the ``update`` method"):
        assert math.isnan(metric.compute())
    with pytest.raises(ValueError, match="`report` needs at least 3 samples, got 0; call `update` first"):
        metric.report()


def test_two_samples_are_not_a_number_and_say_why_once() -> None:
    metric = updated(activations(2))
    with pytest.warns(UserWarning, match="needs at least 3 samples, got 2; its value is NaN"):
        assert math.isnan(metric.compute())
    metric.reset()
    metric.update(activations(2))
    assert math.isnan(metric.compute())
    metric.update(activations(1))
    assert math.isfinite(metric.compute())


def test_a_layer_that_is_not_finite_is_not_a_number_with_the_reason() -> None:
    batch = activations()
    batch["b"][3] = math.nan
    metric = updated(batch)
    with pytest.warns(UserWarning, match="layer 'b': .* must be finite, got 1 of 40 points") as said:
        assert math.isnan(metric.compute())
    assert len(said) == 1
    report = metric.report()
    assert report.topology[2] is None
    assert "must be finite" in report.failures["b"]
    assert [math.isnan(drift) for drift in report.curve] == [False, True, True, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantity": "speed"}, "`quantity` must be one of .*'score'.*, got 'speed'"),
        ({"max_points": 2}, "`max_points` must be a whole number >= 3, got 2"),
        ({"max_points": 10.0}, "`max_points` must be a whole number >= 3, got 10.0"),
        ({"max_points": True}, "`max_points` must be a whole number >= 3, got True"),
        ({"layers": []}, r"`layers` must be 'auto', a pattern such as 'blocks.\*' or a list of names, got \[\]"),
        ({"layers": [3]}, r"`layers` must be 'auto', a pattern such as 'blocks.\*' or a list of names, got \[3\]"),
        ({"order": 0.5}, "`order` must be a number from 1"),
        ({"seed": -1}, "`seed` must be a whole number >= 0, got -1"),
        ({"quantity": "noise", "halvings": 0}, "`halvings` must be at least 1 for quantity='noise', got 0"),
        ({"points": 3}, "Unexpected keyword arguments: `points`"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TopoLipMetric(**arguments)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([torch.zeros(3, 2)], "`activations` must map names of layers to outputs"),
        ({}, "`activations` must map names of layers to outputs"),
        ({"a": torch.zeros(3, 2)}, r"must hold the layers \['a', 'b'\], got \['a'\]; add \['b'\] or remove"),
        ({"a": torch.zeros(3), "b": torch.tensor(1.0)}, r"got \(\) in torch.float32 for 'b'"),
        ({"a": torch.zeros(3), "b": torch.zeros(3).long()}, r"got \(3,\) in torch.int64 for 'b'; remove this layer"),
        ({"a": torch.zeros(3), "b": [1.0]}, r"got \[1.0\] for 'b'"),
        (
            {"a": torch.zeros(3), "b": torch.zeros(4)},
            "one row per sample in every layer, got {'a': 3, 'b': 4} rows",
        ),
    ],
)
def test_wrong_activations_are_named(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TopoLipMetric(layers=["a", "b"]).update(given)


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ({"a": torch.zeros(3, 2)}, r"got \['a', 'b'\] and then \['a'\]"),
        ({"a": torch.zeros(3, 2), "b": torch.zeros(3, 5)}, r"got \(4,\) in torch.float32 and then \(5,\) in .* 'b'"),
        (
            {"a": torch.zeros(3, 2).double(), "b": torch.zeros(3, 4)},
            r"in torch.float32 and then \(2,\) in torch.float64",
        ),
    ],
)
def test_an_update_unlike_those_before_raises_and_changes_nothing(then: dict[str, Tensor], message: str) -> None:
    metric = updated({"a": torch.ones(3, 2), "b": torch.ones(3, 4)})
    with pytest.raises(ValueError, match=message):
        metric.update(then)
    assert int(metric.seen) == 3
    metric.update({"b": torch.zeros(3, 4), "a": torch.zeros(3, 2)})
    assert metric.report().layers == ("a", "b")


# Attached to a model


class Blocks(nn.Module):
    """Four layers, the second of which is overwritten by the activation after it."""

    def __init__(self, **flags: Any) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(4))
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) / 2
        self.flags = flags

    def forward(self, x: Tensor, **_: Any) -> Tensor:
        for number, block in enumerate(self.blocks):
            x = block(x)
            if self.flags.get("inplace"):
                x = x.relu_()
            if self.flags.get("fails") == number:
                raise RuntimeError("stop")
            if self.flags.get("early") == number:
                return x
        return self.blocks[0](x) if self.flags.get("again") else x


@pytest.fixture
def data() -> Tensor:
    return torch.randn(48, 6, generator=torch.Generator().manual_seed(1))


def hooks_of(model: nn.Module) -> list[Any]:
    return [
        {name: dict(value) for name, value in vars(module).items() if "hooks" in name} for module in model.modules()
    ]


@pytest.mark.parametrize("flags", [{}, {"inplace": True}, {"again": True}])
def test_an_attached_metric_measures_the_layers_of_analyze(data: Tensor, flags: dict[str, Any]) -> None:
    model = Blocks(**flags).eval()
    metric = TopoLipMetric(seed=2)
    with metric.attach(model) as same:
        assert same is metric
        for batch in data.split(20):
            model(batch)
    assert metric.update_count == 3
    expected = analyze(model, data, seed=2)
    assert expected.layers[-1] == ("blocks.0#2" if flags.get("again") else "blocks.2")
    assert text(metric.report()) == text(expected)


def test_nothing_is_collected_in_training_mode_or_outside_a_pass(data: Tensor) -> None:
    model = Blocks()
    metric = TopoLipMetric()
    metric.attach(model)
    model(data)
    model.eval().blocks[0](data)
    assert not metric.update_called
    model(x=data)
    assert metric.update_count == 1
    assert metric.report().layers[0] == INPUT
    metric.detach()
    metric.detach()
    model(data)
    assert metric.update_count == 1


def test_the_model_is_as_before_also_after_an_error(data: Tensor) -> None:
    model = Blocks().eval()
    state, before = copy.deepcopy(model.state_dict()), hooks_of(model)
    metric = TopoLipMetric()
    with pytest.raises(ZeroDivisionError), metric.attach(model):
        print(model(data) / 0, 1 / 0)
    assert hooks_of(model) == before
    assert metric.update_count == 1
    assert not model.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_pass_that_fails_counts_for_nothing_and_holds_nothing(data: Tensor) -> None:
    model = Blocks(fails=2).eval()
    metric = TopoLipMetric()
    with metric.attach(model):
        with pytest.raises(RuntimeError, match="stop"):
            model(data)
        model.blocks[3](data)
        assert not metric.update_called
        model.flags = {}
        model(data)
    assert metric.update_count == 1
    assert text(metric.report()) == text(analyze(model, data))


def test_attaching_again_leaves_the_model_before(data: Tensor) -> None:
    first, second = Blocks().eval(), Blocks().eval()
    metric, clean = TopoLipMetric(), hooks_of(first)
    with metric.attach(first):
        metric.attach(second)
        assert hooks_of(first) == clean
        first(data)
        assert not metric.update_called
        second(data)
    assert metric.update_count == 1
    metric.detach()
    assert hooks_of(second) == clean


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value)), None])
def test_copies_are_not_attached_and_the_original_stays(data: Tensor, copied: Any) -> None:
    model, metric = Blocks().eval(), TopoLipMetric()
    with metric.attach(model):
        twin = copied(metric) if copied else metric.clone()
        model_twin = (copied or copy.deepcopy)(model)
        model_twin(data)
        assert not metric.update_called
        model(data)
        assert metric.update_called
        assert not twin.update_called
        with twin.attach(model_twin):
            model_twin(data)
    assert text(twin.report()) == text(metric.report())


def test_an_attached_metric_keeps_no_activation_but_its_sample(data: Tensor) -> None:
    model, metric = Blocks().eval(), TopoLipMetric(max_points=4)
    seen: list[weakref.ref[Tensor]] = []
    model.blocks[1].register_forward_hook(lambda module, inputs, output: seen.append(weakref.ref(output)))
    with metric.attach(model):
        model(data)
        gc.collect()
        assert [found() for found in seen] == [None]
    samples, layers, width, bytes_each = 4, 4, 6, 4
    assert metric.points[0].numel() == samples * layers * width * bytes_each


def test_patterns_and_wrong_names() -> None:
    model, metric = Blocks().eval(), TopoLipMetric(layers="blocks.[12]")
    with metric.attach(model):
        model(torch.ones(4, 6))
    assert metric.report().layers == (INPUT, "blocks.1", "blocks.2")
    with pytest.raises(ValueError, match=r"`layers` must name modules of the model, got 'block\.\*'"):
        TopoLipMetric(layers="block.*").attach(model)


def test_a_layer_that_does_not_run_is_skipped_and_named_once(data: Tensor) -> None:
    model, metric = Blocks(early=2).eval(), TopoLipMetric(layers="blocks.*")
    with metric.attach(model):
        model(data)
        model(data)
    with pytest.warns(UserWarning, match=r"layer 'blocks.3': did not run; it is skipped") as said:
        metric.compute()
    assert len(said) == 1
    assert metric.report().layers == (INPUT, "blocks.0", "blocks.1", "blocks.2")
    assert "did not run" in metric.report().failures["blocks.3"]


def test_a_later_pass_with_fewer_layers_is_skipped_with_more_it_counts(data: Tensor) -> None:
    model, metric = Blocks().eval(), TopoLipMetric(layers="blocks.*")
    with metric.attach(model):
        model(data[:16])
        model.flags = {"early": 2}
        with pytest.warns(UserWarning, match=r"skips a pass: .* the same layers"):
            model(data[16:32])
        model(data[16:32])
        model.flags = {"again": True}
        model(data[32:])
    assert int(metric.seen) == 32
    assert metric.report().layers == (INPUT, "blocks.0", "blocks.1", "blocks.2", "blocks.3")
    assert "did not run in the first pass" in metric.report().failures["blocks.0#2"]


class Windows(nn.Module):
    """Its middle layer sees two windows of each sample as two samples."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.windows, self.last = nn.Linear(6, 6), nn.Linear(3, 3), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.windows(self.first(x).reshape(-1, 3)).reshape(-1, 6))


def test_a_layer_with_another_batch_size_is_skipped(data: Tensor) -> None:
    model, metric = Windows().eval(), TopoLipMetric(layers=["first", "windows", "last"])
    with metric.attach(model):
        model(data)
    expected = analyze(model, data, layers=["first", "windows", "last"])
    assert text(metric.report()) == text(expected)
    assert metric.report().failures == expected.failures
    assert metric.report().layers == (INPUT, "first", "last")


def test_a_pass_with_nothing_to_measure_is_skipped() -> None:
    model, metric = nn.Sequential(nn.Flatten(0), nn.Flatten(0), nn.Flatten(0)).eval(), TopoLipMetric(layers="*")
    with metric.attach(model), pytest.warns(UserWarning, match="skips a pass: no layer has one row"):
        model(torch.ones(4, 6))
    assert not metric.update_called


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        x = self.embed(ids)
        for block in self.blocks:
            x = x + block(x)
        return {"logits": x}


def test_tokens_have_no_input_layer_and_one_length() -> None:
    model, metric = Tokens().eval(), TopoLipMetric(layers="blocks.*", reduction="cls")
    ids = torch.randint(10, (12, 5), generator=torch.Generator().manual_seed(0))
    with metric.attach(model):
        model(ids)
        with pytest.warns(UserWarning, match=r"skips a pass: .*got \(5, 4\) .* then \(3, 4\) .*pad batches"):
            model(ids[:, :3])
    assert metric.report().layers == ("blocks.0", "blocks.1", "blocks.2")
    assert text(metric.report()) == text(analyze(model, ids, "blocks.*", reduction="cls"))


def test_under_autocast_with_gradients_and_in_inference_mode(data: Tensor) -> None:
    model, metric = Blocks().eval(), TopoLipMetric(layers="blocks.*")
    with metric.attach(model), torch.autocast("cpu", torch.bfloat16):
        model(data[:20]).sum().backward()
        with torch.inference_mode():
            model(data[20:40])
        model(data[40:])
    assert b"bfloat16" in bytes(metric.layout[0].tolist())
    assert not metric.compute().requires_grad
    assert metric.clone().compute() == metric.compute()


@pytest.mark.parametrize("whole", [True, False])
@torch.no_grad()
def test_a_compiled_model_is_attached_before_it_first_runs(data: Tensor, whole: bool) -> None:
    torch.compiler.reset()
    model, metric = Blocks().eval(), TopoLipMetric(layers="**.blocks.*" if whole else "blocks.*")
    compiled = torch.compile(model, backend="eager") if whole else model
    if not whole:
        model.compile(backend="eager")
    with metric.attach(compiled):
        for batch in data.split(24):
            compiled(batch)
    compiled(data[:24])
    assert int(metric.seen) == 48
    assert metric.report().curve.tolist() == analyze(Blocks(), data, "blocks.*").curve.tolist()
    again = TopoLipMetric(layers=metric.layers)
    with again.attach(compiled):
        compiled(data)
    assert again.report().curve.tolist() == metric.report().curve.tolist()


@torch.no_grad()
def test_a_model_that_was_compiled_without_hooks_says_so(data: Tensor) -> None:
    torch.compiler.reset()
    model, metric = Blocks().eval(), TopoLipMetric()
    model.compile(backend="eager")
    model(data)
    with metric.attach(model), pytest.warns(UserWarning, match="attach a compiled model before it first runs"):
        model(data)
    assert not metric.update_called


# In a training


class Module(LightningModule):
    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        self.model = Blocks()
        self.topolip = TopoLipMetric(**arguments)
        self.sizes: list[int] = []

    def training_step(self, batch: list[Tensor]) -> Tensor:
        return self.model(batch[0]).square().mean()

    def on_validation_start(self) -> None:
        self.topolip.attach(self.model)

    def validation_step(self, batch: list[Tensor]) -> None:
        self.model(batch[0])
        self.log("val/topolip", self.topolip)

    def on_validation_epoch_end(self) -> None:
        self.sizes.append(int(self.topolip.seen))

    def on_validation_end(self) -> None:
        self.topolip.detach()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.05)


def trainer(path: Path, **arguments: Any) -> Trainer:
    return Trainer(
        default_root_dir=path,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **arguments,
    )


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "64-true", "bf16-true"])
def test_logged_in_a_validation_loop(tmp_path: Path, data: Tensor, precision: Any) -> None:
    module = Module(max_points=32)
    dtype = {"64-true": torch.float64, "bf16-true": torch.bfloat16}.get(precision, torch.float32)
    loader = DataLoader(TensorDataset(data.to(dtype)), batch_size=20)
    fit = trainer(tmp_path, max_epochs=2, precision=precision, num_sanity_val_steps=1)
    fit.fit(module, loader, loader)
    assert module.sizes == [20, 48, 48]
    logged = fit.callback_metrics["val/topolip"]
    assert hooks_of(module.model) == hooks_of(Blocks())
    if precision in ("32-true", "64-true"):
        fresh = TopoLipMetric(max_points=32)
        with fresh.attach(module.model.eval()):
            for (batch,) in loader:
                module.model(batch)
        assert logged.item() == pytest.approx(fresh.compute().item(), rel=1e-4)
    assert math.isfinite(logged)
    assert not any("topolip" in name for name in module.state_dict())


# Two processes


def process(rank: int, folder: str) -> None:
    """One of two processes; rank 1 gets every second sample as from a `DistributedSampler`."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=2)
    found: dict[str, Any] = {}
    batch = activations(60)
    mine = {name: output[rank::2] for name, output in batch.items()}
    for max_points in (256, 20):
        metric = updated(part(mine, 0, 11), part(mine, 11, 30), max_points=max_points)
        found[f"report {max_points}"] = text(metric.report())
        found[f"score {max_points}"] = metric.compute().item()
        metric.update(activations(5, seed=7 + rank))
        found[f"count {max_points}"] = len(kept(metric))
    uneven = TopoLipMetric(max_points=20)
    if rank == 0:
        uneven.update(activations(30, dtype=torch.float64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rank 1 is not updated
        found["uneven"] = uneven.compute().item()
    if rank == 1:
        uneven.update(activations(10, dtype=torch.float64))
    found["uneven after"] = len(kept(uneven))
    stepwise = TopoLipMetric(dist_sync_on_step=True)
    found["steps"] = [stepwise(part(mine, start, start + 10)).item() for start in (0, 10)]
    alone = updated(mine, sync_on_compute=False)
    found["alone"] = alone.compute().item()
    differing = updated({"a": torch.zeros(4, 3 + rank), "b": torch.zeros(4, 2)})
    try:
        differing.compute()
    except ValueError as error:
        found["differing"] = str(error)
    Path(folder, f"{rank}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("gloo")
    outputs = [folder / f"{rank}.txt" for rank in range(2)]
    running = [forked.start(process, rank, str(folder), output=output) for rank, output in enumerate(outputs)]
    for each, output in zip(running, outputs, strict=True):
        forked.finish(each, output)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("max_points", [256, 20])
def test_two_processes_give_the_numbers_of_one(processes: list[dict[str, Any]], max_points: int) -> None:
    one = updated(activations(60), max_points=max_points)
    for found in processes:
        assert found[f"report {max_points}"] == text(one.report())
        assert found[f"score {max_points}"] == one.compute().item()
        assert found[f"count {max_points}"] == min(35, max_points)


def test_a_process_without_a_sample(processes: list[dict[str, Any]]) -> None:
    assert processes[0]["uneven"] == processes[1]["uneven"]
    assert math.isfinite(processes[0]["uneven"])
    assert [found["uneven after"] for found in processes] == [20, 10]


def test_synchronised_steps_and_no_synchronisation(processes: list[dict[str, Any]]) -> None:
    batch = activations(60)
    expected = [updated(part(batch, start, start + 20)).compute().item() for start in (0, 20)]
    for rank, found in enumerate(processes):
        assert found["steps"] == expected
        alone = updated({name: output[rank::2] for name, output in batch.items()})
        assert found["alone"] == alone.compute().item()


def test_processes_with_different_layers_all_say_so(processes: list[dict[str, Any]]) -> None:
    for found in processes:
        assert "All processes must hold the same layers" in found["differing"]
        assert "got (3,) in torch.float32 and then (4,) in torch.float32 for 'a'" in found["differing"]
