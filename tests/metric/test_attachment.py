"""Attached hooks are invisible: the outputs are the same to the bit, nothing is raised, and nothing stays."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import timm
import torch
from helpers.families import IMAGES, SEQUENCES, D, N
from torch import Tensor, nn
from torch.nn.modules import module as torch_modules

from lightning_topolip import TopoLipMetric, analyze
from lightning_topolip.network.fused_layers import asks_for_hooks, unhookable

pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
PADDED = torch.arange(6) >= (torch.arange(N) % 4 + 3)[:, None]
MASK: dict[str, Any] = {"src_key_padding_mask": PADDED}
MODES = {"no_grad": torch.no_grad, "inference": torch.inference_mode, "gradients": contextlib.nullcontext}


def encoder(layers: int = 3, nested: bool = True, **options: Any) -> nn.TransformerEncoder:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = nn.TransformerEncoderLayer(D, 2, 16, batch_first=True, **options)
        return nn.TransformerEncoder(layer, layers, enable_nested_tensor=nested)


class Attentions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attentions = nn.ModuleList(nn.MultiheadAttention(D, 2, batch_first=True) for _ in range(4))

    def forward(self, tokens: Tensor) -> Tensor:
        for attention in self.attentions:
            tokens = tokens + attention(tokens, tokens, tokens, need_weights=False)[0]
        return tokens


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.LSTM(D, D, 2, batch_first=True) for _ in range(3))
        self.head = nn.Linear(D, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        for layer in self.layers:
            tokens = layer(tokens)[0]
        return self.head(tokens[:, -1])


class CopiedLayer(nn.Module):
    """A layer of another library that computes in another way if it has hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(D, D), nn.Linear(D, D)

    def forward(self, inputs: Tensor) -> Tensor:
        if any(module._forward_hooks or module._forward_pre_hooks for module in self.modules()):
            return self.outer(torch.relu(self.inner(inputs))) + 1
        return nn.functional.linear(
            torch.relu(nn.functional.linear(inputs, self.inner.weight, self.inner.bias)), self.outer.weight
        )


class Transposing(nn.TransformerEncoderLayer):
    """A class of torch with a forward of its own."""

    def forward(self, src: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return super().forward(src, *args, **kwargs)


def vit() -> nn.Module:
    return timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, depth=4, num_classes=3)


MODELS: dict[str, Callable[[], tuple[nn.Module, Tensor, dict[str, Any]]]] = {
    "encoder": lambda: (encoder(), SEQUENCES, {}),
    "encoder, padded": lambda: (encoder(), SEQUENCES, MASK),
    "encoder, padded, not nested": lambda: (encoder(nested=False), SEQUENCES, MASK),
    "encoder, norm first": lambda: (encoder(norm_first=True), SEQUENCES, MASK),
    "encoder of two layers": lambda: (encoder(2), SEQUENCES, MASK),
    "encoder between": lambda: (nn.Sequential(nn.Linear(D, D), encoder(), nn.Linear(D, 3)), SEQUENCES, {}),
    "layer alone": lambda: (nn.TransformerEncoderLayer(D, 2, 16, batch_first=True), SEQUENCES, {}),
    "own class": lambda: (nn.Sequential(*[Transposing(D, 2, 16, batch_first=True) for _ in range(3)]), SEQUENCES, {}),
    "copied class": lambda: (nn.Sequential(*[CopiedLayer() for _ in range(4)]), SEQUENCES, {}),
    "attention": lambda: (Attentions(), SEQUENCES, {}),
    "vit": lambda: (vit(), IMAGES, {}),
    "recurrent": lambda: (Recurrent(), SEQUENCES, {}),
}


def global_hooks() -> list[Any]:
    names = [name for name in vars(torch_modules) if name.startswith("_global_") and name.endswith("_hooks")]
    assert "_global_forward_hooks" in names
    return [hook for name in names for hook in vars(torch_modules)[name].values()]


@pytest.fixture(autouse=True)
def _no_hook_of_the_process_before_or_after() -> Iterator[None]:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    yield
    assert not global_hooks()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_the_same_to_the_bit(name: str, mode: str) -> None:
    model, batch, arguments = MODELS[name]()
    model.eval()
    metric = TopoLipMetric(halvings=0)
    with MODES[mode](), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TopoLipMetric (sees fewer|skips a pass)")
        expected = model(batch, **arguments)
        with metric.attach(model):
            outputs = [model(batch, **arguments) for _ in range(2)]
    assert all(torch.equal(output, expected) for output in outputs)


@pytest.mark.parametrize("name", ["encoder", "encoder between", "own class", "attention", "vit", "recurrent"])
def test_a_model_that_is_fused_has_the_layers_and_the_score_of_analyze(name: str) -> None:
    model, batch, _ = MODELS[name]()
    metric = TopoLipMetric(halvings=0)
    with torch.no_grad(), metric.attach(model.eval()):
        model(batch)
    report = analyze(model, batch, halvings=0)
    assert metric.report().layers == report.layers
    assert metric.report().curve == pytest.approx(report.curve, abs=1e-5)


