"""A sequence of layers that torch compiles in place."""

from torch import Tensor, nn


class Chain(nn.Sequential):
    """Has a forward of its own: torch 2.8 does not compile that of `nn.Sequential` in place."""

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = layer(x)
        return x
