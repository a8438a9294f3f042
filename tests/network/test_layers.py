"""What "auto" finds in the families of networks that people train, and what a wrong name says."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import timm
import torch
import torchmetrics
import torchvision
from torch import nn

from lightning_topolip import TopoLipMetric, TopoLipRegularizer, analyze
from lightning_topolip.network.layers import resolve_layers

TIMM = {
    "vit_tiny_patch16_224": [f"blocks.{i}" for i in range(12)],
    "resnet18": [f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)],
    "convnext_atto": [f"stages.{s}.blocks.{b}" for s, n in enumerate((2, 2, 6, 2)) for b in range(n)],
    "swin_tiny_patch4_window7_224": [f"layers.{s}.blocks.{b}" for s, n in enumerate((2, 2, 6, 2)) for b in range(n)],
    "convmixer_768_32": [f"blocks.{i}" for i in range(32)],
    "mixer_s32_224": [f"blocks.{i}" for i in range(8)],
}


@pytest.mark.parametrize("name", TIMM)
def test_auto_in_timm(name: str) -> None:
    assert resolve_layers(timm.create_model(name)) == TIMM[name]


def test_auto_in_torchvision() -> None:
    assert resolve_layers(torchvision.models.resnet18()) == TIMM["resnet18"]
    vit = resolve_layers(torchvision.models.vit_b_16())
    assert vit == [f"encoder.layers.encoder_layer_{i}" for i in range(12)]


def test_auto_in_a_transformer_encoder() -> None:
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, batch_first=True), 3)
    assert resolve_layers(encoder) == ["layers.0", "layers.1", "layers.2"]


class HuggingFaceLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.Linear(4, 4)
        self.output = nn.Linear(4, 4)


class HuggingFaceLike(nn.Module):
    """The nesting of a Hugging Face encoder: `encoder.layer.N`."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(10, 4)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(HuggingFaceLayer() for _ in range(3))
        self.pooler = nn.Linear(4, 4)


def test_auto_in_a_hugging_face_encoder() -> None:
    assert resolve_layers(HuggingFaceLike()) == ["encoder.layer.0", "encoder.layer.1", "encoder.layer.2"]


def test_auto_in_siblings_that_no_list_holds() -> None:
    model = nn.Module()
    for name in ("down", "middle", "up"):
        model.add_module(name, HuggingFaceLayer())
    assert resolve_layers(model) == ["down", "middle", "up"]


def test_auto_in_a_plain_sequence_takes_layers_with_weights() -> None:
    convolutions = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)]
    assert resolve_layers(nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(4, 2))) == ["0", "3", "5"]


def test_auto_takes_every_layer_but_the_last_with_weights_where_few_have_weights() -> None:
    assert resolve_layers(nn.Sequential(*layers_of_widths(4, 4, 4, 2))) == ["0", "1", "2", "3"]
    recurrent = nn.Sequential(nn.Embedding(9, 4), nn.Tanh(), nn.Flatten(), nn.Softplus(), nn.Linear(12, 2))
    assert resolve_layers(recurrent) == ["0", "1", "3"]


def test_auto_takes_the_output_too_where_no_other_three_layers_are() -> None:
    assert resolve_layers(nn.Sequential(*layers_of_widths(4, 4, 2))) == ["0", "1", "2"]
    assert resolve_layers(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))) == ["0", "1"]


def layers_of_widths(*widths: int) -> list[nn.Module]:
    """Linear layers with an activation between each two."""
    linear = [nn.Linear(first, second) for first, second in pairwise(widths)]
    return [module for layer in linear for module in (layer, nn.ReLU())][:-1]


class Network(nn.Module):
    """Four layers, and then some that compute its outputs."""

    def __init__(self, kind: Callable[[], nn.Module], **outputs: nn.Module) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*[kind() for _ in range(4)])
        for name, output in outputs.items():
            self.add_module(name, output)


