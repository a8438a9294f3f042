"""Outputs of a network, such as the heads of several tasks, are no layers of the path to them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lightning_topolip import analyze
from lightning_topolip.network.layers import resolve_layers

D = 8


class Perceptron(nn.Module):
    def __init__(self, outputs: int = D) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(D, D), nn.Linear(D, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.outer(torch.relu(self.inner(inputs)))


class Other(Perceptron):
    pass


def perceptron(outputs: int = D) -> nn.Module:
    return nn.Sequential(nn.Linear(D, D), nn.Tanh(), nn.Linear(D, outputs))


def deeper(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(D, D), nn.ReLU(), nn.Linear(D, D), nn.ReLU(), nn.Linear(D, outputs))


def three(head: Callable[[int], nn.Module]) -> dict[str, nn.Module]:
    return {"color": head(3), "size": head(D), "kind": head(5)}


def plain() -> nn.Module:
    return nn.Sequential(*[module for _ in range(4) for module in (nn.Linear(D, D), nn.ReLU())])


HEADS: dict[str, Callable[[], dict[str, nn.Module]]] = {
    "of one class": lambda: three(Other),
    "of the class of the trunk": lambda: three(Perceptron),
    "sequences": lambda: three(perceptron),
    "sequences of different lengths": lambda: {"sign": perceptron(1), "sum": deeper(1)},
    "of different classes": lambda: {"color": Perceptron(3), "size": Other(5), "kind": nn.Linear(D, D)},
    "blocks with an output": lambda: three(lambda outputs: nn.Sequential(Perceptron(), nn.Linear(D, outputs))),
    "one layer each": lambda: three(lambda outputs: nn.Linear(D, outputs)),
}
TRUNKS: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "sequences": (lambda: nn.ModuleList(perceptron() for _ in range(5)), [f"trunk.{i}" for i in range(5)]),
    "blocks": (lambda: nn.Sequential(*[Perceptron() for _ in range(4)]), [f"trunk.{i}" for i in range(4)]),
    "single layers": (plain, ["trunk.0", "trunk.2", "trunk.4", "trunk.6"]),
    "two layers": (lambda: plain()[:4], ["trunk.0", "trunk.1", "trunk.2", "trunk.3"]),
}


class Multitask(nn.Module):
    def __init__(self, trunk: nn.Module, heads: dict[str, nn.Module], **others: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        for name, other in others.items():
            self.add_module(name, other)
        self.heads = nn.ModuleDict(heads)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        for module in self.trunk:
            inputs = module(inputs)
        return {name: head(inputs) for name, head in self.heads.items()}


@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("trunk", TRUNKS)
def test_auto_follows_the_trunk_and_no_head(trunk: str, heads: str) -> None:
    make, expected = TRUNKS[trunk]
    model = Multitask(make(), HEADS[heads]())
    assert resolve_layers(model) == expected
    report = analyze(model, torch.randn(12, D, generator=torch.Generator().manual_seed(0)), halvings=0)
    assert report.layers == ("<input>", *expected)


@pytest.mark.parametrize("head", [Other, Perceptron])
def test_heads_are_no_blocks_where_they_are_registered_first(head: Callable[[int], nn.Module]) -> None:
    model = nn.Module()
    model.heads = nn.ModuleDict(three(head))
    model.trunk = nn.ModuleList(Perceptron() for _ in range(3))
    assert resolve_layers(model) == ["trunk.0", "trunk.1", "trunk.2"]


def test_a_value_beside_the_heads_is_an_output_too() -> None:
    assert resolve_layers(Multitask(plain()[:6], three(perceptron), value=nn.Linear(D, 1))) == [
        "trunk.0",
        "trunk.2",
        "trunk.4",
    ]


def test_numbered_values_of_a_dictionary_follow_each_other() -> None:
    blocks = nn.ModuleDict({f"block{i}": Perceptron() for i in range(1, 4)})
    assert resolve_layers(nn.ModuleDict({"stem": nn.Linear(2, D), "blocks": blocks})) == [
        "blocks.block1",
        "blocks.block2",
        "blocks.block3",
    ]
    sequences = nn.ModuleDict({str(i): perceptron() for i in range(3)})
    assert resolve_layers(nn.ModuleDict({"stem": nn.Linear(2, D), "blocks": sequences})) == [
        "blocks.0",
        "blocks.1",
        "blocks.2",
    ]


def test_a_dictionary_with_a_list_or_with_all_weights_names_the_parts_of_a_network() -> None:
    listed = nn.ModuleDict({"patches": nn.Linear(D, D), "blocks": nn.ModuleList(Perceptron() for _ in range(3))})
    model = nn.Module()
    model.stem, model.body = nn.Linear(D, D), listed
    assert resolve_layers(model) == ["body.blocks.0", "body.blocks.1", "body.blocks.2"]
    autoencoder = nn.ModuleDict({"encoder": perceptron(), "decoder": perceptron()})
    assert resolve_layers(autoencoder) == ["encoder.0", "encoder.2", "decoder.0"]


def test_heads_count_layer_by_layer_where_nothing_else_has_three_layers() -> None:
    sequences = Multitask(nn.Linear(D, D), {"sign": perceptron(1), "sum": perceptron(1)})
    assert resolve_layers(sequences) == ["trunk", "heads.sign.0", "heads.sign.2", "heads.sum.0"]
    classes = Multitask(nn.Linear(D, D), {"sign": Other(1), "sum": Other(1)})
    assert resolve_layers(classes) == ["trunk", "heads.sign.inner", "heads.sign.outer", "heads.sum.inner"]