def test_parts_of_fused_layers_are_missing_and_the_warning_says_how_to_see_them() -> None:
    model = encoder(2).eval()
    metric = TopoLipMetric(halvings=0)
    with torch.no_grad():
        with (
            pytest.warns(UserWarning, match=r"fewer than three layers.*set_fastpath_enabled\(False\)"),
            metric.attach(model),
        ):
            model(SEQUENCES)
        metric = TopoLipMetric(halvings=0)
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            with metric.attach(model):
                model(SEQUENCES)
        finally:
            torch.backends.mha.set_fastpath_enabled(True)
    assert metric.report().curve.tolist() == analyze(model, SEQUENCES, halvings=0).curve.tolist()


@pytest.mark.parametrize("place", ["whole", "in place", "part"])
@pytest.mark.parametrize("name", ["encoder", "encoder, padded", "attention"])
def test_a_compiled_model_computes_the_same(name: str, place: str) -> None:
    model, batch, arguments = MODELS[name]()
    backend = "eager"
    model.eval()

    class Whole(nn.Module):
        def __init__(self, part: nn.Module) -> None:
            super().__init__()
            self.part = part

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return self.part(*args, **kwargs)

    torch.compiler.reset()
    with torch.no_grad():
        expected = torch.compile(model, backend=backend)(batch, **arguments)
        torch.compiler.reset()
        compiled: Any = model if place == "in place" else torch.compile(model, backend=backend)
        if place == "in place":
            model.compile(backend=backend)
        compiled = Whole(compiled).eval() if place == "part" else compiled
        metric = TopoLipMetric(halvings=0)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            with metric.attach(compiled):
                output = compiled(batch, **arguments)
    torch.compiler.reset()
    assert torch.equal(output, expected)
    sentences = [str(warning.message) for warning in said if "TopoLipMetric" in str(warning.message)]
    assert len(sentences) == (0 if name == "attention" else 1)


@pytest.mark.parametrize("fails", ["encoder.layers.1", "encoder.layers.2.linear2", "head"])
def test_no_hook_stays_after_an_error_in_a_forward(fails: str) -> None:
    model = nn.ModuleDict({"encoder": encoder(), "head": nn.Linear(D, 2)}).eval()
    whole = nn.Sequential(*model.values()).eval()

    def stop(*_: Any) -> None:
        raise RuntimeError("stop")

    metric = TopoLipMetric(halvings=0)
    with torch.no_grad(), metric.attach(whole):
        handle = model.get_submodule(fails).register_forward_hook(stop)
        with pytest.raises(RuntimeError, match="stop"):
            whole(SEQUENCES)
        assert not global_hooks()
        assert not metric.update_called
        handle.remove()
        whole(SEQUENCES)
    assert metric.update_count == 1
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in whole.modules())


def test_the_hook_of_the_process_sees_only_the_layers_of_its_model() -> None:
    model, other = encoder().eval(), encoder().eval()
    metric, second = TopoLipMetric(halvings=0), TopoLipMetric(halvings=0)

    def run_the_other(*_: Any) -> None:
        other(SEQUENCES[:5])

    model.norm = nn.Identity()
    model.norm.register_forward_hook(run_the_other)
    with torch.no_grad(), metric.attach(model), second.attach(other):
        model(SEQUENCES)
    assert int(metric.seen) == N
    assert int(second.seen) == 5
    assert metric.report().layers == ("<input>", "layers.0", "layers.1", "layers.2")


def test_a_skipped_pass_does_not_raise_where_warnings_are_errors(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential(nn.Flatten(0), nn.Flatten(0), nn.Flatten(0)).eval()
    metric = TopoLipMetric(layers="*")
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING), metric.attach(model):
        warnings.simplefilter("error")
        assert torch.equal(model(SEQUENCES), SEQUENCES.flatten())
    assert "skips a pass: no layer has one row" in caplog.text


def test_which_classes_ask_for_hooks() -> None:
    asking = {type(module) for module in (*encoder().modules(), *Attentions().modules(), *vit().modules())}
    assert {kind for kind in asking if asks_for_hooks(kind.__new__(kind))} == {nn.TransformerEncoderLayer}
    assert asks_for_hooks(Transposing(D, 2))
    assert asks_for_hooks(CopiedLayer())
    torch.compiler.reset()
    compiled = torch.compile(encoder(), backend="eager")
    fused, sealed = unhookable(compiled)
    assert not fused
    assert sealed == set(compiled._orig_mod.modules())


def test_a_model_in_training_mode_is_named_as_the_reason_for_no_samples() -> None:
    reason = "ignores passes in training mode; run one after `model.eval"
    model, inputs = nn.Sequential(*(nn.Linear(8, 8) for _ in range(4))), torch.randn(12, 8)
    with pytest.warns(UserWarning, match=reason), TopoLipMetric().attach(model):
        model(inputs)
    metric = TopoLipMetric()
    metric.attach(model)
    model(inputs)
    with pytest.warns(UserWarning, match=reason), pytest.warns(UserWarning, match="before the ``update`` method"):
        assert metric.compute().isnan()
    model.eval()(inputs)
    model.train()(inputs)
    metric.detach()
    assert not metric.compute().isnan()
