"""Layers that compute in another way where hooks are on them, such as torch's fused transformer layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import CodeType
from typing import Any

from torch import nn

_HOOKS = "_forward_hooks"


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


def modules_without_hooks(model: nn.Module) -> set[nn.Module]:
    """The modules on which a hook could change an output: those that ask for hooks, and all their parts.

    There are none in a compiled model, whose graph has to break at a hook on the module itself.
    """
    if any(_is_compiled(module) for module in model.modules()):
        return set()
    return {part for module in model.modules() if asks_for_hooks(module) for part in module.modules()}


def _is_compiled(module: nn.Module) -> bool:
    return getattr(module, "_compiled_call_impl", None) is not None or "_orig_mod" in dict(module.named_children())


def _mentions_hooks(forward: Callable[..., Any] | None) -> bool:
    code = getattr(inspect.unwrap(forward), "__code__", None) if inspect.isfunction(forward) else None
    return code is not None and _holds(code)


def _holds(code: CodeType) -> bool:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return _HOOKS in (*code.co_names, *code.co_consts) or any(map(_holds, inner))
