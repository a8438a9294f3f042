"""Any model with no argument: families of networks run, and what they put out is read as it is meant."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
import transformers
from helpers.families import (
    GAN,
    IDS,
    IMAGES,
    MASK,
    SEQUENCES,
    TEXT,
    Autoencoder,
    D,
    Matcher,
    N,
    Recurrent,
    Residual,
    T,
    UNet,
    hugging_face,
)
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.data import DataLoader

from lightning_topolip import SmoothnessReport, TopoLipCallback, analyze, distance_matrix
from lightning_topolip.network.measure import measure
from lightning_topolip.network.reductions import point_cloud
from lightning_topolip.network.subject import Subject
from lightning_topolip.topology.settings import Settings


@pytest.fixture(autouse=True)
def _fixed_weights_and_one_thread() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


def quick(model: nn.Module, batch: Any, **settings: Any) -> SmoothnessReport:
    return analyze(model, batch, halvings=0, **settings)


def distances_of(
    model: nn.Module, batch: Any, layers: Any = "auto", mask: Any = "auto", **settings: Any
) -> dict[str, Any]:
    measured = measure(model, batch, Subject(layers, settings=Settings(halvings=0, **settings), mask=mask))
    assert not measured.failures
    return measured.distances


def numbered(pattern: str, count: int) -> tuple[str, ...]:
    return tuple(pattern.replace("N", str(index)) for index in range(count))


# Hugging Face


HUGGING_FACE = {
    "bert": numbered("bert.encoder.layer.N", 3),
    "gpt2": numbered("transformer.h.N", 3),
    "t5": (*numbered("encoder.block.N", 2), *numbered("decoder.block.N", 2)),
    "albert": tuple(f"encoder.albert_layer_groups.0{call}" for call in ("", "#2", "#3")),
    "vit": ("<input>", *numbered("vit.layers.N", 3)),
}


@pytest.mark.parametrize("kind", HUGGING_FACE)
def test_hugging_face_models(kind: str) -> None:
    model, batch = hugging_face(kind)
    report = quick(model, transformers.BatchEncoding(batch))
    assert report.layers == HUGGING_FACE[kind]
    assert math.isfinite(report.score)


def test_layers_of_a_hugging_face_model_are_its_hidden_states() -> None:
    model, batch = hugging_face("bert")
    with torch.no_grad():
        states = model.eval()(**batch, output_hidden_states=True).hidden_states[1:]
    real = MASK[..., None]
    for found, state in zip(distances_of(model, batch).values(), states, strict=True):
        np.testing.assert_array_equal(found, distance_matrix((state * real).flatten(1)).numpy())


def test_masked_tokens_reach_the_other_tokens_of_no_layer() -> None:
    model, batch = hugging_face("bert")
    other = {**batch, "input_ids": torch.where(MASK == 1, IDS, 3)}
    for mask, same in (("auto", True), (None, False)):
        first, second = distances_of(model, batch, mask=mask), distances_of(model, other, mask=mask)
        assert all(np.allclose(first[name], second[name], atol=1e-5) for name in first) == same


def test_a_lightning_module_around_a_hugging_face_model_trains_with_the_callback_alone() -> None:
    class Classifier(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = hugging_face("bert")[0]

        def forward(self, **inputs: Tensor) -> Any:
            return self.network(**inputs)

        def training_step(self, batch: Any, index: int) -> Any:
            return self(**batch).loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    samples = [{name: values[index] for name, values in TEXT.items()} for index in range(N)]
    callback = TopoLipCallback(on_error="raise", figures=False)
    options: dict[str, Any] = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False)
    trainer = Trainer(max_epochs=1, accelerator="cpu", callbacks=[callback], enable_model_summary=False, **options)
    trainer.fit(Classifier(), DataLoader(samples, batch_size=4))
    assert list(callback.history.last.layers) == [f"network.{name}" for name in HUGGING_FACE["bert"]]
    assert math.isfinite(callback.history.last.score)


# torchvision and timm


TORCHVISION = {
    "resnet18": ("layer1.0", "layer4.1", 8),
    "densenet121": ("features.denseblock1.denselayer1", "features.denseblock4.denselayer16", 58),
    "mobilenet_v3_small": ("features.1", "features.11", 11),
    "efficientnet_b0": ("features.1.0", "features.7.0", 16),
    "shufflenet_v2_x0_5": ("stage2.0", "stage4.3", 16),
    "squeezenet1_1": ("features.3", "features.12", 8),
    "regnet_y_400mf": ("trunk_output.block1.block1-0", "trunk_output.block4.block4-5", 16),
    "googlenet": ("inception3a", "inception5b", 9),
    "convnext_tiny": ("features.1.0", "features.7.2", 18),
    "swin_t": ("features.1.0", "features.7.1", 12),
}


NO_SLOW_START = {name: {"init_weights": False} for name in ("googlenet", "inception_v3")}
COSTLY = ("densenet121", "efficientnet_b0", "regnet_y_400mf", "convnext_tiny", "swin_t")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in COSTLY else ()) for name in TORCHVISION]
)
def test_torchvision_models(name: str) -> None:
    report = quick(getattr(torchvision.models, name)(weights=None, **NO_SLOW_START.get(name, {})), IMAGES[:8])
    layers = report.layers[1:]
    assert (layers[0], layers[-1], len(layers)) == TORCHVISION[name]
    assert math.isfinite(report.score)


TIMM = {
    "swin_tiny_patch4_window7_224": ({"img_size": 32, "window_size": 4, "embed_dim": 24, "depths": (1, 1, 2, 1)}, 5),
    "davit_tiny": ({"depths": (1, 1, 2, 1), "embed_dims": (8, 16, 32, 64), "num_heads": (1, 2, 4, 8)}, 10),
    "tnt_s_legacy_patch16_224": ({"img_size": 32, "depth": 3}, 3),
    "xcit_nano_12_p8_224": ({"img_size": 32, "depth": 3}, 5),
    "gmixer_12_224": ({"img_size": 32}, 12),
    "convnext_atto": ({"depths": (1, 1, 2, 1), "dims": (8, 16, 32, 64)}, 5),
    "mobilevit_xxs": ({}, 10),
    "regnetx_002": ({}, 13),
    "dla46x_c": ({}, 4),
}


@pytest.mark.parametrize("name", TIMM)
def test_timm_models(name: str) -> None:
    options, count = TIMM[name]
    report = quick(timm.create_model(name, num_classes=5, **options), IMAGES[:8])
    assert len(report.layers) == 1 + count
    assert math.isfinite(report.score)
    assert not report.failures


# Networks without lists of blocks


def test_a_unet_is_followed_down_and_up() -> None:
    report = quick(UNet(), IMAGES)
    assert report.layers == ("<input>", "start", "down1.1", "down2.1", "up1.conv", "up2.conv")
    assert math.isfinite(report.score)


def test_an_autoencoder_is_followed_up_to_its_output() -> None:
    report = quick(Autoencoder(), SEQUENCES[:, 0])
    assert report.layers == ("<input>", "encoder.0", "encoder.2", "decoder.0")


def test_of_two_networks_the_one_that_runs_is_followed() -> None:
    generated = quick(GAN(), SEQUENCES[:, 0])
    assert generated.layers == ("<input>", *numbered("generator.N", 3))
    judged = quick(GAN(), SEQUENCES[:, 0], forward_fn=lambda model, batch: model.discriminator(batch))
    assert judged.layers == ("<input>", *numbered("discriminator.N", 3))
    assert not judged.failures


def test_the_next_set_of_layers_gets_the_probe_as_it_was() -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(D, D), nn.Linear(D, D))
    found = distances_of(model, SEQUENCES[:, 0])
    assert list(found) == ["<input>", "0", "1", "2"]
    np.testing.assert_array_equal(found["<input>"], distance_matrix(SEQUENCES[:, 0]).numpy())


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: torch.compile(model, backend="eager")])
def test_a_model_of_two_inputs_takes_both(wrap: Any) -> None:
    left, right = SEQUENCES[:, 0], SEQUENCES[:, 1]
    tupled = quick(wrap(Matcher()), (left, right, torch.zeros(N)))
    named = quick(wrap(Matcher()), {"right": right, "left": left, "label": torch.zeros(N)})
    assert tupled.layers == named.layers == ("<input>", *numbered("blocks.N", 3))
    np.testing.assert_array_equal(tupled.topology[0].raw[0], named.topology[0].raw[0])


def test_a_label_is_not_the_input() -> None:
    class Regression(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Embedding(50, 4), nn.Linear(4, 4), nn.Linear(4, 1))

        def forward(self, ids: Tensor, labels: Tensor | None = None) -> Tensor:
            return self.layers(ids)

    assert "<input>" not in quick(Regression(), {"labels": torch.randn(N), "ids": IDS}).layers


def test_networks_without_parameters() -> None:
    report = quick(nn.Sequential(nn.Tanh(), nn.Flatten(), nn.Softmax(dim=1)), SEQUENCES)
    assert report.layers == ("<input>", "0", "2")


def test_a_lazy_network_is_refused_before_it_changes() -> None:
    model = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(4))
    with pytest.raises(ValueError, match=r"must have initialised parameters, got 0\.weight, 0\.bias, 2\.weight"):
        analyze(model, SEQUENCES)
    assert isinstance(model[0], nn.LazyLinear)


@pytest.mark.filterwarnings("ignore")
def test_quantised_layers_are_followed() -> None:
    plain = nn.Sequential(*[nn.Linear(D, D) for _ in range(3)])
    quantised = torch.ao.quantization.quantize_dynamic(plain, {nn.Linear})
    report = quick(quantised, SEQUENCES[:, 0])
    assert report.layers == ("<input>", "0", "1", "2")
    assert report.curve == pytest.approx(quick(plain, SEQUENCES[:, 0]).curve, abs=0.05)


# Samples that are not the first axis


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_give_the_same_whichever_axis_holds_the_samples(kind: type[nn.RNNBase]) -> None:
    samples_first, sequence_first = Recurrent(kind, batch_first=True), Recurrent(kind, batch_first=False)
    sequence_first.load_state_dict(samples_first.state_dict())
    expected = distances_of(samples_first, IDS)
    found = distances_of(sequence_first, IDS)
    assert list(found) == list(expected) == ["embedding", "first", "second"]
    for name, matrix in found.items():
        np.testing.assert_allclose(matrix, expected[name], rtol=1e-5)


def test_the_flag_decides_where_the_axes_are_equally_long() -> None:
    ids = torch.randint(0, 50, (T, T))
    samples_first, sequence_first = Recurrent(nn.LSTM, batch_first=True), Recurrent(nn.LSTM, batch_first=False)
    sequence_first.load_state_dict(samples_first.state_dict())
    expected = distances_of(samples_first, ids)
    measured = measure(sequence_first, ids, Subject(["embedding", "first", "second"], settings=Settings(halvings=0)))
    for name in ("first", "second"):
        np.testing.assert_allclose(measured.distances[name], expected[name], rtol=1e-5)
    assert set(measured.failures) == {"embedding"}
    assert "either axis could be that of the 6 samples" in measured.failures["embedding"]


def test_attention_layers_give_the_same_whichever_axis_holds_the_samples() -> None:
    def encoder(batch_first: bool) -> nn.Module:
        return nn.TransformerEncoder(
            nn.TransformerEncoderLayer(D, 2, 16, batch_first=batch_first), 3, enable_nested_tensor=False
        )

    class SequenceFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder(batch_first=False)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.encoder(tokens.transpose(0, 1)).transpose(0, 1)

    plain, turned = encoder(batch_first=True), SequenceFirst()
    turned.encoder.load_state_dict(plain.state_dict())
    expected = distances_of(plain, SEQUENCES)
    for name, matrix in distances_of(turned, SEQUENCES).items():
        np.testing.assert_allclose(matrix, expected[name.removeprefix("encoder.")], rtol=1e-4)
    with pytest.raises(ValueError, match="must have its samples first, got sequences of length 6 first and 12 samples"):
        analyze(turned.encoder, SEQUENCES.transpose(0, 1))


@pytest.mark.parametrize("batch_first", [True, False])
def test_packed_sequences_are_padded_with_zeros(batch_first: bool) -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.LSTM(D, D, batch_first=batch_first) for _ in range(3))

        def forward(self, tokens: Tensor, lengths: Tensor) -> list[Tensor]:
            packed = pack_padded_sequence(tokens, lengths, batch_first=True, enforce_sorted=False)
            states = []
            for layer in self.layers:
                packed, _ = layer(packed)
                states.append(pad_packed_sequence(packed, batch_first=True)[0])
            return states

    model, batch = Packed(), (SEQUENCES, MASK.sum(dim=1))
    with torch.no_grad():
        states = model(*batch)
    found = distances_of(model, batch)
    for index, state in enumerate(states):
        assert not state[MASK == 0].any()
        np.testing.assert_array_equal(found[f"layers.{index}"], distance_matrix(state.flatten(1)).numpy())
    with pytest.raises(ValueError, match="must hold padded sequences"):
        analyze(model, pack_padded_sequence(*batch, batch_first=True, enforce_sorted=False))


def test_a_recurrent_cell_is_a_layer_at_every_time() -> None:
    class Unrolled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.GRUCell(D, 5)
            self.head = nn.Linear(5, 2)

        def forward(self, tokens: Tensor) -> Tensor:
            state = None
            for token in tokens.unbind(dim=1):
                state = self.cell(token, state)
            return self.head(state)

    report = quick(Unrolled(), SEQUENCES)
    assert report.layers == ("<input>", "cell", *(f"cell#{step}" for step in range(2, T + 1)))


# Outputs with another number of rows or tokens


class Windows(nn.Module):
    """Two blocks on windows of two tokens, merged into the batch; samples before and after."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Residual(), Residual())

    def forward(self, tokens: Tensor) -> Tensor:
        return self.blocks(tokens.reshape(-1, 2, D)).reshape(tokens.shape)


