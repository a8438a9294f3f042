"""Sequences: padding never counts, wherever it is and however much there is of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lightning_topolip import TopoLipMetric, analyze
from lightning_topolip.network.positions import Positions
from lightning_topolip.network.reductions import point_cloud

N, TOKENS, WIDTH = 20, 7, 16
GENERATOR = torch.Generator().manual_seed(0)
LENGTHS = torch.randint(1, TOKENS + 1, (N,), generator=GENERATOR).index_fill(0, torch.tensor([3, 8]), TOKENS)
IDS = torch.randint(1, 50, (N, TOKENS), generator=GENERATOR)
REDUCTIONS: list[Any] = ["flatten", "mean", "cls", "last", "token"]


class Encoder(nn.Module):
    """A text encoder without places, whose outputs at real tokens do not depend on the padding."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(50, WIDTH)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, 2, 32, dropout=0.0, batch_first=True) for _ in range(4)
        )

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states: Tensor = self.embedding(input_ids)
        for block in self.blocks:
            states = block(states, src_key_padding_mask=attention_mask == 0)
        return states


def padded(extra: int = 0, *, left: bool = False) -> dict[str, Tensor]:
    length = TOKENS + extra
    ids, mask = torch.zeros(N, length, dtype=torch.long), torch.zeros(N, length, dtype=torch.long)
    for row, count in enumerate(LENGTHS.tolist()):
        place = slice(length - count, length) if left else slice(0, count)
        ids[row, place], mask[row, place] = IDS[row, :count], 1
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("size", [None, 6])
def test_more_padding_changes_nothing(reduction: Any, size: int | None) -> None:
    model = Encoder()
    reports = [
        analyze(model, padded(extra), reduction=reduction, geometry=True, probe_batch_size=size) for extra in (0, 5)
    ]
    assert reports[0].layers == tuple(f"blocks.{index}" for index in range(4))
    np.testing.assert_allclose(reports[1].curve, reports[0].curve, rtol=1e-3)
    for layer, geometry in reports[0].geometry.items():
        assert reports[1].geometry[layer].total_variance == pytest.approx(geometry.total_variance, rel=1e-4)


@pytest.mark.parametrize("reduction", ["mean", "cls", "last", "token"])
def test_the_side_of_the_padding_changes_nothing(reduction: Any) -> None:
    right, left = (analyze(Encoder(), padded(2, left=left), reduction=reduction).curve for left in (False, True))
    np.testing.assert_allclose(left, right, rtol=1e-3)


def test_without_a_mask_padding_counts() -> None:
    model, batch = Encoder(), padded(5)
    counted = analyze(model, batch, reduction="mean", mask=None)
    assert not np.allclose(counted.curve, analyze(model, batch, reduction="mean").curve, rtol=1e-2)


def test_reductions_equal_those_by_hand() -> None:
    output = torch.randn(N, TOKENS, WIDTH, generator=GENERATOR)
    positions = Positions.of(padded(), N, "auto", seed=0)
    real = [rows[:count] for rows, count in zip(output, LENGTHS.tolist(), strict=True)]
    torch.testing.assert_close(point_cloud(output, "mean", positions), torch.stack([rows.mean(dim=0) for rows in real]))
    assert torch.equal(point_cloud(output, "cls", positions), output[:, 0])
    assert torch.equal(point_cloud(output, "last", positions), torch.stack([rows[-1] for rows in real]))
    flat = point_cloud(output, "flatten", positions).reshape(output.shape)
    for rows, kept in zip(flat, real, strict=True):
        assert torch.equal(rows[: len(kept)], kept)
        assert not rows[len(kept) :].any()
    for row, kept in zip(point_cloud(output, "token", positions), real, strict=True):
        assert (kept == row).all(dim=1).any()


def test_tokens_are_drawn_evenly() -> None:
    places = torch.arange(6.0).expand(6000, 6)[..., None]
    mask = torch.ones(6000, 6)
    mask[:, 4:] = 0
    drawn = point_cloud(places, "token", Positions.of({"attention_mask": mask}, 6000, "auto", seed=1))
    counts = torch.bincount(drawn.flatten().long(), minlength=6)
    assert counts[4:].tolist() == [0, 0]
    assert counts[:4].min() > 1300
    other = point_cloud(places, "token", Positions.of({"attention_mask": mask}, 6000, "auto", seed=2))
    assert not torch.equal(drawn, other)


@dataclass
class Batch:
    ids: Tensor
    padding_mask: Tensor


REAL = padded()["attention_mask"]
ADDED = torch.zeros(REAL.shape).masked_fill(REAL == 0, -1e4)
FOUND: dict[str, tuple[Any, Any]] = {
    "by name": ({"ids": IDS, "words": REAL}, "words"),
    "in a tuple": (({"input_ids": IDS, "attention_mask": REAL.bool()}, torch.zeros(N)), "auto"),
    "padding": ({"ids": IDS, "src_key_padding_mask": REAL == 0}, "auto"),
    "padding of two names": ({"pad_mask": REAL == 0, "memory_key_padding_mask": REAL == 0}, "auto"),
    "padding by name": ({"ids": IDS, "src_key_padding_mask": REAL == 0}, "src_key_padding_mask"),
    "lengths": ({"ids": IDS, "lengths": LENGTHS}, "auto"),
    "length of images beside": ({"views": torch.zeros(N, 99, 2), "ids": IDS, "length": LENGTHS}, "auto"),
    "lengths by name": ({"ids": IDS, "words": LENGTHS}, "words"),
    "lengths by a function": ((IDS, LENGTHS), lambda batch: batch[1]),
    "in a data class": (Batch(IDS, REAL == 0), "auto"),
    "added to the scores": ({"ids": IDS, "attention_mask": ADDED}, "auto"),
    "by a function": ((IDS, REAL), lambda batch: batch[1]),
}


