"""Modules that compute in another way where hooks are on them, such as torch's fused transformer layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import CodeType
from typing import Any, NamedTuple

from torch import nn

_HOOKS = "_forward_hooks"


class Unhookable(NamedTuple):
    """The modules on which a hook could change an output of a network.

    Attributes:
        fused: Those that ask for hooks, see `asks_for_hooks`, and their parts. A hook on no module, which sees all
            modules, does not change them.
        sealed: Those for which that holds no more, because the network is compiled: it would not be compiled under such
            a hook. With them goes all that is compiled together with them, since a graph breaks at a hook.
    """

    fused: set[nn.Module]
    sealed: set[nn.Module]


def unhookable(model: nn.Module) -> Unhookable:
    """Find the modules on which a hook could change an output.

    Example:
        >>> layer = nn.TransformerEncoderLayer(8, 2)
        >>> layer.linear1 in unhookable(nn.Sequential(layer, nn.Linear(8, 8))).fused
        True
    """
    fused = {part for module in model.modules() if asks_for_hooks(module) for part in module.modules()}
    regions = [_compiled_with(module) for module in model.modules() if _is_compiled(module)]
    if not regions:
        return Unhookable(fused, set())
    return Unhookable(set(), fused.union(*(region for region in regions if region & fused)))


def asks_for_hooks(module: nn.Module) -> bool:
    """Whether a module's ``forward`` asks for the hooks on it.

    `torch.nn.TransformerEncoderLayer` runs as one fused kernel in evaluation mode, unless a hook is on it or on a part
    of it; then its outputs differ in the last digits. Every class is found whose ``forward`` mentions the hooks, copies
    of torch's included.

    Example:
        >>> asks_for_hooks(nn.TransformerEncoderLayer(8, 2)), asks_for_hooks(nn.Linear(8, 8))
        (True, False)
    """
    return any(_mentions_hooks(vars(kind).get("forward")) for kind in type(module).__mro__)


def _is_compiled(module: nn.Module) -> bool:
    return getattr(module, "_compiled_call_impl", None) is not None or _is_compiling_wrapper(module)


def _is_compiling_wrapper(module: nn.Module) -> bool:
    return "_orig_mod" in dict(module.named_children())


def _compiled_with(module: nn.Module) -> set[nn.Module]:
    """What is compiled: the module with its parts; of a wrapper, whose hooks run outside of the graph, the parts."""
    return set(module.modules()) - ({module} if _is_compiling_wrapper(module) else set())


def _mentions_hooks(forward: Callable[..., Any] | None) -> bool:
    code = getattr(inspect.unwrap(forward), "__code__", None) if inspect.isfunction(forward) else None
    return code is not None and _holds(code)


def _holds(code: CodeType) -> bool:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return _HOOKS in (*code.co_names, *code.co_consts) or any(map(_holds, inner))
