"""Sequences that know their lengths, packed or nested: what was padded to compare them never counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from lightning_topolip import TopoLipMetric, analyze, distance_matrix
from lightning_topolip.network.measure import measure
from lightning_topolip.network.ragged import padded
from lightning_topolip.network.reductions import layer_cloud
from lightning_topolip.network.sample_axis import find_representation
from lightning_topolip.network.subject import Subject
from lightning_topolip.topology.settings import Settings
from lightning_topolip.trainer.training_outputs import LayerOutput

pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
N, T, D = 24, 9, 6
GENERATOR = torch.Generator().manual_seed(0)
LENGTHS = torch.randint(1, T + 1, (N,), generator=GENERATOR).index_fill(0, torch.tensor([5]), T)
IDS = torch.randint(1, 50, (N, T), generator=GENERATOR) * (torch.arange(T) < LENGTHS[:, None])
REDUCTIONS: list[Any] = ["flatten", "mean", "cls", "last", "token"]
RNNS = [f"rnns.{index}" for index in range(3)]


class Tagger(nn.Module):
    """Recurrent layers that hand packed sequences on; nothing in its batch is named as a mask or lengths."""

    def __init__(self, *, batch_first: bool = True, enforce_sorted: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(50, D, padding_idx=0)
        self.rnns = nn.ModuleList(nn.LSTM(D, D, batch_first=batch_first) for _ in RNNS)
        self.is_sorted = enforce_sorted

    def forward(self, tokens: Tensor, sizes: Tensor) -> PackedSequence:
        states = pack_padded_sequence(self.embed(tokens), sizes, batch_first=True, enforce_sorted=self.is_sorted)
        for rnn in self.rnns:
            states, _ = rnn(states)
        return states


def batch_of(order: Tensor) -> tuple[Tensor, Tensor]:
    return IDS[order], LENGTHS[order]


def in_order(is_sorted: bool) -> Tensor:
    return LENGTHS.argsort(descending=True) if is_sorted else torch.arange(N)


def expected_cloud(model: Tagger, batch: tuple[Tensor, Tensor], reduction: str) -> Tensor:
    """The last layer's points, from sentences that run one by one, without any padding."""
    points = []
    for ids, size in zip(*batch, strict=True):
        with torch.no_grad():
            states = pad_packed_sequence(model(ids[None, :size], size[None]), batch_first=True)[0][0]
        flat = nn.functional.pad(states, (0, 0, 0, T - len(states))).flatten()
        points.append({"flatten": flat, "mean": states.mean(dim=0), "cls": states[0], "last": states[-1]}[reduction])
    return torch.stack(points)


@pytest.mark.parametrize("reduction", ["flatten", "mean", "cls", "last"])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("is_sorted", [True, False])
@pytest.mark.parametrize("size", [None, 7])
def test_packed_layers_are_those_of_sentences_alone(
    reduction: Any, batch_first: bool, is_sorted: bool, size: int | None
) -> None:
    model, batch = Tagger(batch_first=batch_first, enforce_sorted=is_sorted), batch_of(in_order(is_sorted))
    subject = Subject(RNNS, settings=Settings(halvings=0, reduction=reduction), batch_size=size)
    found = measure(model, batch, subject)
    assert found.failures == {}
    expected = distance_matrix(expected_cloud(model, batch, reduction)).numpy()
    np.testing.assert_allclose(found.distances["rnns.2"], expected, rtol=1e-4, atol=1e-5)  # type: ignore[arg-type]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("size", [None, 7])
def test_the_lengths_and_the_mask_give_the_same_numbers(reduction: Any, size: int | None) -> None:
    model, batch = Tagger(), (IDS, LENGTHS)
    own, masked, wide = (
        analyze(model, batch, RNNS, reduction=reduction, probe_batch_size=size, mask=mask)
        for mask in ("auto", lambda batch: batch[0] != 0, lambda batch: nn.functional.pad(batch[0] != 0, (0, 20)))
    )
    assert np.isfinite(own.curve).all()
    assert own.curve.tolist() == masked.curve.tolist() == wide.curve.tolist()
    whole = analyze(model, batch, RNNS, reduction=reduction)
    np.testing.assert_allclose(own.curve, whole.curve, rtol=1e-3)


