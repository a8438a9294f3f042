"""A study that takes seconds on a CPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lightning_topolip.study.config import ClassSpec, Lipschitz, Robustness, Smoothness, StudyConfig, Training

DIGITS = ClassSpec("lightning_topolip.data.DigitsDataModule", {"batch_size": 32, "subset": 96, "image_size": 16})
CONVOLUTION = ClassSpec(
    "lightning_topolip.models.ConvClassifier", {"size": "micro", "width": 24, "depth": 3, "patch_size": 4}
)
ATTENTION = ClassSpec(
    "lightning_topolip.models.AttentionClassifier",
    {"size": "micro", "width": 24, "depth": 3, "heads": 2, "patch_size": 4},
)


def tiny_study(**changes: Any) -> StudyConfig:
    study = StudyConfig(
        title="Tiny",
        question="Does it run?",
        models={"convolution": CONVOLUTION, "attention": ATTENTION},
        data={"digits": DIGITS},
        training=Training(epochs=2),
        smoothness=Smoothness(probe_size=24, halvings=2),
        lipschitz=Lipschitz(samples=2, tolerance=0.1),
        robustness=Robustness(
            images=20,
            validation_images=30,
            corruptions=["fog"],
            severities=[5],
            epsilons=[8],
            pgd_steps=2,
            paths={"noise": [0.1], "fog": [2], "pgd": [4]},
        ),
    )
    return replace(study, **changes)
