"""Borrow a model, hand on what its layers put out, and give the model back exactly as it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lightning_topolip.network.layers import named_layers
from lightning_topolip.randomness import kept_random_numbers

Visit = Callable[[str, Tensor], None]


@contextmanager
def observe(model: nn.Module, layers: Sequence[str], visit: Visit, seed: int = 0) -> Iterator[None]:
    """Within the block, every execution of a layer calls ``visit(name, output)`` at once, so that nothing is kept.

    The model runs in evaluation mode, without gradients, eagerly even where it is compiled, and with random numbers
    from ``seed``. After the block, also after an error, every module's mode, all buffers, every global random
    generator and the hooks are what they were before. What a forward keeps in plain Python attributes stays.

    Args:
        model: The module to borrow.
        layers: Names of its submodules, as in `named_layers`.
        visit: Called with the name and the output's first floating-point tensor, shape ``(n, ...)``. The k-th
            execution of the same module within the block has the name ``"<layer>#k"`` from k = 2 on. A layer whose
            output holds no such tensor is not visited.
        seed: Seed of the random numbers that the model itself draws.

    Raises:
        KeyError: If the model has no submodule of a name.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Dropout())
        >>> with observe(model, ["0", "1"], lambda name, output: print(name, tuple(output.shape))):
        ...     _ = model(torch.zeros(5, 2))
        0 (5, 3)
        1 (5, 3)
        >>> model.training
        True
    """
    known = named_layers(model)
    modules = {name: known[name] for name in layers}
    calls: Counter[str] = Counter()

    def hook_for(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            tensor = first_floating_tensor(output)
            if tensor is not None:
                calls[name] += 1
                visit(name if calls[name] == 1 else f"{name}#{calls[name]}", tensor)

        return hook

    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(kept_random_numbers(seed))
        stack.enter_context(_buffers_kept(model))
        stack.enter_context(_evaluation_mode(model))
        for name, module in modules.items():
            handle = module.register_forward_hook(hook_for(name))
            stack.callback(handle.remove)
        yield


def first_floating_tensor(value: Any) -> Tensor | None:
    """Find the representation in what a module takes or gives.

    Args:
        value: A tensor, or tuples, lists and mappings of such in any depth.

    Returns:
        The first floating-point tensor, depth first in their own order, or None.

    Example:
        >>> import torch
        >>> first_floating_tensor({"ids": torch.tensor([1]), "states": (torch.zeros(1, 2), None)})
        tensor([[0., 0.]])
    """
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return next((found for found in map(first_floating_tensor, value) if found is not None), None)
    return None


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Set the flags alone: a module's own ``train()`` may do more, such as merge weights."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def _buffers_kept(model: nn.Module) -> Iterator[None]:
    """Put back content, identity and existence of every buffer; `named_buffers` hides those that are None."""
    kept = [(module, dict(module._buffers), set(module._non_persistent_buffers_set)) for module in model.modules()]
    contents = [
        (buffer, buffer.detach().clone()) for _, buffers, _ in kept for buffer in buffers.values() if buffer is not None
    ]
    try:
        yield
    finally:
        for buffer, content in contents:
            if buffer.shape != content.shape or not torch.equal(buffer, content):
                buffer.resize_(content.shape).copy_(content)
        for module, buffers, hidden in kept:
            if _same(module._buffers, buffers) and set(module._non_persistent_buffers_set) == hidden:
                continue
            if isinstance(module, torch.jit.ScriptModule):  # its buffers can be replaced, not come or go
                for name, own in buffers.items():
                    setattr(module, name, own)
                continue
            module._buffers.clear()
            module._buffers.update(buffers)
            module._non_persistent_buffers_set.clear()
            module._non_persistent_buffers_set.update(hidden)


def _same(first: Mapping[str, Tensor | None], second: Mapping[str, Tensor | None]) -> bool:
    names = list(first.keys())
    return names == list(second) and all(first[name] is second[name] for name in names)
