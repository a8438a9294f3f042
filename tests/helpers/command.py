"""The command `topolip`, called with arguments that it refuses."""

from __future__ import annotations

import io
from contextlib import redirect_stderr

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


def said(arguments: list[str], code: int = 2) -> str:
    """The one line with which the command ends."""
    written = io.StringIO()
    with pytest.raises(SystemExit) as ended, redirect_stderr(written):
        main(arguments)
    assert ended.value.code == code, written.getvalue()
    lines = written.getvalue().splitlines()
    assert lines[-1].startswith("topolip")
    assert [line for line in lines if line.startswith(("Traceback", "usage:"))] == []
    return lines[-1]


def analysed(model: str, *options: str, data: str = "DigitsDataModule") -> list[str]:
    return ["analyze", "--model", model, "--data", data, "--data.num_workers", "0", *options]


def fitted(*options: str, model: str = "ViTClassifier", data: str = "DigitsDataModule") -> list[str]:
    return ["fit", "--seed_everything", "1", "--model", model, "--data", data, *options]
