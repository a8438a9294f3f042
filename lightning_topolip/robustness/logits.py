"""The logits in whatever a classifier returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lightning_topolip.network.nesting import DEEPEST, named_parts
from lightning_topolip.robustness.saturation import unsaturated

LogitsFn = Callable[[Any], Tensor]
Named = tuple[str, Tensor]

_NAMES = ("logits", "logit", "class_logits", "cls_logits", "y_hat", "preds", "predictions", "outputs", "output", "out")
_CLASSES = ("num_classes", "n_classes", "num_labels")
_HINT = "pass `logits_fn`, such as lambda output: output[1], or return them as `logits`"


class Classifier:
    """A model as a function from pixels to logits, shape ``(n, K)``.

    Logits are the output itself, or what ``logits_fn`` takes from it. Otherwise they are found by their name
    (``logits`` first, then other usual ones), then as the only tensor of shape ``(n, K)``, then by the number of
    classes: the model's ``num_classes``, or one more than the largest label. If the output is the result of a softmax
    or sigmoid, the logits are its operand, see `unsaturated`.

    Args:
        model: Maps pixels to logits, or to a tuple, mapping or data class that holds them.
        logits_fn: Called with what the model returns; returns the logits.
        labels: True classes of any images, if known.
    """

    def __init__(self, model: Callable[[Tensor], Any], logits_fn: LogitsFn | None, labels: Tensor | None) -> None:
        self._model, self._logits_fn = model, logits_fn
        self._classes = _number_of_classes(model)
        self._fewest = max(2, int(labels.max()) + 1) if labels is not None and labels.numel() else 2

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the logits as float32, or float64 if the model computes in it."""
        logits = unsaturated(lambda: self._select(self._model(pixels), len(pixels)))
        return logits if logits.dtype == torch.float64 else logits.float()

    def _select(self, output: Any, n: int) -> Tensor:
        if self._logits_fn is not None:
            output = self._logits_fn(output)
        tensors = [(name, tensor) for name, tensor in _named_tensors(output) if tensor.is_floating_point()]
        possible = self._possible(tensors, n)
        for choice in (possible, self._of_stated_width(possible)):
            if len(choice) == 1:
                return choice[0][1]
        raise self._error(output, tensors, len(possible) > 1, n)

    def _possible(self, tensors: list[Named], n: int) -> list[Named]:
        """The tensors of the right shape: of those called logits, else of the first usual name, else of all."""
        called = [pair for pair in tensors if _last(pair[0]) == _NAMES[0]] or tensors
        right = [(name, x) for name, x in called if x.ndim == 2 and len(x) == n and x.shape[1] >= self._fewest]
        named = ([pair for pair in right if _last(pair[0]) == name] for name in _NAMES)
        return next((pairs for pairs in named if pairs), right)

    def _of_stated_width(self, possible: list[Named]) -> list[Named]:
        classes = self._classes or self._fewest
        return [pair for pair in possible if pair[1].shape[1] == classes]

    def _error(self, output: Any, tensors: list[Named], several: bool, n: int) -> ValueError:
        actual = ", ".join(f"{name} of shape {tuple(tensor.shape)}".removeprefix(" of ") for name, tensor in tensors)
        return ValueError(
            f"Argument `model` must return logits of shape (n, K) with n = {n} and K >= {self._fewest} classes, got "
            f"{actual or type(output).__name__}{', any of which may be the logits' if several else ''}; {_HINT}."
        )


def _named_tensors(value: Any, name: str = "", deepest: int = DEEPEST) -> Iterator[Named]:
    """Iterate over the tensors in any nesting, with their path."""
    if isinstance(value, Tensor):
        yield name, value
    for key, part in named_parts(value).items() if deepest else ():
        yield from _named_tensors(part, f"{name}.{key}" if name else str(key), deepest - 1)


def _last(path: str) -> str:
    return path.rpartition(".")[2].lower()


def _number_of_classes(model: Any) -> int | None:
    """The number of classes that a module states: its own attribute, its configuration's or its hyper-parameters'."""
    if not isinstance(model, nn.Module):
        return None
    for owner in (model, getattr(model, "config", None), getattr(model, "hparams", None)):
        for name in _CLASSES:
            stated = owner.get(name) if isinstance(owner, Mapping) else getattr(owner, name, None)
            if isinstance(stated, int) and stated > 1:
                return stated
    return None
