"""The layers that an analysis looks at: names, patterns, or the repeated blocks of the network."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from lightning_topolip.network.blocks import FEWEST_LAYERS, levels
from lightning_topolip.network.tree import content, is_wrapped

_FEWEST = 2


def resolve_layers(model: nn.Module, layers: str | Sequence[str] = "auto") -> list[str]:
    """Resolve names, patterns or ``"auto"`` to the names of the layers that an analysis looks at.

    Args:
        model: Any module.
        layers: One of

            - ``"auto"``: the repeated blocks of the network, such as ``blocks.*`` of a ViT, ``layerN.M`` of a ResNet,
              ``stages.N.blocks.M`` of a Swin or ConvNeXt, the encoder layers of a transformer; if there are fewer than
              three, their parts, the layers with weights, or all layers, each without what computes the outputs (the
              last layer with weights, or the heads of several tasks in an `nn.ModuleDict`), see `levels`
            - a pattern such as ``"blocks.*"``: a star stands for one name between dots, ``**`` for any number of them
            - a list of names and patterns; a module whose name is the pattern itself comes before what it matches

    Returns:
        Names as in `named_layers`, without repetition, in the order of registration, which is the order of execution in
        all but exotic models. An analysis sorts them by their first execution.

    Raises:
        ValueError: If a name or pattern matches no module; the message lists close matches. If ``"auto"`` finds fewer
            than two layers.

    Example:
        >>> from torch import nn
        >>> model = nn.Sequential(*[nn.Linear(4, 4) for _ in range(4)])
        >>> resolve_layers(model)
        ['0', '1', '2']
        >>> resolve_layers(model, ["1", "3"])
        ['1', '3']
    """
    candidates = candidate_layers(model, layers)
    names = next((names for names in candidates if len(names) >= FEWEST_LAYERS), max(candidates, key=len))
    if layers == "auto" and len(names) < _FEWEST:
        raise ValueError(_no_layers(model))
    return names


def candidate_layers(model: nn.Module, layers: str | Sequence[str] = "auto") -> list[list[str]]:
    """Return the sets of layers among which a run of the network decides, the best first.

    For ``"auto"`` they are the `levels`, otherwise there is one.

    Raises:
        ValueError: As `resolve_layers`.
    """
    require_layers(layers)
    _require_initialised(model)
    if isinstance(layers, str) and layers == "auto":
        candidates = levels(model)
        if not candidates:
            raise ValueError(_no_layers(model))
        return candidates
    patterns = [layers] if isinstance(layers, str) else list(layers)
    names = list(named_layers(model))
    matching = {name for pattern in patterns for name in _matching(pattern, names)}
    return [[name for name in names if name in matching]]


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the submodules by name, in the order of registration, with names that wrappers do not change.

    Compiled, sharded, checkpointed and distributed modules are inside wrappers, which add parts such as ``_orig_mod``
    to the names in ``model.named_modules()``. Here a wrapper and its content are one module, the wrapper.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.compile(torch.nn.Sequential(torch.nn.Linear(2, 2))))
        >>> list(dict(model.named_modules())), list(named_layers(model))
        (['', '0', '0._orig_mod', '0._orig_mod.0'], ['0', '0.0'])
    """
    modules: dict[str, nn.Module] = {}
    parents = {"": ("", model)}
    for name, module in model.named_modules():
        outer, _, own = name.rpartition(".")
        plain, parent = parents[outer]
        if name and not is_wrapped(parent, own):
            plain = f"{plain}.{own}" if plain else own
        parents[name] = (plain, module)
        if plain:
            modules.setdefault(plain, module)
    return modules


def _matching(pattern: object, names: list[str]) -> list[str]:
    if not isinstance(pattern, str):
        raise ValueError(f"Argument `layers` must hold names or patterns as strings, got {pattern!r}.")
    if pattern in names:
        return [pattern]
    matching = [name for name in names if _fits(name.split("."), pattern.split("."))]
    if not matching:
        close = difflib.get_close_matches(pattern, names, n=5, cutoff=0.4) or names[:5]
        raise ValueError(
            f"Argument `layers` must name modules of the model, got {pattern!r}, which matches none; "
            f"close matches are {', '.join(close)}."
        )
    return matching


def _fits(name: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "**":
        return any(_fits(name[start:], pattern[1:]) for start in range(len(name) + 1))
    return bool(name) and fnmatchcase(name[0], pattern[0]) and _fits(name[1:], pattern[1:])


def _no_layers(model: nn.Module) -> str:
    return (
        "Argument `layers` must name the layers of a model without two layers in a row, got 'auto' for "
        f"{type(content(model)).__name__}; for example layers=['encoder', 'decoder']."
    )


def require_layers(layers: Any) -> None:
    """Raise a `ValueError` unless layers are a name or pattern, or a list of some."""
    names = [layers] if isinstance(layers, str) else layers if isinstance(layers, Sequence) else []
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(
            f"Argument `layers` must be 'auto', a pattern such as 'blocks.*' or a list of names, got {layers!r}."
        )


def require_module(model: Any) -> None:
    """Raise a `ValueError` unless a model is a module, and no class or name of one."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"Argument `model` must be a module, an instance of `torch.nn.Module`, got {model!r}.")


def _require_initialised(model: nn.Module) -> None:
    lazy = [name for name, tensor in (*model.named_parameters(), *model.named_buffers()) if is_lazy(tensor)]
    if lazy:
        raise ValueError(
            f"Argument `model` must have initialised parameters, got {', '.join(lazy[:3])} without a shape; run a "
            "batch through it first, as for its optimizer."
        )
