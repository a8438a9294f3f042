"""A small classifier of digits that the tests of robustness share."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn


def trained_on_digits() -> tuple[nn.Module, Tensor, Tensor]:
    """A classifier trained on digits, and all images and labels; it was not trained on the last 150."""
    data = load_digits()
    images, labels = torch.from_numpy(data.images / 16).float()[:, None], torch.from_numpy(data.target)
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), 2e-2)
    for _ in range(60):
        batch = torch.randint(1600, (128,), generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()
    optimizer.zero_grad()
    return model, images, labels
