import logging

import pytest
import torch

THREADS = min(2, torch.get_num_threads())


@pytest.fixture(autouse=True)
def _two_threads_at_most() -> None:
    torch.set_num_threads(THREADS)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