@pytest.mark.parametrize("way", FOUND)
def test_the_mask_is_found(way: str) -> None:
    batch, mask = FOUND[way]
    masks = Positions.of(batch, N, mask, seed=0).masks.values()
    assert masks
    assert all(torch.equal(real, REAL == 1) for real in masks)


@pytest.mark.parametrize(
    "batch",
    [
        {"ids": IDS, "mask": REAL},
        {"ids": IDS, "length": LENGTHS.float()},
        {"ids": IDS, "length": LENGTHS + TOKENS},
        {"pixels": torch.zeros(N, 3, 8, 8), "length": LENGTHS},
        (IDS, LENGTHS),
    ],
)
def test_what_may_mean_something_else_is_no_mask(batch: Any) -> None:
    assert Positions.of(batch, N, "auto", seed=0).masks == {}


def test_the_parts_of_a_tuple_have_the_names_under_which_forward_takes_them() -> None:
    model, batch = Encoder(), padded(5)
    expected = analyze(model, batch, reduction="mean")
    labelled = (batch["input_ids"], batch["attention_mask"], torch.arange(N))
    assert analyze(model, labelled, reduction="mean").curve.tolist() == expected.curve.tolist()
    cut = analyze(model, labelled, reduction="mean", probe_batch_size=6)
    np.testing.assert_allclose(cut.curve, expected.curve, rtol=1e-3)
    metric = TopoLipMetric(reduction="mean")
    with torch.no_grad(), metric.attach(model.eval()):
        model(*labelled[:2])
    np.testing.assert_allclose(metric.report().curve, expected.curve, rtol=1e-5)
    own = analyze(model, labelled, reduction="mean", forward_fn=lambda model, batch: model(*batch[:2]))
    assert not np.allclose(own.curve, expected.curve, rtol=1e-2)


def test_images_and_full_sequences_have_no_mask() -> None:
    assert Positions.of({"pixels": torch.zeros(N, 3, 8, 8)}, N, "auto", 0).masks == {}
    assert Positions.of({"attention_mask": torch.ones(N, 5)}, N, "auto", 0).masks == {}
    assert Positions.of({"attention_mask": torch.zeros(N, 1, 5, 5)}, N, "auto", 0).masks == {}


def test_layers_of_other_lengths_take_the_mask_that_fits_or_say_that_none_does() -> None:
    masks = {"attention_mask": torch.ones(N, 5), "decoder_attention_mask": torch.ones(N, 9)}
    masks["attention_mask"][:, 4], masks["decoder_attention_mask"][:, 2:] = 0, 0
    positions = Positions.of(masks, N, "auto", 0)
    assert positions.real_in(torch.zeros(N, 5, 2)).sum() == N * 4  # type: ignore[union-attr]
    assert positions.real_in(torch.zeros(N, 9, 2)).sum() == N * 2  # type: ignore[union-attr]
    assert positions.real_in(torch.zeros(N, 8)) is None
    with pytest.raises(ValueError, match=r"7 positions, and no mask fits .*decoder_attention_mask: 9, of which .* 2\)"):
        positions.real_in(torch.zeros(N, 7, 2))
    same = Positions.of({**masks, "decoder_attention_mask": masks["attention_mask"]}, N, "auto", 0)
    assert torch.equal(same.real_in(torch.zeros(N, 5, 2)), masks["attention_mask"] == 1)  # type: ignore[arg-type]
    other = Positions.of({**masks, "decoder_attention_mask": masks["attention_mask"].flip(1)}, N, "auto", 0)
    with pytest.raises(ValueError, match=r"and 2 masks that differ fit .* shape \(n, 5\), or leave it out of"):
        other.real_in(torch.zeros(N, 5, 2))


def test_a_mask_is_cut_to_the_longest_sample_but_not_to_any_other_length() -> None:
    wide = nn.functional.pad(REAL, (0, 5))
    positions = Positions.of({"attention_mask": wide}, N, "auto", 0)
    assert torch.equal(positions.real_in(torch.zeros(N, TOKENS, 2)), REAL == 1)  # type: ignore[arg-type]
    for count in (TOKENS - 1, TOKENS + 1):
        with pytest.raises(ValueError, match=f"{count} positions, and no mask fits .* longest sample has {TOKENS}"):
            positions.real_in(torch.zeros(N, count, 2))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ("words", r"must be the name of a tensor in the batch, got 'words', and it holds input_ids, attention_mask"),
        (
            lambda batch: torch.zeros(3, 2),
            r"shape \(n, T\) with n = 20, .* \(n,\), got .* \(3, 2\) from the function",
        ),
        (lambda batch: LENGTHS.float(), r"whole numbers of shape \(n,\), got torch.float32 of shape \(20,\) from"),
        (lambda batch: None, r"got NoneType from the function"),
        (lambda batch: torch.zeros(N, 4), r"at least one real token of every sample, got 20 samples of 20 without"),
        (3, r"must be 'auto', the name of an entry of the batch, a function of the batch or None, got 3"),
    ],
)
def test_a_wrong_mask_is_refused(mask: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"Argument `mask` must .*{message.removeprefix('must ')}"):
        analyze(Encoder(), padded(), mask=mask)
