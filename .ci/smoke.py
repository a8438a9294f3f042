"""Try the installed package in a folder that is not the repository: `python -I smoke.py dist/*.tar.gz`.

It takes the files of the wheel, the command, an analysis, a training on digits, and a training that an environment
variable watches, and it looks into the source distribution.
"""

import os
import subprocess
import sys
import tarfile
from importlib.metadata import files, version
from pathlib import Path

import torch
from lightning import Trainer
from torch import nn

import lightning_topolip
from lightning_topolip import TopoLipCallback, analyze
from lightning_topolip.data import DigitsDataModule
from lightning_topolip.models import ViTClassifier

QUIET = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
QUIET["enable_model_summary"] = False


def check_files() -> None:
    assert Path(lightning_topolip.__file__).is_relative_to(sys.prefix), lightning_topolip.__file__
    assert version("lightning_topolip") == lightning_topolip.__version__
    installed = {str(path) for path in files("lightning_topolip") or ()}
    for needed in ("lightning_topolip/py.typed", "lightning_topolip/report/layout/report.html"):
        assert needed in installed, f"{needed} is not in the wheel"
    assert any(path.endswith("licenses/LICENSE") for path in installed), "the licence is not in the wheel"
    strangers = {path.split("/")[0] for path in installed if not path.startswith(("lightning_topolip", "../"))}
    assert not strangers, f"the wheel also installs {sorted(strangers)}"


def check_source(archive: str) -> None:
    with tarfile.open(archive) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    for needed in (
        "tests/conftest.py",
        "docs/training.md",
        "examples/demo.py",
        "constraints.txt",
        "Makefile",
        "LICENSE",
    ):
        assert needed in names, f"{needed} is not in the source distribution"


def check_command() -> None:
    command = [str(Path(sys.prefix, "bin", "topolip")), "--help"]
    assert "topolip <command>" in subprocess.run(command, check=True, capture_output=True, text=True).stdout


def check_analysis() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(4)))
    report = analyze(network, torch.randn(64, 8))
    assert report.score > 0
    assert len(report.layers) == 4


def check_training(watch: str) -> None:
    os.environ["TOPOLIP_WATCH"] = watch
    trainer = Trainer(max_epochs=1, callbacks=[] if watch == "1" else [TopoLipCallback()], **QUIET)
    trainer.fit(ViTClassifier(size="micro"), DigitsDataModule(subset=256, num_workers=0))
    (callback,) = (callback for callback in trainer.callbacks if isinstance(callback, TopoLipCallback))
    assert callback.history.epochs == [0, 1]
    assert callback.history.last.score > 0


if __name__ == "__main__":
    check_files()
    check_source(sys.argv[1])
    check_command()
    check_analysis()
    for watch in ("0", "1"):
        check_training(watch)
    print(f"lightning_topolip {version('lightning_topolip')} works on Python {sys.version.split()[0]}")
