"""One block of a network on tokens, with a switchable norm and residual connection."""

import math
from collections.abc import Callable, Mapping

import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn

__all__ = ["TokenBlock", "preserve_variance"]

_GAIN_AFTER_GELU = 1.5335  # 1 / sqrt(E[GELU(z)^2]) of a standard normal z


class TokenBlock(nn.Module):
    """A sequence of token functions, such as attention and an MLP, each with a norm and a residual connection.

    | residual | pre_norm | x becomes | as in |
    | --- | --- | --- | --- |
    | yes | yes | x + f(norm(x)) | ViT, arXiv 2010.11929 |
    | yes | no | norm(x + f(x)) | the original transformer, arXiv 1706.03762 |
    | no | yes | f(norm(x)) | |
    | no | no | norm(f(x)) | |

    A function maps (batch, tokens, width) to the same shape; functions run in the order of the mapping.
    `norm_layer` builds a norm from `width`; `drop_path` is the rate of stochastic depth (arXiv 1603.09382).

    Example:
        >>> import torch
        >>> from torch import nn
        >>> block = TokenBlock(4, {"mlp": nn.Linear(4, 4)}, nn.LayerNorm)
        >>> block(torch.rand(2, 9, 4)).shape
        torch.Size([2, 9, 4])
    """

    def __init__(
        self,
        width: int,
        functions: Mapping[str, nn.Module],
        norm_layer: Callable[[int], nn.Module],
        *,
        residual: bool = True,
        pre_norm: bool = True,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.names = tuple(functions)
        for number, (name, function) in enumerate(functions.items(), start=1):
            self.add_module(f"norm{number}", norm_layer(width))
            self.add_module(name, function)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.residual = residual
        self.pre_norm = pre_norm

    @property
    def functions(self) -> list[nn.Module]:
        """The functions, in the order in which they run."""
        return [self.get_submodule(name) for name in self.names]

    @property
    def norms(self) -> list[nn.Module]:
        """The norm of each function."""
        return [self.get_submodule(f"norm{number}") for number in range(1, len(self.names) + 1)]

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, tokens, width) to the same shape."""
        for norm, function in zip(self.norms, self.functions, strict=True):
            branch = self.drop_path(function(norm(tokens) if self.pre_norm else tokens))
            total = tokens + branch if self.residual else branch
            tokens = total if self.pre_norm else norm(total)
        return tokens


def preserve_variance(blocks: nn.Sequential) -> None:
    """Draw the weights of `TokenBlock`s so that signals keep their size with or without norms.

    Each function must have two weights, an inner and an outer one, with a GELU or a weighted mean in between.
    A weight's variance is one over the number of its inputs, times 2.35 after a GELU; biases are zero. Residual
    branches are divided by the square root of their number, so that their sum is as large as one branch.
    Averaging in attention still shrinks the differences between the tokens of a sample.

    Example:
        >>> import torch
        >>> mlp = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64))
        >>> block = TokenBlock(64, {"mlp": mlp}, nn.Identity, residual=False)
        >>> preserve_variance(nn.Sequential(block))
        >>> bool(0.8 < block(torch.randn(100, 4, 64)).std() < 1.25)
        True
    """
    branches = [
        (function, block.residual) for block in blocks if isinstance(block, TokenBlock) for function in block.functions
    ]
    for function, residual in branches:
        inner, outer = (module for module in function.modules() if isinstance(module, nn.Linear | nn.Conv2d))
        gain = _GAIN_AFTER_GELU if any(isinstance(module, nn.GELU) for module in function.modules()) else 1.0
        _draw(inner, gain=1.0)
        _draw(outer, gain=gain / math.sqrt(len(branches)) if residual else gain)


def _draw(layer: nn.Linear | nn.Conv2d, gain: float) -> None:
    with torch.no_grad():
        layer.weight.normal_(std=gain / math.sqrt(layer.weight[0].numel()))
        if layer.bias is not None:
            layer.bias.zero_()