@pytest.mark.parametrize(
    "outputs",
    [
        {"fc": nn.Linear(8, 3)},
        {"policy": nn.Linear(8, 3), "value": nn.Linear(8, 1)},
        {"heads": nn.ModuleDict({"a": nn.Linear(8, 3), "b": nn.Linear(8, 5), "c": nn.Linear(8, 8)})},
        {"head": nn.Sequential(nn.Flatten(), nn.Linear(8, 3), nn.Softmax(dim=1))},
    ],
)
@pytest.mark.parametrize("kind", [lambda: nn.Linear(8, 8), lambda: nn.Conv2d(8, 8, 1), lambda: nn.GRU(8, 8)])
def test_auto_is_without_the_logits_in_every_family(outputs: dict[str, nn.Module], kind: Any) -> None:
    assert resolve_layers(Network(kind, **outputs)) == [f"trunk.{i}" for i in range(4)]
    blocks = Network(HuggingFaceLayer, **outputs)
    assert resolve_layers(blocks) == [f"trunk.{i}" for i in range(4)]


def test_auto_without_the_logits_among_the_parts_of_few_blocks() -> None:
    parts = nn.ModuleList([nn.Bilinear(2, 2, 2), HuggingFaceLayer(), HuggingFaceLayer(), nn.Linear(4, 3)])
    assert resolve_layers(parts) == ["1.attention", "1.output", "2.attention", "2.output"]
    assert resolve_layers(parts[1:3]) == ["0.attention", "0.output", "1.attention"]


def test_layers_in_a_row_are_no_outputs_beside_each_other() -> None:
    assert resolve_layers(nn.Sequential(*layers_of_widths(8, 8, 8, 8, 3))) == ["0", "2", "4"]


def test_auto_in_a_transformer_takes_blocks_though_each_holds_two_attentions() -> None:
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(64, 2, 32, batch_first=True), 3)
    assert resolve_layers(decoder) == ["layers.0", "layers.1", "layers.2"]


class Stage(nn.Module):
    def __init__(self, depth: int, **parts: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*[HuggingFaceLayer() for _ in range(depth)])
        for name, part in parts.items():
            self.add_module(name, part)


def test_auto_opens_all_stages_of_a_class_or_none() -> None:
    light, heavy = Stage(1, down=nn.Linear(12, 12)), Stage(3)
    assert resolve_layers(nn.Sequential(light, heavy)) == ["0.blocks.0", *(f"1.blocks.{i}" for i in range(3))]
    closed = nn.Sequential(*[Stage(3, rest=nn.Linear(30, 30)) for _ in range(3)])
    assert resolve_layers(closed) == ["0", "1", "2"]
    single = nn.Sequential(*[Stage(1) for _ in range(3)])
    assert resolve_layers(single) == ["0", "1", "2"]


def test_auto_keeps_a_block_whole_whose_parts_have_names_of_their_own() -> None:
    class Composed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleDict({name: HuggingFaceLayer() for name in ("mix", "window", "grid")})

    assert resolve_layers(nn.Sequential(*[Composed() for _ in range(3)])) == ["0", "1", "2"]


def test_auto_takes_all_modules_of_the_blocks_classes() -> None:
    model = nn.Module()
    model.start = HuggingFaceLayer()
    model.stages = nn.ModuleList(HuggingFaceLayer() for _ in range(2))
    model.end = model_with(block=HuggingFaceLayer(), head=nn.Linear(4, 2))
    assert resolve_layers(model) == ["start", "stages.0", "stages.1", "end.block"]


def test_auto_prefers_the_heavier_of_blocks_in_lists_and_blocks_beside_each_other() -> None:
    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = nn.Linear(32, 32), nn.Linear(32, 32)

    model = nn.Module()
    for name in ("first", "second", "third"):
        model.add_module(name, Wide())
    model.heads = nn.ModuleList(HuggingFaceLayer() for _ in range(4))
    assert resolve_layers(model) == ["first", "second", "third"]


def test_auto_takes_a_shared_module_once() -> None:
    block = HuggingFaceLayer()
    model = nn.ModuleList([block, HuggingFaceLayer(), block, HuggingFaceLayer()])
    assert resolve_layers(model) == ["0", "1", "3"]


def test_auto_in_alike_sequences_takes_the_sequences() -> None:
    def convolutions() -> nn.Module:
        return nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())

    assert resolve_layers(nn.Sequential(*[convolutions() for _ in range(3)], nn.Linear(4, 2))) == ["0", "1", "2"]


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))


