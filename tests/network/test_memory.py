"""An analysis holds one activation beside the model's own forward."""

import subprocess
import sys
import weakref

import pytest
import torch
from torch import nn

from lightning_topolip import analyze

MEASURE = """
import re, timm, torch
from lightning_topolip import analyze
from lightning_topolip.network.borrowing import borrowed

def peak():  # the largest resident size so far, of this program alone: ru_maxrss begins at that of its parent
    with open("/proc/self/status") as file:
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", file.read())[1]) / 1024

model = timm.create_model("resnet18", num_classes=10)
model.conv1, model.maxpool = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False), torch.nn.Identity()
images = torch.rand(256, 3, 32, 32)
analyze(model, images[:8])
before = peak()
for _ in range(2):
    with borrowed(model):
        model(images)
forward = peak()
analyze(model, images)
print(forward - before, peak() - forward)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_analysis_of_256_images_through_resnet18_adds_less_than_its_largest_activation() -> None:
    """That one has 64 MB; the model's own forward needs several of that size, and the analysis hardly more."""
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True, timeout=300)
    forward, analysis = map(float, done.stdout.split())
    assert forward > 128
    assert analysis < 64


def test_no_activation_outlives_its_layer() -> None:
    alive: list[int] = []
    references: list[weakref.ref[torch.Tensor]] = []

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            alive.append(sum(reference() is not None for reference in references))
            output = inputs * self.weight + torch.rand_like(inputs)
            references.append(weakref.ref(output))
            return output

    analyze(nn.Sequential(*[Layer() for _ in range(6)]), torch.rand(10, 4))
    assert alive == [0, 1, 1, 1, 1, 1]
