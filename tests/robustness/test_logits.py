"""Which tensor of a model's output holds the logits, and the logits behind a softmax."""

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import GoogLeNetOutputs, InceptionOutputs

from lightning_topolip.robustness import evaluate_robustness, fgsm, pgd, predictor

CLASSES = 10


@pytest.fixture
def probe(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images, and labels that reach the last class."""
    return torch.rand(20, 3, 4, 4, generator=generator), torch.arange(20) % CLASSES


class Outputs(nn.Module):
    """A classifier whose features come first in what it returns; the weights are the same for every form."""

    def __init__(self, form: Callable[[Tensor, Tensor], Any], scale: float = 1.0) -> None:
        super().__init__()
        weights = torch.Generator().manual_seed(0)
        self.body, self.head = nn.Linear(48, 64), nn.Linear(64, CLASSES)
        for layer in (self.body, self.head):
            layer.weight.data.normal_(generator=weights)
            layer.bias.data.zero_()
        self.form, self.scale = form, scale

    def forward(self, images: Tensor) -> Any:
        features = self.body(images.flatten(1) - 0.5).relu()
        return self.form(features, self.scale * self.head(features))


@dataclass
class Result:
    features: Tensor
    logits: Tensor


class TransformersStyle(dict):
    """A mapping with attributes, as the outputs of transformers are, with states at several depths."""


Pair = namedtuple("Pair", ["embedding", "logits"])


def logits_of(model: Outputs, images: Tensor) -> Tensor:
    features = model.body(images.flatten(1) - 0.5).relu()
    return model.scale * model.head(features)


FORMS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "mapping": lambda f, z: {"features": f, "logits": z},
    "tuple": lambda f, z: (f, z),
    "list, last": lambda f, z: [f, f.sum(), z],
    "tuple, first": lambda f, z: (z, f),
    "data class": Result,
    "named tuple": Pair,
    "nested": lambda f, z: {"encoder": {"states": (f, f[:, None])}, "head": {"Logits": z}},
    "transformers": lambda f, z: TransformersStyle(loss=f.mean(), logits=z, hidden_states=(f, f)),
    "inception": lambda f, z: InceptionOutputs(z, f[:, :CLASSES]),
    "googlenet": lambda f, z: GoogLeNetOutputs(z, f[:, :CLASSES], f[:, :CLASSES]),
    "integers first": lambda f, z: (z.argmax(1), f.reshape(-1, 8, 8), z),
    "usual name": lambda f, z: {"feats": f[:, :CLASSES], "preds": z},
}


@pytest.mark.parametrize("name", FORMS)
def test_the_logits_are_found_in_what_a_model_returns(name: str, probe: tuple[Tensor, Tensor]) -> None:
    model, (images, labels) = Outputs(FORMS[name]), probe
    expected = logits_of(model, images)
    with predictor(model, labels=labels) as predict:
        assert torch.equal(predict(images), expected)
        assert (pgd(predict, images, labels, 0.2) != images).any()
    report = evaluate_robustness(model, images, labels, corruptions=[], attacks={})
    assert report.clean.correct == int((expected.argmax(1) == labels).sum())


@pytest.mark.parametrize("stated", ["num_classes", "config", "hparams"])
def test_the_number_of_classes_that_a_model_states_counts(stated: str, probe: tuple[Tensor, Tensor]) -> None:
    model = Outputs(lambda f, z: (f, z, f[:, :7]))
    setattr(model, stated, {"hparams": {"num_classes": CLASSES}}.get(stated, CLASSES))
    if stated == "config":
        model.config = type("Config", (), {"num_labels": CLASSES})()
    with predictor(model) as predict:
        assert torch.equal(predict(probe[0]), logits_of(model, probe[0]))


def test_the_user_has_the_last_word(probe: tuple[Tensor, Tensor]) -> None:
    model, (images, labels) = Outputs(lambda f, z: {"logits": f[:, :CLASSES], "main": z}), probe
    take: Callable[[Any], Tensor] = lambda output: output["main"]  # noqa: E731
    with predictor(model, logits_fn=take) as predict:
        assert torch.equal(predict(images), logits_of(model, images))
    report = evaluate_robustness(model, images, labels, corruptions=[], attacks={}, logits_fn=take)
    assert report.clean.correct == int((logits_of(model, images).argmax(1) == labels).sum())


@pytest.mark.parametrize(
    ("form", "actual"),
    [
        (lambda f, z: (f[:, :CLASSES], z), r"0 of shape \(20, 10\), 1 of shape \(20, 10\), any of which"),
        (lambda f, z: {"a": f, "b": f[:, :40]}, r"a of shape \(20, 64\), b of shape \(20, 40\), any of which"),
        (lambda f, z: {"logits": z[:, None], "pooled": f}, r"logits of shape \(20, 1, 10\), pooled"),
        (lambda f, z: f[:, :5], r"shape \(20, 5\)"),
        (lambda f, z: {"logits": z.argmax(1)}, "dict"),
        (lambda f, z: {"one": {"logits": z}, "two": {"logits": z}}, r"one.logits of shape .*, any of which"),
    ],
    ids=["same width", "no width that fits", "tokens", "fewer than the labels", "decisions", "two of the name"],
)
def test_what_came_is_named_if_nothing_tells_the_logits(
    form: Callable[[Tensor, Tensor], Any], actual: str, probe: tuple[Tensor, Tensor]
) -> None:
    with pytest.raises(ValueError, match=rf"`model` must return logits .* K >= 10 classes, got {actual}.*`logits_fn`"):
        evaluate_robustness(Outputs(form), *probe, corruptions=[], attacks={})


class Softmaxed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network, self.last = Outputs(lambda f, z: z, scale=20), nn.Softmax(dim=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.network(images))


ENDS: dict[str, Callable[[Tensor], Any]] = {
    "softmax": lambda z: torch.softmax(z, dim=1),
    "of an input by name": lambda z: nn.functional.softmax(input=z, dim=-1),
    "method": lambda z: z.softmax(1),
    "half precision": lambda z: z.softmax(1).half(),
    "log softmax": lambda z: nn.functional.log_softmax(z, 1),
    "logarithm with a floor": lambda z: (z.softmax(1) + 1e-8).log(),
    "sigmoid": torch.sigmoid,
    "sigmoid in place": lambda z: z.clone().sigmoid_(),
    "in a mapping": lambda z: {"logits": z.softmax(1)},
}


@pytest.mark.parametrize("end", ENDS)
def test_the_logits_before_a_softmax_are_attacked(end: str, probe: tuple[Tensor, Tensor]) -> None:
    images = probe[0]
    plain = Outputs(lambda f, z: z, scale=20)
    labels = plain(images).argmax(1)
    with predictor(plain) as predict:
        expected = [attack(predict, images, labels, 0.05) for attack in (fgsm, pgd)]
    with predictor(Outputs(lambda f, z: ENDS[end](z), scale=20)) as predict:
        assert torch.equal(predict(images), plain(images))
        for attack, attacked in zip((fgsm, pgd), expected, strict=True):
            assert torch.equal(attack(predict, images, labels, 0.05), attacked)
    with predictor(Softmaxed()) as predict:
        assert torch.equal(predict(images), plain(images))


def test_probabilities_without_a_softmax_become_their_logarithms(probe: tuple[Tensor, Tensor]) -> None:
    model = Outputs(lambda f, z: z.exp() / z.exp().sum(1, keepdim=True), scale=0.05)
    with predictor(model) as predict:
        assert torch.allclose(predict(probe[0]), model(probe[0]).log())


def test_ordinary_logits_are_returned_to_the_bit_and_run_once(probe: tuple[Tensor, Tensor]) -> None:
    calls = []

    def count(features: Tensor, logits: Tensor) -> Tensor:
        calls.append(features)
        return logits

    model = Outputs(count)
    with predictor(model) as predict:
        assert torch.equal(predict(probe[0]), logits_of(model, probe[0]))
        assert len(calls) == 1
    attention = Outputs(lambda f, z: z * f[:, :CLASSES].softmax(1))
    with predictor(attention) as predict:
        assert torch.equal(predict(probe[0]), attention(probe[0]))
    inside = Outputs(lambda f, z: z.abs() / 1e4)  # happens to lie in [0, 1]
    with predictor(inside) as predict:
        assert torch.equal(predict(probe[0]), inside(probe[0]))