def model_with(**parts: nn.Module) -> nn.Module:
    model = nn.Module()
    for name, part in parts.items():
        model.add_module(name, part)
    return model


@pytest.mark.parametrize("hold", [lambda blocks: nn.Sequential(*blocks), nn.ModuleList])
def test_auto_takes_alike_sequences_at_the_top_and_in_an_attribute(hold: Callable[[list[nn.Module]], Any]) -> None:
    def blocks() -> nn.Module:
        return hold([perceptron() for _ in range(4)])

    assert resolve_layers(blocks()) == ["0", "1", "2", "3"]
    assert resolve_layers(model_with(net=blocks(), head=nn.Linear(8, 3))) == ["net.0", "net.1", "net.2", "net.3"]
    assert resolve_layers(model_with(a=model_with(b=blocks()))) == ["a.b.0", "a.b.1", "a.b.2", "a.b.3"]


def test_auto_takes_alike_sequences_between_single_layers() -> None:
    net = nn.Sequential(nn.Linear(3, 8), perceptron(), perceptron(), perceptron(), nn.ReLU(), nn.Linear(8, 2))
    assert resolve_layers(net) == ["1", "2", "3"]
    assert resolve_layers(model_with(net=net)) == ["net.1", "net.2", "net.3"]


def test_auto_opens_sequences_of_alike_sequences() -> None:
    stages = nn.Sequential(*[nn.Sequential(*[perceptron() for _ in range(depth)]) for depth in (2, 2, 3)])
    found = [f"{stage}.{block}" for stage, depth in enumerate((2, 2, 3)) for block in range(depth)]
    assert resolve_layers(stages) == found
    assert resolve_layers(model_with(stages=stages)) == [f"stages.{name}" for name in found]


def test_auto_does_not_take_lists_that_cannot_be_called() -> None:
    pairs = nn.ModuleList(nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)]) for _ in range(3))
    assert resolve_layers(pairs) == ["0.0", "0.1", "1.0", "1.1", "2.0"]
    assert resolve_layers(model_with(layers=pairs)) == [
        f"layers.{name}" for name in ("0.0", "0.1", "1.0", "1.1", "2.0")
    ]


def test_alike_sequences_before_other_blocks_of_their_list_are_blocks_however_few() -> None:
    stage = nn.Sequential(*[HuggingFaceLayer() for _ in range(5)])
    model = model_with(blocks=nn.Sequential(perceptron(), perceptron(), stage))
    assert resolve_layers(model) == ["blocks.0", "blocks.1", *(f"blocks.2.{i}" for i in range(5))]


def test_auto_keeps_a_block_whole_that_holds_alike_sequences() -> None:
    blocks = [model_with(branches=nn.ModuleList([perceptron(), perceptron()])) for _ in range(3)]
    assert resolve_layers(nn.Sequential(*blocks)) == ["0", "1", "2"]


def test_alike_sequences_are_no_blocks_where_most_layers_are_elsewhere() -> None:
    extra = nn.ModuleList(perceptron() for _ in range(3))
    plain = nn.Sequential(*layers_of_widths(*[8] * 8))
    found = resolve_layers(model_with(trunk=plain, extra=extra))
    assert found == [*(f"trunk.{2 * i}" for i in range(7)), *(f"extra.{i}.{j}" for i in range(3) for j in (0, 2))][:-1]
    blocks = nn.Sequential(*[HuggingFaceLayer() for _ in range(4)])
    assert resolve_layers(model_with(trunk=blocks, extra=extra)) == ["trunk.0", "trunk.1", "trunk.2", "trunk.3"]


def test_auto_takes_single_layers_where_alike_sequences_hold_one_each() -> None:
    net = nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(4)])
    assert resolve_layers(model_with(net=net)) == ["net.0.0", "net.1.0", "net.2.0"]


def test_lazy_modules_are_refused() -> None:
    with pytest.raises(ValueError, match=r"initialised parameters, got 0\.weight, 0\.bias without a shape; run"):
        resolve_layers(nn.Sequential(nn.LazyLinear(2), nn.Linear(2, 2)))


