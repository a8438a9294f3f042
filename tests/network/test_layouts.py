"""Outputs, inputs and buffers that are not strided: one such layer is measured or skipped, and the others stay."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.families import SEQUENCES, D, N, Residual
from helpers.trainings import trainer
from lightning import LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_topolip import TopoLipCallback, TopoLipMetric, analyze, distance_matrix
from lightning_topolip.network.borrowing import borrowed
from lightning_topolip.network.layouts import dense, restore
from lightning_topolip.network.measure import Subject, measure

pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning", "ignore:Sparse")
LENGTHS = [index % 4 + 3 for index in range(N)]
PADDED = torch.arange(6) >= torch.tensor(LENGTHS)[:, None]


def nested(layout: torch.layout) -> Callable[[Tensor], Tensor]:
    def convert(padded: Tensor) -> Tensor:
        return torch.nested.nested_tensor([row[:k] for row, k in zip(padded, LENGTHS, strict=True)], layout=layout)

    return convert


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "nested": nested(torch.strided),
    "jagged": nested(torch.jagged),
    "coo": lambda rows: rows.flatten(1).to_sparse(),
    "hybrid": lambda rows: rows.to_sparse(1),
    "csr": lambda rows: rows.flatten(1).to_sparse_csr(),
    "csc": lambda rows: rows.flatten(1).to_sparse_csc(),
    "bsr": lambda rows: rows.flatten(1).to_sparse_bsr((2, 2)),
    "mkldnn": lambda rows: rows.contiguous().to_mkldnn(),
}


class Converted(nn.Module):
    """A layer whose output has another layout."""

    def __init__(self, convert: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear = nn.Linear(D, D)
        self.convert = convert

    def forward(self, inputs: Tensor) -> Any:
        return self.convert(torch.relu(self.linear(inputs)))


class Odd(nn.Module):
    """Four blocks, beside the second of which a layer puts out another layout."""

    def __init__(self, convert: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Residual() for _ in range(4))
        self.odd = Converted(convert)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.blocks[1](self.blocks[0](inputs))
        self.odd(hidden)
        return self.blocks[3](self.blocks[2](hidden))


NAMES = [*(f"blocks.{index}" for index in range(4)), "odd"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layer_of_any_layout_is_measured_by_its_dense_form(layout: str) -> None:
    torch.manual_seed(0)
    convert = LAYOUTS[layout]
    odd, plain = Odd(convert).eval(), Odd(lambda rows: dense(convert(rows))).eval()
    plain.load_state_dict(odd.state_dict())
    expected, report = analyze(plain, SEQUENCES, NAMES, halvings=0), analyze(odd, SEQUENCES, NAMES, halvings=0)
    assert not report.failures
    assert "odd" in report.layers
    assert report.curve.tolist() == expected.curve.tolist()
    metric = TopoLipMetric(NAMES, halvings=0)
    with torch.no_grad(), metric.attach(odd):
        odd(SEQUENCES)
    assert metric.report().curve.tolist() == expected.curve.tolist()


@pytest.mark.parametrize("layout", ["nested", "jagged"])
def test_nested_rows_are_padded_with_zeros(layout: str) -> None:
    padded = SEQUENCES.masked_fill(PADDED[:, :, None], 0)
    assert torch.equal(dense(LAYOUTS[layout](SEQUENCES)), padded)


@pytest.mark.parametrize("convert", [lambda rows: rows.to("meta"), lambda rows: rows.flatten(0, 1).to_sparse()])
def test_a_layer_without_dense_rows_is_skipped_alone(convert: Any) -> None:
    model = Odd(convert).eval()
    report = analyze(model, SEQUENCES, NAMES, halvings=0)
    assert report.layers == ("<input>", *NAMES[:4])
    assert np.isfinite(report.score)
    assert "skipped" in report.failures["odd"]
    metric = TopoLipMetric(NAMES, halvings=0)
    with torch.no_grad(), metric.attach(model):
        model(SEQUENCES)
    assert metric.report().curve.tolist() == report.curve.tolist()
    assert metric.report().failures == report.failures


@pytest.mark.parametrize("layout", sorted(LAYOUTS.keys() - {"mkldnn"}))
def test_an_input_of_any_layout_begins_the_path(layout: str) -> None:
    class Opened(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(D, D) for _ in range(4))

        def forward(self, inputs: Tensor) -> Tensor:
            hidden = dense(inputs).reshape(N, -1, D)
            for layer in self.layers:
                hidden = layer(hidden)
            return hidden

    model, batch = Opened().eval(), LAYOUTS[layout](SEQUENCES)
    report = analyze(model, batch, halvings=0)
    assert report.layers == ("<input>", "layers.0", "layers.1", "layers.2")
    found = measure(model, batch, Subject()).distances["<input>"]
    np.testing.assert_array_equal(found, distance_matrix(dense(batch).flatten(1)).numpy())
    metric = TopoLipMetric(halvings=0)
    with torch.no_grad(), metric.attach(model):
        model(batch)
    assert metric.report().curve.tolist() == report.curve.tolist()


# Torch's transformer layers


def encoder(layers: int = 3, **options: Any) -> nn.TransformerEncoder:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.TransformerEncoder(nn.TransformerEncoderLayer(D, 2, 16, batch_first=True, **options), layers).eval()


def masked(model: nn.Module, batch: Any) -> Tensor:
    return model(batch, src_key_padding_mask=PADDED)  # type: ignore[no-any-return]


@pytest.mark.parametrize("options", [{}, {"norm_first": True}, {"activation": "gelu"}])
def test_a_transformer_encoder_with_a_padding_mask_has_a_curve(options: dict[str, Any], tmp_path: Path) -> None:
    model = encoder(**options)
    plain = encoder(**options)
    plain.use_nested_tensor = False
    expected = analyze(plain, SEQUENCES, forward_fn=masked, halvings=0)
    assert expected.layers == ("<input>", "layers.0", "layers.1", "layers.2")
    assert np.isfinite(expected.score)
    report = analyze(model, SEQUENCES, forward_fn=masked, halvings=0)
    assert report.curve.tolist() == expected.curve.tolist()

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = model

        def forward(self, inputs: Tensor) -> Tensor:
            return masked(self.network, inputs)

        def validation_step(self, batch: Any, index: int) -> None:
            pass

    callback = TopoLipCallback(halvings=0, figures=False, on_error="raise", probe=SEQUENCES)
    run = trainer(tmp_path, callback, logger=False)
    run.validate(Module(), DataLoader(TensorDataset(SEQUENCES)), verbose=False)
    assert float(run.callback_metrics["topolip/score"]) == pytest.approx(expected.score, abs=1e-7)


@pytest.mark.parametrize("enabled", [True, False])
def test_the_fused_layers_are_off_in_an_analysis_and_then_as_before(enabled: bool) -> None:
    torch.backends.mha.set_fastpath_enabled(enabled)
    try:
        model = encoder(2)
        report = analyze(model, SEQUENCES, halvings=0)
        assert torch.backends.mha.get_fastpath_enabled() == enabled
        with pytest.raises(AssertionError, match="embedding dimension"):
            analyze(model, SEQUENCES[:, :, :3])
        assert torch.backends.mha.get_fastpath_enabled() == enabled
        assert "layers.0.linear1" in report.layers
    finally:
        torch.backends.mha.set_fastpath_enabled(True)


# Complex numbers


class Waves(nn.Module):
    """A Fourier layer, a complex linear layer and a real one."""

    def __init__(self) -> None:
        super().__init__()
        self.fourier = Converted(torch.fft.fft)
        self.mixed = nn.Linear(D, D, dtype=torch.complex64)
        self.conjugate = Converted(lambda rows: torch.complex(rows, rows.flip(-1)).conj())

    def forward(self, inputs: Tensor) -> Tensor:
        return self.conjugate(self.mixed(self.fourier(inputs)).real)


@pytest.mark.parametrize("reduction", ["flatten", "mean", "cls"])
def test_complex_outputs_are_measured_as_pairs_of_reals(reduction: Any) -> None:
    torch.manual_seed(0)
    model, names = Waves().eval(), ["fourier", "mixed", "conjugate"]
    outputs: dict[str, Tensor] = {}
    for name in names:
        model.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: outputs.update({name: output.detach().resolve_conj()})
        )
    measured = measure(model, SEQUENCES, Subject(names, settings=analysis_settings(reduction)))
    for name, output in outputs.items():
        points = {"flatten": output.flatten(1), "mean": output.mean(dim=1), "cls": output[:, 0]}[reduction]
        pairs = torch.cat([points.real, points.imag], dim=1)
        np.testing.assert_allclose(measured.distances[name], distance_matrix(pairs).numpy(), rtol=1e-5, atol=1e-6)
    metric = TopoLipMetric(names, halvings=0, reduction=reduction)
    with torch.no_grad(), metric.attach(model):
        for half in SEQUENCES.split(N // 2):
            model(half)
    report = analyze(model, SEQUENCES, names, halvings=0, reduction=reduction)
    assert metric.report().curve == pytest.approx(report.curve, abs=1e-6)


def analysis_settings(reduction: Any) -> Any:
    from lightning_topolip.topology.settings import Settings

    return Settings(halvings=0, reduction=reduction)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_a_complex_input_begins_the_path_and_complex_rows_update_a_metric(dtype: torch.dtype) -> None:
    model = nn.Sequential(*[nn.Linear(D, D, dtype=dtype) for _ in range(4)]).eval()
    batch = torch.complex(SEQUENCES[:, 0], SEQUENCES[:, 1]).to(dtype)
    report = analyze(model, batch, halvings=0)
    assert report.layers == ("<input>", "0", "1", "2")
    outputs, hidden = {"<input>": batch}, batch
    with torch.no_grad():
        for index in range(3):
            hidden = model[index](hidden)
            outputs[str(index)] = hidden
    metric = TopoLipMetric(halvings=0)
    metric.update(outputs)
    assert metric.report().curve.tolist() == report.curve.tolist()


# Buffers


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_buffer_of_any_layout_is_given_back(layout: str) -> None:
    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("kept", LAYOUTS[layout](SEQUENCES))

        def forward(self, inputs: Tensor) -> Tensor:
            self.kept.zero_() if layout != "mkldnn" else self.kept.mul_(2)
            return inputs

    model = Keeps()
    buffer, before = model.kept, dense(LAYOUTS[layout](SEQUENCES))
    with borrowed(model):
        pass
    assert torch.equal(dense(model.kept), before)
    with borrowed(model):
        model(SEQUENCES)
    assert model.kept is buffer
    assert torch.equal(dense(model.kept), before)


def test_a_graph_network_with_a_sparse_buffer_is_followed() -> None:
    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("adjacency", (torch.rand(N, N) > 0.5).float().to_sparse_csr())
            self.layers = nn.ModuleList(nn.Linear(D, D) for _ in range(4))

        def forward(self, nodes: Tensor) -> Tensor:
            for layer in self.layers:
                nodes = torch.relu(self.adjacency @ layer(nodes))
            return nodes

    assert np.isfinite(analyze(Graph(), SEQUENCES[:, 0], halvings=0).score)


def test_an_unchanged_tensor_is_not_written() -> None:
    for convert in LAYOUTS.values():
        tensor = convert(SEQUENCES)
        version = tensor._version
        restore(tensor, tensor.clone())
        assert tensor._version == version
