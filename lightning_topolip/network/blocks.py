"""The repeated blocks of a network, found by its structure alone."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable

from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.loss import _Loss

from lightning_topolip.network.tree import Node, tree

FEWEST_LAYERS = 3
_LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_IDLE = (_DropoutNd, _Loss, nn.Identity, nn.Flatten, nn.Unflatten)
_SHARE = 0.5


def levels(model: nn.Module) -> list[list[str]]:
    """Find the sets of layers that can stand for the depth of a network, the best first.

    They are: the repeated blocks that lists hold, such as ``blocks.N`` of a ViT, with all modules of their classes
    elsewhere; the modules that a parent holds together with others of their class; if these are fewer than three, the
    parts of each; composite layers of classes that repeat; layers with weights; all layers.

    In the sets of parts and of single layers the last layer with weights does not count: it computes the output, such
    as the logits of a perceptron, which blocks do not hold either. Linear layers beside it that read what it reads are
    further outputs and do not count. The last set is all layers with these, for networks too short for any other. Never
    counted are layers that do nothing in evaluation mode (dropout, identity, flattening), losses and metrics.

    A class whose modules hold repeated blocks that make up more than half of their weights is a stage. Its blocks
    count instead of it, in every module of the class.

    Args:
        model: Any module with initialised parameters.

    Returns:
        Lists of names as in ``model.named_modules()``, none empty, none twice.

    Example:
        >>> from torch import nn
        >>> levels(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)))
        [['0', '2'], ['0', '1', '2', '3'], ['0', '1', '2', '3', '4']]
    """
    root = tree(model)
    listed, siblings = _listed_blocks(root), _sibling_blocks(root)
    candidates = [listed, siblings] if _weight(listed) > _SHARE * _weight(siblings) else [siblings, listed]
    layers = [node for node in root.walk() if not node.children and not node.is_list and not _is_idle(node)]
    outputs = _outputs([node for node in layers if node.matrices])
    parts = [_parts(nodes) for nodes in candidates if 0 < len(nodes) < FEWEST_LAYERS]
    single = [[node for node in layers if node.matrices], layers]
    candidates += [
        *(_without(nodes, outputs) for nodes in parts),
        _repeated_composites(root),
        *(_without(nodes, outputs) for nodes in single),
        layers,
    ]
    names = [tuple(node.name for node in nodes) for nodes in candidates]
    return [list(path) for path in dict.fromkeys(names) if path]


def _is_idle(node: Node) -> bool:
    module = node.module
    is_metric = hasattr(module, "update") and hasattr(module, "compute")
    return not node.size and (isinstance(module, _IDLE) or is_metric)


def _listed_blocks(root: Node) -> list[Node]:
    """Members of lists, with stages replaced by their members, and all other modules of their classes."""
    stages = {kind for kind, nodes in _by_kind(root).items() if _are_stages(nodes)}
    blocks = _opened(_members(root), _members, stages)
    kinds = {node.kind for node in blocks if not node.is_list}
    enclosing = {node.name for node in root.walk() if any(block.name.startswith(f"{node.name}.") for block in blocks)}
    names = {node.name for node in blocks}
    return _outermost(
        node for node in root.walk() if node.name in names or (node.kind in kinds and node.name not in enclosing)
    )


def _members(node: Node) -> list[Node]:
    """The outermost composite modules that a list holds."""
    sequences = Counter(child.kind for child in node.children if child.is_list and child.matrices > 1)
    members: list[Node] = []
    for child in node.children:
        held = isinstance(node.module, _LISTS)
        if held and ((not child.is_unit and not child.is_list) or (child.is_unit and sequences[child.kind] > 1)):
            members.append(child)
        elif not child.is_unit:
            members += _members(child)
    return members


def _are_stages(nodes: list[Node]) -> bool:
    """Whether modules of a class hold numbered blocks, some of them alike, and little else."""
    inner = [[member for member in _members(node) if _is_numbered(member.name[len(node.name) :])] for node in nodes]
    repeated = any(_repeats(members) for members in inner)
    return repeated and sum(map(_weight, inner)) > _SHARE * _weight(nodes)


def _is_numbered(name: str) -> bool:
    return any(letter.isdigit() for letter in name)


def _sibling_blocks(root: Node) -> list[Node]:
    """Composite modules whose parent holds several of a class; a module that holds nothing else is a stage."""
    stages = {kind for kind, nodes in _by_kind(root).items() if all(_holds_one_kind(node) for node in nodes)}
    return _opened(_siblings(root), _composite_children, stages)


def _siblings(node: Node) -> list[Node]:
    composites = _composite_children(node)
    if _repeats(composites) and not node.is_list:
        return composites
    return [block for child in node.children if not child.is_unit for block in _siblings(child)]


def _composite_children(node: Node) -> list[Node]:
    return [child for child in node.children if not child.is_unit and not child.is_list]


def _holds_one_kind(node: Node) -> bool:
    return len({child.kind for child in node.children}) == 1 and len(_composite_children(node)) == len(node.children)


def _opened(nodes: Iterable[Node], inside: Callable[[Node], list[Node]], stages: set[tuple[type, ...]]) -> list[Node]:
    opened: list[Node] = []
    for node in nodes:
        opened += (node.kind in stages and _opened(inside(node), inside, stages)) or [node]
    return opened


def _parts(nodes: Iterable[Node]) -> list[Node]:
    """The modules with weights inside blocks."""
    parts = [child for node in nodes for child in node.children if child.matrices]
    return [child for part in parts for child in (_parts([part]) if part.is_list else [part])]


def _outputs(layers: list[Node]) -> list[Node]:
    """The last of the layers with weights, and the linear layers before it that only stand beside it."""
    if not layers:
        return []
    last = layers[-1]
    beside = itertools.takewhile(lambda node: _reads_the_same(node, last), reversed(layers[:-1]))
    return [last, *beside]


def _reads_the_same(first: Node, second: Node) -> bool:
    """Whether two linear layers take vectors of one width, and the second cannot take those of the first."""
    if not isinstance(first.module, nn.Linear) or not isinstance(second.module, nn.Linear):
        return False
    return first.module.in_features == second.module.in_features != first.module.out_features


def _without(nodes: list[Node], others: list[Node]) -> list[Node]:
    names = {node.name for node in others}
    return [node for node in nodes if node.name not in names]


def _repeated_composites(root: Node) -> list[Node]:
    composite = [node for node in root.walk() if node.children and node.size and not node.is_list]
    kinds = Counter(node.kind for node in composite)
    return _outermost(node for node in composite if kinds[node.kind] > 1)


def _outermost(nodes: Iterable[Node]) -> list[Node]:
    outermost: list[Node] = []
    for node in nodes:
        if not any(node.name.startswith(f"{other.name}.") for other in outermost):
            outermost.append(node)
    return outermost


def _by_kind(root: Node) -> dict[tuple[type, ...], list[Node]]:
    kinds: dict[tuple[type, ...], list[Node]] = {}
    for node in root.walk():
        if not node.is_list:
            kinds.setdefault(node.kind, []).append(node)
    return kinds


def _repeats(nodes: list[Node]) -> bool:
    return len({node.kind for node in nodes}) < len(nodes)


def _weight(nodes: Iterable[Node]) -> int:
    return sum(node.size for node in nodes)
