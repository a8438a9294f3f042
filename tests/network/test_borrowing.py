"""The model is borrowed: the outputs of its layers arrive, and everything else is as before."""

import random
import warnings
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from helpers.chain import Chain
from torch import Tensor, nn

from lightning_topolip.network.borrowing import borrowed
from lightning_topolip.network.forward_pass import ForwardPass, HookedLayers, Visit
from lightning_topolip.network.sample_axis import first_floating_tensor


def visit_layers(model: nn.Module, names: list[str], inputs: Tensor, visit: Visit) -> None:
    layers = HookedLayers(model, names)
    with borrowed(model), layers.hook(ForwardPass(layers, len(inputs), visit).output):
        model(inputs)


def collect(model: nn.Module, names: list[str], inputs: Tensor) -> dict[str, Tensor]:
    outputs: dict[str, Tensor] = {}
    visit_layers(model, names, inputs, lambda name, module, found: outputs.update({name: found.rows.clone()}))
    return outputs


def test_outputs_arrive_in_the_order_of_execution(generator: torch.Generator) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    inputs = torch.randn(5, 3, generator=generator)
    seen = collect(model, ["2", "0"], inputs)
    assert list(seen) == ["0", "2"]
    assert torch.equal(seen["2"], model(inputs))


class Stateful(nn.Module):
    """Changes whatever a forward can change."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(3)
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("replaced", torch.zeros(2))

    def forward(self, inputs: Tensor) -> Tensor:
        self.count += 1
        self.replaced = self.replaced + 1
        random.random()
        np.random.rand()
        return self.dropout(self.norm(self.linear(inputs))) + torch.randn(3)


def snapshot(model: nn.Module) -> list[Any]:
    return [
        {name: value.clone() for name, value in model.state_dict().items()},
        [module.training for module in model.modules()],
        [len(module._forward_hooks) for module in model.modules()],
        torch.get_rng_state(),
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
    ]


def assert_same(before: list[Any], after: list[Any]) -> None:
    torch.testing.assert_close(before, after, rtol=0, atol=0)


def half_frozen() -> Stateful:
    model = Stateful()
    model.norm.eval()
    return model


def test_the_model_comes_back_as_it_was() -> None:
    model = half_frozen()
    buffer = model.count
    before = snapshot(model)
    collect(model, ["linear", "dropout"], torch.zeros(4, 3))
    assert_same(before, snapshot(model))
    assert model.count is buffer


def test_the_model_comes_back_after_an_error_in_the_model_and_in_the_visit() -> None:
    model = half_frozen()
    before = snapshot(model)
    with pytest.raises(RuntimeError, match="shapes"):
        collect(model, ["linear"], torch.zeros(4, 99))
    with pytest.raises(ZeroDivisionError):
        visit_layers(model, ["linear"], torch.zeros(4, 3), lambda *_: 1 / 0)  # type: ignore[arg-type, return-value]
    assert_same(before, snapshot(model))


def test_within_it_runs_in_evaluation_mode_without_gradients_and_with_its_own_seed() -> None:
    model = half_frozen()
    outputs = []
    for _ in range(2):
        with borrowed(model):
            assert not any(module.training for module in model.modules())
            outputs.append(model(torch.zeros(4, 3)))
        torch.randn(7)
    assert torch.equal(*outputs)
    assert not outputs[0].requires_grad


def test_leaves_inference_mode_so_that_nothing_the_model_keeps_is_spoilt() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    with torch.inference_mode():
        seen = collect(model, ["0"], torch.zeros(3, 2))
    assert not seen["0"].is_inference()


def test_every_execution_of_a_shared_layer_is_visited() -> None:
    shared = nn.Linear(3, 3)
    seen = collect(nn.Sequential(OrderedDict(first=shared, again=shared)), ["first"], torch.zeros(2, 3))
    assert list(seen) == ["first", "first#2"]


def test_compiled_models_run_eagerly_and_are_not_compiled_again() -> None:
    from torch._dynamo.testing import CompileCounter

    torch.compiler.reset()
    counter = CompileCounter()
    model = Chain(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    model.compile(backend=counter)
    inputs = torch.zeros(4, 3)
    model(inputs)
    assert list(collect(model, ["0", "2"], inputs)) == ["0", "2"]
    model(inputs)
    assert counter.frame_count == 1


def test_unknown_layer_raises_before_anything_changes() -> None:
    model = half_frozen()
    before = snapshot(model)
    with pytest.raises(KeyError, match="missing"):
        collect(model, ["missing"], torch.zeros(4, 3))
    assert_same(before, snapshot(model))


@pytest.mark.parametrize(
    "value",
    [
        torch.ones(2),
        (torch.ones(2), torch.zeros(2)),
        [None, (torch.arange(3), torch.ones(2))],
        OrderedDict(ids=torch.arange(2), state=torch.ones(2)),
    ],
)
def test_first_floating_tensor(value: Any) -> None:
    found = first_floating_tensor(value)
    assert found is not None
    assert torch.equal(found, torch.ones(2))


@pytest.mark.parametrize("value", [None, "text", torch.arange(3), (), {"a": 1}])
def test_no_floating_tensor(value: Any) -> None:
    assert first_floating_tensor(value) is None


class Caching(nn.Module):
    """Fills, adds, resizes and removes buffers in its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("cache", None)
        self.register_buffer("grown", torch.zeros(2))
        self.register_buffer("gone", torch.ones(1), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        self.cache = inputs.clone()
        self.grown.resize_(5).fill_(1.0)
        self.register_buffer("mask", torch.ones(3))
        del self.gone
        return inputs


class Counting(nn.Module):
    """Gives itself another buffer in each forward."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls = self.calls + 1
        return inputs


def test_a_buffer_that_a_scripted_module_replaces_is_put_back() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions of torch deprecate it
        model = torch.jit.script(nn.Sequential(Counting(), nn.BatchNorm1d(3)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    collect(model, [], torch.zeros(4, 3))
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


def test_buffers_that_come_grow_or_go_are_put_back() -> None:
    model = Caching()
    before = {name: value.clone() for name, value in model.named_buffers()}
    collect(model, [], torch.zeros(4, 3))
    assert model.cache is None
    assert not hasattr(model, "mask")
    torch.testing.assert_close(dict(model.named_buffers()), before, rtol=0, atol=0)
    assert list(model.state_dict()) == ["grown"]
