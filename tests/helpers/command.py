"""The command `topolip`, called with arguments that it refuses."""

from __future__ import annotations

import pytest

from lightning_topolip.cli import main

QUICK = [
    "--seed_everything=1",
    "--trainer.fast_dev_run=true",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.accelerator=cpu",
    "--data.num_workers=0",
]


def said(arguments: list[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, str)
    assert "\n" not in ended.value.code
    return ended.value.code


def analysed(model: str, *options: str, data: str = "DigitsDataModule") -> list[str]:
    return ["analyze", "--model", model, "--data", data, "--data.num_workers", "0", *options]


def fitted(*options: str, model: str = "ViTClassifier", data: str = "DigitsDataModule") -> list[str]:
    return ["fit", "--model", model, "--data", data, *options]
