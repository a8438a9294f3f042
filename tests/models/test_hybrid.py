"""The hybrid between the two networks of the controlled pair."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lightning_topolip import analyze
from lightning_topolip.models import AttentionClassifier, ConvClassifier, HybridClassifier

SHAPE = {"size": "micro", "image_size": 16, "depth": 4}


def parameters(model: torch.nn.Module) -> list[tuple[int, ...]]:
    return sorted(tuple(weight.shape) for weight in model.parameters())


@pytest.mark.parametrize(("convolutions", "same"), [(4, ConvClassifier), (0, AttentionClassifier)])
def test_its_ends_are_the_controlled_pair(convolutions: int, same: type[ConvClassifier]) -> None:
    hybrid = HybridClassifier(**SHAPE, convolutions=convolutions)  # type: ignore[arg-type]
    assert parameters(hybrid) == parameters(same(**SHAPE))  # type: ignore[arg-type]


def test_it_has_as_many_parameters_and_layers() -> None:
    hybrid, attention = HybridClassifier(**SHAPE), AttentionClassifier(**SHAPE)  # type: ignore[arg-type]
    assert sum(p.numel() for p in hybrid.parameters()) == sum(p.numel() for p in attention.parameters())
    report = analyze(hybrid, torch.rand(8, 3, 16, 16))
    assert report.layers[1:] == tuple(f"network.blocks.{index}" for index in range(4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"convolutions": 5}, "Argument `convolutions` must be at most the 4 blocks, got 5"),
        ({"convolutions": -1}, "got -1"),
        ({"convolutions": 1.5}, "must be a whole number"),
        ({"width": 10}, "Argument `width` must be a multiple of"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HybridClassifier(**SHAPE, **options)  # type: ignore[arg-type]