def test_the_module_around_windows_stands_in_for_them() -> None:
    model = nn.Sequential(*[Windows() for _ in range(3)])
    report = quick(model, SEQUENCES)
    assert report.layers == ("<input>", "0", "1", "2")
    assert not report.failures
    named = quick(model, SEQUENCES, layers=["0", "1", "2", "1.blocks.0"])
    assert named.layers == report.layers
    assert "(36, 2, 8), not one row for each of 12 samples" in named.failures["1.blocks.0"]


def test_one_block_on_windows_among_others_is_replaced_alone() -> None:
    blocks = nn.ModuleList([Residual(), Windows(), Residual(), Residual()])
    assert quick(nn.Sequential(*blocks), SEQUENCES).layers == ("<input>", "0", "1", "2", "3")


def test_experts_are_replaced_by_the_block_that_holds_them() -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts = nn.ModuleList(Residual() for _ in range(3))

        def forward(self, tokens: Tensor) -> Tensor:
            flat = tokens.reshape(-1, D)
            parts = [expert(part) for expert, part in zip(self.experts, flat.split(20), strict=False)]
            return torch.cat([*parts, flat[60:]]).reshape(tokens.shape)

    report = quick(nn.Sequential(*[Experts() for _ in range(3)]), SEQUENCES)
    assert report.layers == ("<input>", "0", "1", "2")


