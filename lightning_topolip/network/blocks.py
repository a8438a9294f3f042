"""The repeated blocks of a network, found by its structure alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.loss import _Loss

from lightning_topolip.network.outputs import outputs
from lightning_topolip.network.tree import Node, is_numbered, tree

FEWEST_LAYERS = 3
_IDLE = (_DropoutNd, _Loss, nn.Identity, nn.Flatten, nn.Unflatten)
_SHARE = 0.5


def levels(model: nn.Module) -> list[list[str]]:
    """Find the sets of layers that can stand for the depth of a network, the best first.

    They are: the repeated blocks that lists hold, such as ``blocks.N`` of a ViT, with all modules of their classes
    elsewhere; the modules that a parent holds together with others of their class; if these are fewer than three, the
    parts of each; composite layers of classes that repeat; layers with weights; all layers.

    `nn.Sequential` of the same structure in a list are blocks, too, if they hold more than half of the layers with
    weights. The values of an `nn.ModuleDict` are none, since they run beside each other, unless their names are
    numbered.

    What computes the outputs does not count, see `outputs`: the heads of several tasks in an `nn.ModuleDict`, or the
    last layer with weights, such as the logits of a perceptron, and linear layers that read what it reads. Then come
    the sets with the heads but for the last layer, and all layers, for networks too short for any other set. Never
    counted are layers that do nothing in evaluation mode (dropout, identity, flattening), losses and metrics.

    A class whose modules hold repeated blocks of a class that make up more than half of their weights is a stage. Its
    blocks count instead of it, in every module of the class.

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
    layers = [node for node in root.walk() if not node.children and not node.is_list and not _is_idle(node)]
    found = outputs(root, [node for node in layers if node.matrices])
    candidates = [nodes for ignored in found for nodes in _sets(root, layers, ignored)]
    names = [tuple(node.name for node in nodes) for nodes in (*candidates, layers)]
    return [list(path) for path in dict.fromkeys(names) if path]


def _sets(root: Node, layers: list[Node], ignored: list[Node]) -> list[list[Node]]:
    """The sets of layers without those that compute the outputs, the best first."""
    layers = _without(layers, ignored)
    weighted = [node for node in layers if node.matrices]
    branches = [child for node in (root, *root.walk()) if node.has_branches for child in node.children]
    found = (_listed_blocks(root), _sibling_blocks(root), _repeated_composites(root))
    listed, siblings, composites = (_without(nodes, [*ignored, *branches]) for nodes in found)
    listed = _without_few_sequences(listed, len(weighted))
    blocks = [listed, siblings] if _weight(listed) > _SHARE * _weight(siblings) else [siblings, listed]
    parts = [_without(_parts(nodes), ignored) for nodes in blocks if 0 < len(nodes) < FEWEST_LAYERS]
    return [*blocks, *parts, composites, weighted, layers]


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
    """The outermost blocks that a list holds: composite modules, and repeated sequences of layers."""
    members: list[Node] = []
    for child in node.children:
        is_composite = not child.is_unit and not child.is_list
        if (is_composite and node.is_ordered) or child in node.sequences:
            members.append(child)
        elif not child.is_unit:
            members += _members(child)
    return members


def _are_stages(nodes: list[Node]) -> bool:
    """Whether modules of a class hold numbered blocks of a class, some of them alike, and little else."""
    inner = [[block for block in _members(node) if _is_numbered_block(block, node)] for node in nodes]
    repeated = any(_repeats(members) for members in inner)
    return repeated and sum(map(_weight, inner)) > _SHARE * _weight(nodes)


def _is_numbered_block(block: Node, stage: Node) -> bool:
    return not block.is_list and is_numbered(block.name[len(stage.name) :])


def _without_few_sequences(blocks: list[Node], layers: int) -> list[Node]:
    """Blocks, without sequences in lists of nothing else if these hold at most half of the layers with weights."""
    others = [block for block in blocks if not block.is_list]
    alone = [block for block in blocks if block.is_list and not _share_a_list(block, others)]
    is_most = sum(block.matrices for block in alone) > _SHARE * layers
    return blocks if is_most else _without(blocks, alone)


def _share_a_list(block: Node, others: list[Node]) -> bool:
    """Whether the list that holds a block also holds one of the others, at any depth."""
    holder = block.name[: block.name.rfind(".") + 1]
    return any(other.name.startswith(holder) for other in others)


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
