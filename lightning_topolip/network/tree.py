"""The modules of a network as a tree, without wrappers and repetitions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

_WRAPPED = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
_PARALLEL = (DataParallel, DistributedDataParallel)
_LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_WIDTHS = ("out_features", "out_channels", "embedding_dim", "hidden_size")  # a sharded weight is flat
_PARAMETRIZATIONS = "parametrizations"


@dataclass(frozen=True)
class Node:
    """A module in the tree of a model; a module that is registered twice occurs once.

    Attributes:
        name: As in ``model.named_modules()``.
        module: The module.
        children: The modules it holds, without parametrizations.
    """

    name: str
    module: nn.Module
    children: tuple[Node, ...]

    @cached_property
    def size(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    @cached_property
    def matrices(self) -> int:
        """Number of modules in it that own a weight with more than one axis."""
        inner = {id(parameter) for child in self.children for parameter in child.module.parameters()}
        own = [parameter for parameter in self.module.parameters() if id(parameter) not in inner]
        by_name = bool(own) and any(hasattr(self.module, width) for width in _WIDTHS)
        return (by_name or any(weight.ndim > 1 for weight in own)) + sum(c.matrices for c in self.children)

    @cached_property
    def is_list(self) -> bool:
        """Whether it only holds modules."""
        return type(self.module) in _LISTS

    @cached_property
    def is_ordered(self) -> bool:
        """Whether it is a list, also one with a ``forward`` of its own, whose members run one after the other."""
        return isinstance(self.module, _LISTS) and not self.has_branches

    @cached_property
    def has_branches(self) -> bool:
        """Whether it is an `nn.ModuleDict` whose values run beside each other: one of words, not of numbered names."""
        names = [child.name.rpartition(".")[2] for child in self.children]
        return type(self.module) is nn.ModuleDict and not all(map(is_numbered, names))

    @cached_property
    def is_unit(self) -> bool:
        """Whether it is one layer with its normalisation and activation, or a list of such, but not of blocks."""
        if self.matrices <= 1 or not self.children:
            return True
        return self.is_list and not self.sequences and all(part.is_unit for part in self.children)

    @cached_property
    def sequences(self) -> list[Node]:
        """The repeated sequences of two or more layers that a list holds: blocks without a class of their own."""
        several = [
            child
            for child in self.children
            if type(child.module) is nn.Sequential and child.matrices > 1 and child.is_unit
        ]
        kinds = Counter(child.kind for child in several)
        return [child for child in several if self.is_ordered and kinds[child.kind] > 1]

    @cached_property
    def kind(self) -> tuple[type, ...]:
        """Two modules are alike if their classes are, for lists those of their members."""
        members = tuple(type(child.module) for child in self.children) if self.is_list else ()
        return (type(self.module), *members)

    def walk(self) -> Iterator[Node]:
        """Iterate over all modules below, in the order of registration."""
        for child in self.children:
            yield child
            yield from child.walk()


def tree(model: nn.Module) -> Node:
    """Build the tree of a model.

    Example:
        >>> root = tree(nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU())))
        >>> [node.name for node in root.walk()]
        ['0', '1', '1.0']
    """
    return _subtree(model, "", set())


def is_numbered(name: str) -> bool:
    """Whether a name holds a digit."""
    return any(letter.isdigit() for letter in name)


def content(module: nn.Module) -> nn.Module:
    """Unwrap a compiled, sharded, checkpointed or distributed module; any other module is returned as it is."""
    children = dict(module.named_children())
    wrapped = next((child for name, child in children.items() if is_wrapped(module, name)), None)
    return module if wrapped is None else content(wrapped)


def is_wrapped(parent: nn.Module, name: str) -> bool:
    """Whether a child is the content of a wrapper: of `torch.compile`, FSDP, a checkpoint, Fabric or DDP."""
    return name in _WRAPPED or (name == "module" and isinstance(parent, _PARALLEL))


def _subtree(wrapped: nn.Module, name: str, seen: set[int]) -> Node:
    module = content(wrapped)
    seen.add(id(module))
    children = [
        _subtree(child, f"{name}.{key}" if name else key, seen)
        for key, child in module.named_children()
        if key != _PARAMETRIZATIONS and id(content(child)) not in seen
    ]
    return Node(name, module, tuple(children))