def test_blocks_that_change_the_number_of_tokens_are_flattened() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = nn.Linear(D, D), nn.Linear(D, D)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.outer(torch.relu(self.inner(tokens)))[:, : max(tokens.shape[1] // 2, 1)]

    report = quick(nn.Sequential(*[Pooled() for _ in range(3)]), SEQUENCES)
    assert report.layers == ("<input>", "0", "1", "2")
    assert math.isfinite(report.score)


def test_few_blocks_are_followed_by_their_parts() -> None:
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(D, 2, 16, batch_first=True), 2)
    parts = ("self_attn", "linear1", "linear2")
    expected = tuple(f"layers.{layer}.{part}" for layer in range(2) for part in parts)[:-1]
    assert quick(model, SEQUENCES).layers == ("<input>", *expected)


@pytest.mark.parametrize(("name", "layout"), [("swin_tiny_patch4_window7_224", "last"), ("convnext_atto", "first")])
def test_the_mean_is_over_positions_wherever_the_channels_are(name: str, layout: str) -> None:
    options, _ = TIMM[name]
    model, outputs = timm.create_model(name, **options), []
    layers = [layer for layer in distances_of(model, IMAGES) if layer != "<input>"]
    for layer in layers:
        model.get_submodule(layer).register_forward_hook(lambda module, inputs, output: outputs.append(output))
    found = distances_of(model, IMAGES, layers, reduction="mean")
    for layer, output in zip(layers, outputs, strict=True):
        cloud = output.mean(dim=(1, 2) if layout == "last" else (2, 3))
        np.testing.assert_allclose(found[layer], distance_matrix(cloud).numpy(), rtol=1e-5)


def test_the_mean_of_a_one_dimensional_convolution_is_over_its_positions() -> None:
    model = nn.Sequential(*[nn.Conv1d(T, T, 3, padding=1) for _ in range(3)])
    found = distances_of(model, SEQUENCES, reduction="mean")
    with torch.no_grad():
        expected = distance_matrix(point_cloud(model(SEQUENCES).mean(dim=2))).numpy()
    np.testing.assert_allclose(found["2"], expected, rtol=1e-5)
