import logging

import pytest
import torch


@pytest.fixture(autouse=True)
def _two_threads() -> None:
    torch.set_num_threads(2)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
