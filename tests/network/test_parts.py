"""A probe that runs in parts: the numbers of the whole, the memory of a part, and no number where they would differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from helpers.trainings import Tiny, fit
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from lightning_topolip import TopoLipCallback, analyze
from lightning_topolip.network import parts

IMAGES = torch.rand(23, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def network(name: str, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=10, **options)
    for module in model.modules():  # a residual branch that begins at zero would hide what the branch does
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return model


MODELS = {
    "convolution": lambda: network("resnet18"),
    "attention": lambda: network("vit_tiny_patch16_224", img_size=32, patch_size=8, depth=4),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("reduction", ["flatten", "mean"])
def test_the_numbers_are_those_of_one_forward(name: str, reduction: Any) -> None:
    model = MODELS[name]()
    whole, cut = (
        analyze(model, IMAGES, reduction=reduction, geometry=True, probe_batch_size=size) for size in (None, 6)
    )
    assert cut.layers == whole.layers
    assert cut.failures == whole.failures == {}
    assert cut.probe == whole.probe
    np.testing.assert_allclose(cut.curve, whole.curve, rtol=1e-4)
    assert cut.score == pytest.approx(whole.score, rel=1e-3)
    assert cut.score_error == pytest.approx(whole.score_error, rel=1e-2)
    for layer, geometry in whole.geometry.items():
        assert cut.geometry[layer].total_variance == pytest.approx(geometry.total_variance, rel=1e-5)


@pytest.mark.parametrize("held", [0, 700_000, 2**31])
def test_layers_that_do_not_fit_together_are_taken_in_turn(monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    expected = analyze(MODELS["attention"](), IMAGES, probe_batch_size=8)
    sizes: list[int] = []
    model = MODELS["attention"]()
    model.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    monkeypatch.setattr(parts, "HELD_BYTES", held)
    report = analyze(model, IMAGES, probe_batch_size=8)
    assert report.layers == expected.layers
    np.testing.assert_array_equal(report.curve, expected.curve)
    assert sizes[:4] == [7, 8, 8, 3]
    assert len(sizes) == 4 * {0: 4, 700_000: 2, 2**31: 1}[held]


class Batched(nn.Module):
    """Its last two layers see the other samples of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *[nn.Linear(8, 8) for _ in range(3)], nn.BatchNorm1d(8, track_running_stats=False), nn.Linear(8, 8)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.layers(inputs)
        return output


def test_layers_that_depend_on_the_other_samples_are_named() -> None:
    report = analyze(Batched(), torch.randn(40, 8), "layers.*", probe_batch_size=16)
    assert set(report.failures) == {"layers.3", "layers.4"}
    assert all("depends on the other samples of a batch" in reason for reason in report.failures.values())
    assert np.isfinite(report.curve[:2]).all()


def test_a_layer_whose_width_follows_the_part_is_named() -> None:
    class Widths(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(*[nn.Identity() for _ in range(3)])

        def forward(self, inputs: Tensor) -> Tensor:
            output: Tensor = self.layers(inputs[:, : inputs[:, 0].int().max()])
            return output

    rows = torch.rand(9, 12)
    rows[:, 0] = torch.arange(9) + 3.0
    report = analyze(Widths(), rows, "layers.*", probe_batch_size=3)
    assert all("outputs in the parts of the probe differ in shape" in reason for reason in report.failures.values())
    assert set(report.failures) == {"layers.0", "layers.1", "layers.2"}


def test_a_batch_of_several_parts_is_cut_sample_by_sample() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = nn.ModuleList(nn.GRU(4, 4, batch_first=True) for _ in range(3))

        def forward(self, sequences: Tensor, lengths: Tensor, names: list[str], scale: Tensor) -> Tensor:
            assert len(sequences) == len(lengths) == len(names)
            assert scale.shape == (2,)
            states = sequences * scale[0]
            for cell in self.cells:
                packed = pack_padded_sequence(states, lengths, batch_first=True, enforce_sorted=False)
                output, _ = cell(packed)
                states = nn.utils.rnn.pad_packed_sequence(output, batch_first=True, total_length=5)[0]
            return states

    batch = {
        "sequences": torch.randn(14, 5, 4),
        "lengths": torch.randint(1, 6, (14,)).index_fill(0, torch.arange(0, 14, 2), 5),
        "names": [f"text {index}" for index in range(14)],
        "scale": torch.ones(2),
    }
    torch.manual_seed(0)
    model = Recurrent()
    whole, cut = (analyze(model, batch, "cells.*", probe_batch_size=size) for size in (None, 4))
    np.testing.assert_allclose(cut.curve, whole.curve, rtol=1e-4)


def test_the_model_and_the_batch_come_back_as_they_were() -> None:
    model = MODELS["convolution"]().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state, images = torch.get_rng_state(), IMAGES.clone()
    analyze(model, images, probe_batch_size=5)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(images, IMAGES)
    assert model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_training_is_watched_in_parts(tmp_path: Path) -> None:
    curves = []
    for size in (None, 10):
        callback = TopoLipCallback(probe_size=30, probe_batch_size=size, figures=False)
        fit(tmp_path, callback)
        assert callback.history.last is not None
        curves.append(callback.history.last.curve)
    np.testing.assert_allclose(*curves, rtol=1e-4)


@pytest.mark.parametrize("size", [2, 0, -1, 1.5, "8"])
def test_a_wrong_size_is_refused(size: Any) -> None:
    with pytest.raises(ValueError, match="`probe_batch_size` must be a whole number"):
        analyze(Tiny(), torch.rand(8, 6), probe_batch_size=size)
    with pytest.raises(ValueError, match="`probe_batch_size` must be a whole number"):
        TopoLipCallback(probe_batch_size=size)
