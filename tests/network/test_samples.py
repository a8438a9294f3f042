"""What a sample is, in batches of every form."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lightning_topolip import TopoLipMetric, analyze
from lightning_topolip.lipschitz import layer_lipschitz
from lightning_topolip.network.probe import take_probe
from lightning_topolip.network.samples import samples_in

N = 12
X, Y = torch.randn(N, 6, generator=torch.Generator().manual_seed(0)), torch.arange(N)


class OwnBatch:
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y, self.names = x, y, ["a"] * len(x)

    def to(self, device: Any) -> "OwnBatch":
        return OwnBatch(self.x.to(device), self.y.to(device))


@dataclass(frozen=True)
class Frozen:
    times: Tensor
    x: Tensor
    y: Tensor


BATCHES: dict[str, Any] = {
    "pair": (X, Y),
    "views and labels": [[X, X + 1], Y],
    "mapping and labels": [{"x": X, "mask": X > 0}, Y],
    "time grid first": (torch.linspace(0, 1, 5), X),
    "time grids around": {"start": torch.zeros(7), "x": X, "end": torch.zeros(7)},
    "images of many sizes": [torch.zeros(3, 8 + index, 9) for index in range(N)],
    "detection": ([torch.zeros(3, 8, 8)] * N, [{"boxes": torch.zeros(index, 4)} for index in range(N)]),
    "detection, tuples": (tuple([torch.zeros(1, 8, 8)] * N), tuple({"boxes": torch.zeros(2, 4)} for _ in range(N))),
    "ragged sequences": [torch.zeros(index + 1, 4) for index in range(N)],
    "states of a recurrent network": (X[:, None], (torch.zeros(2, N, 4), torch.zeros(2, N, 4))),
    "graph": (X, torch.zeros(2, 40), torch.zeros(40, 3), Y),
    "own class": OwnBatch(X, Y),
    "frozen data class": Frozen(torch.zeros(5), X, Y),
    "inputs of other sizes": (X, torch.zeros(20, 6)),
    "list of sizes": [torch.zeros(N, 6), torch.zeros(5, 3)],
    "labels alone": Y,
}


@pytest.mark.parametrize("kind", BATCHES)
def test_samples_are_counted(kind: str) -> None:
    assert samples_in(BATCHES[kind]) == N


@pytest.mark.parametrize("kind", BATCHES)
def test_a_batch_of_any_form_is_one_probe_and_can_be_cut(kind: str) -> None:
    if kind == "own class":
        probe = take_probe(BATCHES[kind], 5)
        assert torch.equal(probe.x, X[:5])
        assert probe.names == ["a"] * 5
        return
    probe = take_probe(BATCHES[kind], 5)
    assert samples_in(probe) == 5
    assert type(probe) is type(BATCHES[kind])


@pytest.mark.parametrize("kind", ["views and labels", "mapping and labels", "time grid first"])
def test_analyses_of_batches_of_other_forms_are_those_of_their_inputs(kind: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Sequential(nn.Linear(6, 6), nn.Tanh()) for _ in range(4)])

    def forward(module: nn.Module, batch: Any) -> Any:
        inner = batch[1] if kind.startswith("time") else batch[0]
        return module(inner["x"] if isinstance(inner, dict) else inner[0] if isinstance(inner, list) else inner)

    report = analyze(model, take_probe(BATCHES[kind], N), ["0", "1", "2", "3"], forward_fn=forward)
    assert report.points == N
    assert report.score == analyze(model, X, ["0", "1", "2", "3"]).score


def test_the_users_count_is_taken() -> None:
    def forward(module: nn.Module, batch: Any) -> Any:
        return module(batch[0].unflatten(0, (4, 3)).flatten(1))

    model = nn.Sequential(nn.Linear(18, 6), nn.Linear(6, 6), nn.Linear(6, 6))
    report = analyze(model, (X, Y), ["0", "1", "2"], forward_fn=forward, samples_fn=lambda batch: len(batch[0]) // 3)
    assert report.points == 4
    assert np.isfinite(report.score)


def test_an_attached_metric_counts_the_samples_of_a_call_with_a_time_grid() -> None:
    class Timed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))

        def forward(self, times: Tensor, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = layer(x) + times.sum()
            return x

    model, metric = Timed().eval(), TopoLipMetric(layers=["layers.0", "layers.1", "layers.2"])
    with metric.attach(model):
        model(torch.zeros(5), X)
    assert int(metric.seen) == N


def test_a_graph_is_not_cut_by_its_nodes() -> None:
    graph = {"x": torch.zeros(80, 3), "edge_index": torch.zeros(2, 90, dtype=torch.long), "batch": torch.zeros(80)}
    with pytest.raises(ValueError, match=r"whole batch if other tensors index its rows, .* got 80 rows for 16 samples"):
        take_probe(graph, 16)
    probe = take_probe(graph, 16, samples_fn=lambda batch: 16)
    assert probe["x"].shape == (80, 3)


class WithCodebooks(nn.Module):
    """Most of what it takes does not hold samples."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6))

    def forward(self, keys: Tensor, values: Tensor, inputs: Tensor) -> Tensor:
        return self.layers(inputs) + (keys * values).sum()


def test_the_users_count_is_taken_by_metric_and_lipschitz_constants() -> None:
    torch.manual_seed(0)
    model, names = WithCodebooks().eval(), ["layers.0", "layers.1", "layers.2"]
    batch = (torch.zeros(20, 6), torch.zeros(20, 6), X)
    assert samples_in(batch) == 20
    metric = TopoLipMetric(layers=names)
    with metric.attach(model, samples_fn=lambda inputs: N):
        model(*batch)
    assert int(metric.seen) == N
    assert metric.report().speed_mean == analyze(model, batch, names, samples_fn=lambda inputs: N).speed_mean
    constants = layer_lipschitz(model, batch, names, samples_fn=lambda inputs: len(inputs[2])).steps
    by_hand = torch.linalg.matrix_norm(model.layers[1].weight, 2).item()
    assert constants["layers.0", "layers.1"].max == pytest.approx(by_hand, rel=1e-3)