def test_auto_without_weights_takes_every_layer() -> None:
    assert resolve_layers(nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Softmax(dim=1))) == ["0", "1", "2"]


@pytest.mark.parametrize(
    "idle", [nn.Dropout(), nn.AlphaDropout(), nn.Identity(), nn.Flatten(), nn.MSELoss(), torchmetrics.MeanMetric()]
)
def test_auto_does_not_count_what_does_nothing_in_evaluation(idle: nn.Module) -> None:
    assert resolve_layers(nn.Sequential(nn.ReLU(), idle, nn.Tanh(), nn.Softmax(dim=1))) == ["0", "2", "3"]


def test_auto_without_layers_raises() -> None:
    with pytest.raises(ValueError, match="without two layers in a row, got 'auto' for Linear"):
        resolve_layers(nn.Linear(2, 2))


def test_patterns_match_whole_names() -> None:
    model = timm.create_model("vit_tiny_patch16_224", depth=11)
    assert resolve_layers(model, "blocks.*") == [f"blocks.{i}" for i in range(11)]
    assert resolve_layers(model, "blocks.1") == ["blocks.1"]
    assert resolve_layers(model, "blocks.[0-2].mlp") == ["blocks.0.mlp", "blocks.1.mlp", "blocks.2.mlp"]
    assert resolve_layers(model, "**.mlp.fc1") == [f"blocks.{i}.mlp.fc1" for i in range(11)]


def test_names_come_once_and_in_the_models_order() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    assert resolve_layers(model, ["2", "0", "2", "*"]) == ["0", "1", "2"]


def test_unknown_name_lists_close_matches() -> None:
    with pytest.raises(ValueError, match=r"got 'layer5\.0', which matches none; close matches are layer[1-4]\.0"):
        resolve_layers(timm.create_model("resnet18"), ["layer1.0", "layer5.0"])


class Bracketed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for name in ("conv[0]", "conv0", "down*", "downwards", "a?", "ab", "**"):
            self.add_module(name, nn.Linear(2, 2))


@pytest.mark.parametrize("name", ["conv[0]", "down*", "a?", "**"])
def test_a_name_comes_before_its_reading_as_a_pattern(name: str) -> None:
    assert resolve_layers(Bracketed(), name) == [name]
    assert resolve_layers(nn.ModuleDict({"net": Bracketed()}), [f"net.{name}"]) == [f"net.{name}"]
    assert resolve_layers(Bracketed(), ["conv[0-9]"]) == ["conv0"]


@pytest.mark.parametrize("layers", [[], [3]])
def test_a_layer_that_is_not_a_name_raises(layers: list[object]) -> None:
    with pytest.raises(ValueError, match="Argument `layers` must"):
        resolve_layers(nn.Sequential(nn.Linear(2, 2)), layers)


@pytest.mark.parametrize(
    "parametrize", [nn.utils.parametrizations.spectral_norm, nn.utils.parametrizations.weight_norm]
)
def test_auto_sees_a_parametrized_layer_as_the_layer(parametrize: Any) -> None:
    linear = [parametrize(nn.Linear(6, 6)) for _ in range(4)]
    assert resolve_layers(nn.Sequential(*linear[:2], nn.ReLU(), *linear[2:])) == ["0", "1", "3"]
    blocks = nn.ModuleList(nn.ModuleDict({"a": parametrize(nn.Linear(4, 4)), "b": nn.Linear(4, 4)}) for _ in range(2))
    assert not any("parametrizations" in name for name in resolve_layers(blocks))


@pytest.mark.parametrize("layers", [7, None, [], [""], ["0", 3]])
def test_what_is_no_name_is_refused_wherever_layers_are_taken(layers: Any) -> None:
    model = nn.Sequential(*layers_of_widths(4, 4, 4))
    for take in (
        lambda: resolve_layers(model, layers),
        lambda: analyze(model, torch.zeros(4, 4), layers),
        lambda: TopoLipMetric(layers=layers),
        lambda: TopoLipRegularizer(layers=layers),
    ):
        with pytest.raises(ValueError, match=r"`layers` must be 'auto', a pattern such as .* or a list of names, got"):
            take()
