"""Which layers of a network to look at: names, patterns, or the repeated blocks found by their structure."""

from __future__ import annotations

import difflib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from torch import nn

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_BLOCK_SHARE = 0.5
_FEWEST = 2
_PARAMETRIZATIONS = "parametrizations"


def resolve_layers(model: nn.Module, layers: str | Sequence[str] = "auto") -> list[str]:
    """Find the names of the layers that a smoothness analysis looks at.

    Args:
        model: Any module.
        layers: One of

            - ``"auto"``: the repeated blocks of the network, such as ``blocks.*`` of a ViT, ``layerN.M`` of a ResNet,
              ``stages.N.blocks.M`` of a Swin or ConvNeXt, the encoder layers of a transformer; where there are none,
              the layers with weights, and where there are none of those either all layers
            - a pattern such as ``"blocks.*"``: a star stands for one name between dots, ``**`` for any number of them
            - a list of names and patterns

    Returns:
        Names as in ``model.named_modules()``, without repetition, in the order in which the model registers them,
        which is the order of execution for all but exotic models. An analysis sorts them by their first execution.

    Raises:
        ValueError: If a name or pattern matches no module; the message lists close matches. If ``"auto"`` finds fewer
            than two layers.

    Example:
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> resolve_layers(model)
        ['0', '2', '4']
        >>> resolve_layers(model, ["1", "3"])
        ['1', '3']
    """
    if isinstance(layers, str) and layers == "auto":
        return _repeated_blocks(model)
    patterns = [layers] if isinstance(layers, str) else list(layers)
    names = [name for name, _ in model.named_modules() if name]
    chosen = {name for pattern in patterns for name in _matching(pattern, names)}
    if not chosen:
        raise ValueError(f"Argument `layers` must be 'auto', a pattern or a list of names, got {layers!r}.")
    return [name for name in names if name in chosen]


def short_names(names: Sequence[str]) -> list[str]:
    """Leave out the parents that all names share, for people to read.

    Args:
        names: Names as in ``model.named_modules()``.

    Returns:
        The names from where they differ.

    Example:
        >>> short_names(["<input>", "network.layer1.0", "network.layer2.0"])
        ['<input>', 'layer1.0', 'layer2.0']
    """
    grandparents = [name.split(".")[:-2] for name in names if "." in name]
    levels = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*grandparents, strict=False))
    prefix = "".join(f"{level[0]}." for level in levels)
    return [name.removeprefix(prefix) for name in names]


def _matching(pattern: object, names: list[str]) -> list[str]:
    if not isinstance(pattern, str):
        raise ValueError(f"Argument `layers` must hold names or patterns as text, got {pattern!r}.")
    found = [name for name in names if _fits(name.split("."), pattern.split("."))]
    if not found:
        close = difflib.get_close_matches(pattern, names, n=5, cutoff=0.4) or names[:5]
        raise ValueError(
            f"Argument `layers` must name modules of the model, got {pattern!r}, which matches none; "
            f"close matches: {', '.join(close)}."
        )
    return found


def _fits(name: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "**":
        return any(_fits(name[start:], pattern[1:]) for start in range(len(name) + 1))
    return bool(name) and fnmatchcase(name[0], pattern[0]) and _fits(name[1:], pattern[1:])


def _repeated_blocks(model: nn.Module) -> list[str]:
    for search in (_blocks_in_containers, _alike_siblings, _layers_with_weights, _layers):
        found = list(dict.fromkeys(search(model)))
        if len(found) >= _FEWEST:
            return found
    raise ValueError(
        "Argument `layers='auto'` needs a model with at least two layers in a row, found none in "
        f"{type(model).__name__}; name the layers, for example layers=['encoder', 'decoder']."
    )


def _blocks_in_containers(module: nn.Module, prefix: str = "") -> list[str]:
    """The members of containers, or what is inside those members that are stages of alike blocks themselves."""
    found: list[str] = []
    for name, child in _named_children(module, prefix):
        if isinstance(module, _CONTAINERS) and not _is_unit(child):
            found += _blocks_of_stage(child, name) or ([name] if not isinstance(child, _CONTAINERS) else [])
        elif not _is_unit(child):
            found += _blocks_in_containers(child, name)
    return found


def _blocks_of_stage(module: nn.Module, name: str) -> list[str]:
    if isinstance(module, _CONTAINERS):
        return _blocks_in_containers(module, name)
    inner = _blocks_in_containers(module, name)
    relative = [module.get_submodule(block[len(name) + 1 :]) for block in inner]
    alike = len({type(block) for block in relative}) == 1 and not isinstance(relative[0], _CONTAINERS)
    return inner if alike and sum(map(_weight, relative)) > _BLOCK_SHARE * _weight(module) else []


def _alike_siblings(model: nn.Module) -> list[str]:
    """Composite modules of the kinds that occur more than once, without those inside another such."""
    composite = [
        (name, module)
        for name, module in _submodules(model)
        if not _is_leaf(module) and _weight(module) and type(module) not in _CONTAINERS
    ]
    kinds = Counter(type(module) for _, module in composite)
    alike = [name for name, module in composite if kinds[type(module)] >= _FEWEST]
    return [name for name in alike if not any(name.startswith(f"{other}.") for other in alike)]


def _layers_with_weights(model: nn.Module) -> list[str]:
    leaves = ((name, module) for name, module in _submodules(model) if _is_leaf(module))
    return [name for name, module in leaves if any(parameter.ndim > 1 for parameter in module.parameters())]


def _layers(model: nn.Module) -> list[str]:
    return [name for name, module in _submodules(model) if _is_leaf(module)]


def _submodules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in model.named_modules():
        if name and _PARAMETRIZATIONS not in name.split("."):
            yield name, module


def _is_leaf(module: nn.Module) -> bool:
    return not any(_named_children(module, ""))


def _named_children(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if name != _PARAMETRIZATIONS:
            yield (f"{prefix}.{name}" if prefix else name), child


def _is_unit(module: nn.Module) -> bool:
    """One layer with its normalisation and activation, or a plain sequence of such."""
    children = [child for _, child in _named_children(module, "")]
    matrices = sum(parameter.ndim > 1 for parameter in module.parameters())
    return matrices <= 1 or not children or (isinstance(module, _CONTAINERS) and all(map(_is_unit, children)))


def _weight(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
