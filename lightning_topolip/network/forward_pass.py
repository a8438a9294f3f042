"""One pass of a probe through a network: each layer's representation is handed on while the network goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from lightning_topolip.network.blocks import content
from lightning_topolip.network.layers import named_layers
from lightning_topolip.network.representations import SequenceFirstBatchError, holds_sequence_first, representation

Take = Callable[[str, nn.Module, Tensor], None]


@contextmanager
def representations_of(
    model: nn.Module, layers: Sequence[str], samples: int, take: Take, stand_in: bool = False
) -> Iterator[dict[str, str]]:
    """Within the block, every execution of a layer calls ``take(name, module, output)`` at once.

    Args:
        model: The network.
        layers: Names of its submodules, as in `named_layers`.
        samples: Number n of samples of the probe.
        take: Called with the name, the module and its representation, shape ``(n, ...)``, see `representation`. The
            k-th execution of the same module within the block has the name ``"<layer>#k"`` from k = 2 on.
        stand_in: Whether, where no layer inside of a module gave one output a sample, the module is taken in their
            place if it does; the innermost such.

    Raises:
        SequenceFirstBatchError: If the network shows that the batch does not have its samples first.

    Yields:
        By layer why it was not taken, complete at the end of the block; without those that have a stand-in.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Flatten(0))
        >>> with representations_of(model, ["0", "1"], 5, lambda name, *_: print(name)) as failures:
        ...     _ = model(torch.zeros(5, 2))
        0
        >>> failures
        {'1': 'its output has shape (15,), not one row for each of 5 samples; it is left out'}
    """
    modules, mixed = named_layers(model), holds_sequence_first(model)
    around = {outer for layer in layers for outer in _around(layer)} - set(layers) if stand_in else set()
    taken_inside: set[str] = set()
    stand_ins: set[str] = set()
    failures: dict[str, str] = {}
    calls: Counter[str] = Counter()

    def visit(name: str, output: Any) -> None:
        calls[name] += 1
        layer = name if calls[name] == 1 else f"{name}#{calls[name]}"
        if name in around and name in taken_inside:
            taken_inside.discard(name)
            return
        module = content(modules[name])
        try:
            tensor = representation(module, output, samples, mixed)
        except SequenceFirstBatchError:
            raise
        except ValueError as reason:
            if name not in around:
                failures[layer] = str(reason)
            return
        take(layer, module, tensor)
        taken_inside.update(_around(name))
        if name in around:
            stand_ins.add(name)

    def hook_for(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda module, inputs, output: visit(name, output)

    with ExitStack() as stack:
        for name in {*layers, *around}:
            stack.callback(modules[name].register_forward_hook(hook_for(name)).remove)
        yield failures
    failures.update({layer: "did not run; it is left out" for layer in layers if not calls[layer]})
    for layer in [failed for failed in failures if stand_ins.intersection(_around(failed))]:
        del failures[layer]


def _around(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]
