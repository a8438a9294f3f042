"""A page shows no path and no address of the machine that made it."""

import json
import re
from pathlib import Path

import pytest
from helpers.made_up_study import made_up_about, made_up_rows, only, write_study
from helpers.paths import ROOT

from lightning_topolip.report import write_report
from lightning_topolip.report.private import without_paths

PUBLISHED = sorted((ROOT / "docs" / "results").glob("*/*.*"))
COMMAND = "topolip study --config examples/depth.yaml --size cpu"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"{COMMAND} --images /mnt/a/cifar10 --output /mnt/b --workers 2", "--images PATH --output PATH --workers 2"),
        (f"{COMMAND} --images 'my photos/all of them'", "--images PATH"),
        (f"{COMMAND} --images=../photos", "--images=PATH"),
        (f"{COMMAND} --cluster tcp://node17:8786", "--cluster ADDRESS"),
        ("topolip study --config /home/ada/depth.yaml", "--config PATH"),
        ("topolip study --config C:\\Users\\Ada\\depth.yaml", "--config PATH"),
        ("OSError: [Errno 28] No space left on device: '/home/ada/run 1/a.ckpt'", "device: 'PATH'"),
        ("lost the scheduler at tls://10.0.0.7:8786", "at ADDRESS"),
        ("/usr/lib/python3/warn.py:12: UserWarning: it is late", "PATH:12: UserWarning: it is late"),
        ("~/data/images is empty.", "PATH is empty."),
    ],
)
def test_paths_and_addresses_are_replaced(text: str, shown: str) -> None:
    assert without_paths(text).endswith(shown)


@pytest.mark.parametrize(
    "text",
    [
        COMMAND,
        "accuracy lost at 8/255 and/or a / b, train/<class>/*",
        "https://arxiv.org/abs/2410.17628, section 4",
        "checkpoints/{data}/{seed}",
        "lightning_topolip.models.ViTClassifier",
    ],
)
def test_everything_else_stays(text: str) -> None:
    assert without_paths(text) == text


def test_no_text_of_the_record_brings_a_path_into_the_page(tmp_path: Path) -> None:
    about = made_up_about(("digits",), ("vit",), (0,))
    secret = "/home/ada/secret"
    about["command"] = f"{COMMAND} --images {secret}/images --output {secret}/out"
    about["config"] = {"data": {"digits": {"init_args": {"root": f"{secret}/data"}}}, "checkpoints": [f"{secret}/ckpt"]}
    about["machine"] = f"Linux, mounted at {secret}"
    about["runs"][0] |= {"failure": f"OSError: {secret}/x is full", "warnings": [f"read {secret}/y"]}  # type: ignore[index]
    rows = only(made_up_rows(("digits",), ("vit",), (0,)), "topolip")
    page = write_report(write_study(tmp_path, rows, about)).read_text(encoding="utf-8")
    assert "ada" not in page
    assert "secret" not in page
    assert page.count("--images PATH --output PATH") == 2


@pytest.mark.parametrize("page", PUBLISHED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_published_studies_have_no_paths(page: Path) -> None:
    if page.suffix not in {".html", ".json", ".md"}:
        pytest.skip("a table of numbers")
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(?:home|root|tmp|mnt|Users|work|data)\b", text)
    if page.name == "about.json":
        about = json.loads(text)
        assert without_paths(about) == about
