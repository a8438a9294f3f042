"""What "auto" finds in the families of networks that people train, and what a wrong name says."""

from typing import Any

import pytest
import timm
import torchvision
from torch import nn

from lightning_topolip.layers import resolve_layers

TIMM = {
    "vit_tiny_patch16_224": [f"blocks.{i}" for i in range(12)],
    "resnet18": [f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)],
    "convnext_atto": [f"stages.{s}.blocks.{b}" for s, n in enumerate((2, 2, 6, 2)) for b in range(n)],
    "swin_tiny_patch4_window7_224": [f"layers.{s}.blocks.{b}" for s, n in enumerate((2, 2, 6, 2)) for b in range(n)],
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


def test_auto_in_a_plain_sequence_takes_what_has_weights() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    assert resolve_layers(model) == ["0", "4"]


def test_auto_without_weights_takes_every_layer() -> None:
    assert resolve_layers(nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Softmax(dim=1))) == ["0", "1", "2"]


def test_auto_without_layers_raises() -> None:
    with pytest.raises(ValueError, match="at least two layers in a row, found none in Linear"):
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
    with pytest.raises(ValueError, match=r"got 'layer5\.0', which matches none; close matches: layer[1-4]\.0"):
        resolve_layers(timm.create_model("resnet18"), ["layer1.0", "layer5.0"])


@pytest.mark.parametrize("layers", [[], [3]])
def test_what_is_no_name_raises(layers: list[object]) -> None:
    with pytest.raises(ValueError, match="Argument `layers` must"):
        resolve_layers(nn.Sequential(nn.Linear(2, 2)), layers)


@pytest.mark.parametrize(
    "parametrize", [nn.utils.parametrizations.spectral_norm, nn.utils.parametrizations.weight_norm]
)
def test_auto_sees_a_parametrized_layer_as_the_layer(parametrize: Any) -> None:
    model = nn.Sequential(parametrize(nn.Linear(6, 6)), nn.ReLU(), parametrize(nn.Linear(6, 6)), nn.ReLU())
    assert resolve_layers(model) == ["0", "2"]
    blocks = nn.ModuleList(nn.ModuleDict({"a": parametrize(nn.Linear(4, 4)), "b": nn.Linear(4, 4)}) for _ in range(2))
    assert not any("parametrizations" in name for name in resolve_layers(blocks))