def test_padding_to_a_fixed_length_changes_nothing() -> None:
    model, wide = Tagger(), (nn.functional.pad(IDS, (0, 20)), LENGTHS)
    expected = analyze(model, (IDS, LENGTHS), reduction="mean", mask=lambda batch: batch[0] != 0)
    report = analyze(model, wide, reduction="mean", mask=lambda batch: batch[0] != 0)
    assert report.failures == {}
    np.testing.assert_allclose(report.curve, expected.curve, rtol=1e-4)


def test_a_mask_takes_out_further_tokens_but_never_adds_one() -> None:
    output = pack_padded_sequence(torch.randn(N, T, D), LENGTHS.clamp(min=2), batch_first=True, enforce_sorted=False)
    representation = find_representation(nn.Identity(), output, N)
    tokens = representation.rows
    without_first = torch.arange(T).expand(N, T) > 0
    real = without_first & (torch.arange(T) < LENGTHS.clamp(min=2)[:, None])
    for mask, first in ((real, 1), (without_first, 0)):
        positions = Subject(mask=lambda batch, mask=mask: mask).positions(nn.Identity(), torch.zeros(N, T))
        assert torch.equal(layer_cloud(nn.Identity(), representation, "cls", positions), tokens[:, first])


def test_a_packed_output_of_any_module_has_its_samples_first() -> None:
    """Among modules with batch_first=False the axis of a square output could not be told from its shape."""

    class Around(nn.Module):
        def __init__(self, rnn: nn.Module) -> None:
            super().__init__()
            self.rnn, self.out = rnn, nn.Linear(D, D)

        def forward(self, states: PackedSequence) -> PackedSequence:
            return self.rnn(states)[0]  # type: ignore[no-any-return]

    class Square(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.around = nn.ModuleList(Around(nn.GRU(D, D)) for _ in range(3))

        def forward(self, tokens: Tensor, sizes: Tensor) -> PackedSequence:
            states = pack_padded_sequence(tokens, sizes, batch_first=True, enforce_sorted=False)
            for module in self.around:
                states = module(states)
            return states

    batch = (torch.randn(T, T, D), torch.arange(T) + 1)
    report = analyze(Square(), batch, "around.*", reduction="mean")
    assert report.failures == {}
    assert np.isfinite(report.curve).all()


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
@pytest.mark.parametrize("reduction", ["mean", "cls", "last"])
def test_padding_of_nested_tensors_does_not_count(layout: torch.layout, reduction: Any) -> None:
    rows = [torch.randn(size, D) for size in LENGTHS.tolist()]
    nested = torch.nested.nested_tensor(rows, layout=layout)
    cloud = layer_cloud(nn.Identity(), find_representation(nn.Identity(), nested, N), reduction)
    by_hand = {"mean": lambda row: row.mean(dim=0), "cls": lambda row: row[0], "last": lambda row: row[-1]}[reduction]
    torch.testing.assert_close(cloud, torch.stack([by_hand(row) for row in rows]))


def test_nested_images_are_no_sequences() -> None:
    images = [torch.zeros(3, size, size + 1) for size in range(2, 5)]
    assert padded(torch.nested.nested_tensor(images)).real is None


@pytest.mark.parametrize("reduction", ["mean", "cls", "last"])
def test_an_attached_metric_and_a_training_see_no_padding_either(reduction: Any) -> None:
    model = Tagger().eval()
    metric = TopoLipMetric(RNNS, reduction=reduction, halvings=0)
    with torch.no_grad(), metric.attach(model):
        for part in (slice(0, 10), slice(10, N)):
            model(IDS[part], LENGTHS[part])
    report = analyze(model, (IDS, LENGTHS), RNNS, reduction=reduction, halvings=0)
    np.testing.assert_allclose(metric.report().curve, report.curve, rtol=1e-4)
    representation = find_representation(model, model(IDS, LENGTHS), N)
    cloud = LayerOutput(model, representation, 10).cloud(reduction)
    torch.testing.assert_close(cloud, expected_cloud(model, (IDS, LENGTHS), reduction)[:10])
