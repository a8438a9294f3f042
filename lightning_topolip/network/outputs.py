"""The modules that compute the outputs of a network, found by its structure alone."""

from __future__ import annotations

import itertools

from torch import nn

from lightning_topolip.network.tree import Node


def outputs(root: Node, layers: list[Node]) -> list[list[Node]]:
    """Find the modules that compute the outputs, and do not count as layers of the path to them.

    They are the heads of several tasks, see `_heads`, or the last layer with weights; and with them the linear layers
    registered right before that read what they read.

    Args:
        root: The tree of a model.
        layers: All its layers with weights.

    Returns:
        The heads with all that they hold, if there are any, and then the last layer alone.

    Example:
        >>> from lightning_topolip.network.tree import tree
        >>> heads = nn.ModuleDict({"color": nn.Linear(4, 3), "size": nn.Linear(4, 2)})
        >>> root = tree(nn.ModuleDict({"trunk": nn.Linear(4, 4), "heads": heads}))
        >>> [[node.name for node in found] for found in outputs(root, [root.children[0], *root.children[1].children])]
        [['heads.color', 'heads.size'], ['heads.size', 'heads.color']]
    """
    heads = _heads(root, layers)
    return [found + _beside(found, layers) for found in (heads, layers[-1:]) if found or not layers]


def _heads(root: Node, layers: list[Node]) -> list[Node]:
    """The modules in the innermost dictionary of branches that ends the network."""
    dictionaries = [node for node in (root, *root.walk()) if layers and _holds_heads(node, layers)]
    return list(dictionaries[-1].walk()) if dictionaries else []


def _holds_heads(node: Node, layers: list[Node]) -> bool:
    """Whether the last layer is in a dictionary of branches, and the first is not.

    A dictionary with a list in it, which cannot be called, or with a single value names the parts of a network.
    """
    held = [child for child in node.children if child.matrices]
    has_lists = any(type(child.module) in (nn.ModuleList, nn.ModuleDict) for child in held)
    inside = {part.name for part in node.walk()}
    is_the_end = layers[-1].name in inside and layers[0].name not in inside
    return node.has_branches and len(held) > 1 and not has_lists and is_the_end


def _beside(found: list[Node], layers: list[Node]) -> list[Node]:
    """The linear layers before some outputs that read what the first of these reads."""
    names = {node.name for node in found}
    before = list(itertools.takewhile(lambda node: node.name not in names, layers))
    first = layers[len(before) : len(before) + 1]
    return list(itertools.takewhile(lambda node: _reads_the_same(node, first[0]), reversed(before)))


def _reads_the_same(first: Node, second: Node) -> bool:
    """Whether two linear layers take vectors of one width, and the second cannot take those of the first."""
    if not isinstance(first.module, nn.Linear) or not isinstance(second.module, nn.Linear):
        return False
    return first.module.in_features == second.module.in_features != first.module.out_features
