"""Functions that stay out of compiled graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

Function = TypeVar("Function", bound=Callable[..., Any])


def eagerly(function: Function) -> Function:
    """Keep a function out of compiled graphs: it runs as it is written."""
    disable: Callable[[Function], Function] = torch.compiler.disable
    return disable(function)
