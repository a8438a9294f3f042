"""Analyse one small model of every timm family with no argument at all, and write what was found.

    python benchmarks/timm_sweep.py                        half an hour on two cores; a run that was stopped goes on
    python benchmarks/timm_sweep.py --families swin_transformer densenet --again
    python benchmarks/timm_sweep.py --families --page docs/models.md         only write the table's rows into the page

A family is a module of `timm.list_modules`. Of its registered models, without timm's own toy models ``test_*``, the one
with the fewest parameters is made with random weights and called with 8 Gaussian images: at 128 pixels where the model
takes them, else at its native size. A model that needs more than 4 GB or five minutes gives way to the next smallest.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing
import platform
import re
import resource
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import timm
import torch
from rich.console import Console
from rich.table import Table
from timm.models import get_pretrained_cfg
from torch import nn

from lightning_topolip import analyze
from lightning_topolip.topology.names import INPUT

SAMPLES, PIXELS, SECONDS, GIGABYTES, TRIES = 8, 128, 300, 4, 3
REMARKS = {
    "coat": "serial blocks, then parallel ones in the order in which they run",
    "crossvit": "two branches and their fusion, in the order in which they run",
    "dla": "trees of blocks",
    "gcvit": "with the blocks of stem, down-sampling and global query",
    "hrnet": "parallel branches, in the order in which they run",
    "mobilevit": "its transformer blocks work on patches: the block around them",
    "rdnet": "dense blocks: what each adds",
    "densenet": "what each layer adds to its block",
    "tnt": "the second tensor of the output, the patches",
    "vgg": "no repeated blocks: layers with weights",
    "xception": "separable convolutions",
    "xception_aligned": "separable convolutions",
}
OUTPUT = Path(__file__).parents[1] / "docs" / "results" / "timm_sweep.json"
Row = dict[str, Any]


def models_by_size(family: str) -> list[tuple[int, str]]:
    """Parameters and names of a family's models, the smallest first; without their weights, so it takes no memory."""
    names = [name for name in timm.list_models(module=family) if not name.startswith("test_")]
    with torch.device("meta"):
        return sorted((sum(p.numel() for p in timm.create_model(name).parameters()), name) for name in names)


def resolutions(name: str) -> list[int]:
    """The low resolution where the registry does not rule it out, then the native one."""
    config = get_pretrained_cfg(name)
    native = config.input_size[-1]
    smallest = (config.min_input_size or (3, 0, 0))[-1]
    low = max(PIXELS, smallest)
    return [native] if config.fixed_input_size or low >= native else [low, native]


def sweep_model(name: str) -> Row:
    """What `analyze` finds in one model; the first resolution at which it runs."""
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False)
    *lower, native = resolutions(name)
    for pixels in lower:
        try:
            return sweep_images(model, pixels)
        except Exception as error:
            lower_failed = f"{pixels} pixels: {error}"
            return {**sweep_images(model, native), "lower": lower_failed[:300]}
    return sweep_images(model, native)


def sweep_images(model: nn.Module, pixels: int) -> Row:
    """Analyse with no argument but the probe; the noise band is left out to save time."""
    images = torch.randn(SAMPLES, 3, pixels, pixels, generator=torch.Generator().manual_seed(0))
    report = analyze(model, images, noise_splits=0)
    layers = [layer for layer in report.layers if layer != INPUT]
    return {
        "pixels": pixels,
        "layers": len(layers),
        "first": layers[0],
        "last": layers[-1],
        "patterns": dict(Counter(re.sub(r"\d+", "N", layer) for layer in layers)),
        "score": report.score,
        "left_out": report.failures,
    }


def in_a_process(name: str) -> Row:
    """The row of one model, from a process with a limit on memory and time."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_report_row, args=(name, sender))
    process.start()
    sender.close()
    row: Row = {"reason": "the process ended without an answer"}
    if not receiver.poll(SECONDS):
        row = {"reason": f"more than {SECONDS} s"}
    else:
        with contextlib.suppress(EOFError):
            row = receiver.recv()
    process.kill()
    process.join()
    return row


def _report_row(name: str, sender: Any) -> None:
    limit = GIGABYTES * 2**30
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    warnings.simplefilter("ignore")
    torch.set_num_threads(2)
    start = time.perf_counter()
    try:
        row = sweep_model(name)
    except Exception as error:
        row = {"reason": f"{type(error).__name__}: {error}"[:600]}
    row["seconds"] = round(time.perf_counter() - start, 1)
    row["gigabytes"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    sender.send(row)


def sweep_family(family: str) -> Row:
    """The smallest model of a family that stays within memory and time; else what stopped the smallest."""
    tried: dict[str, str] = {}
    for parameters, name in models_by_size(family)[:TRIES]:
        row = {
            "family": family,
            "model": name,
            "parameters": parameters,
            **in_a_process(name),
            "too_large": dict(tried),
        }
        if not too_large(row):
            return row
        tried[name] = row["reason"]
    return row


def too_large(row: Row) -> bool:
    """Whether time or memory is what stopped a model."""
    reason = row.get("reason", "")
    return "more than" in reason or "without an answer" in reason or "memory" in reason


def passed(row: Row) -> bool:
    """Whether the model ran and its score is a number."""
    return math.isfinite(row.get("score", math.nan))


def families_to_do(chosen: list[str], done: list[Row], again: bool) -> Iterator[str]:
    """The families without a row yet."""
    known = {row["family"] for row in done if not again}
    return (family for family in chosen if family not in known)


def write_page(rows: list[Row], page: Path) -> None:
    """Put a row for every family at the end of the table of a page, in place of those there."""
    lines = [line for line in page.read_text().splitlines() if not line.startswith("| timm `")]
    end = max(index for index, line in enumerate(lines) if line.startswith("| ")) + 1
    new = [
        f"| timm `{row['model']}` | {', '.join(f'`{pattern}`' for pattern in row['patterns'])} | {row['layers']} "
        f"| {REMARKS.get(row['family'], '')} |".replace("|  |", "| |")
        for row in rows
        if passed(row)
    ]
    page.write_text("\n".join([*lines[:end], *new, *lines[end:]]) + "\n")


def main() -> None:
    """Sweep, write after every family, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="*", default=timm.list_modules())
    parser.add_argument("--again", action="store_true", help="do families again that have a row")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--page", type=Path, help="a page whose table gets a row for every family")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows: list[Row] = json.loads(options.output.read_text())["results"] if options.output.exists() else []
    console = Console(width=160)
    for family in families_to_do(options.families, rows, options.again):
        row = sweep_family(family)
        rows = sorted([*(old for old in rows if old["family"] != family), row], key=lambda row: row["family"])
        about = {"command": "python benchmarks/timm_sweep.py", "machine": platform.machine(), "samples": SAMPLES}
        about |= {name: version(name) for name in ("timm", "torch")} | {"finite": sum(map(passed, rows))}
        options.output.write_text(json.dumps({"about": about, "results": rows}, indent=2) + "\n")
        console.print(family, row["model"], row.get("reason") or f"{row['layers']} layers, {row['score']:.4f}")
    table = Table(title=f"{sum(map(passed, rows))} of {len(rows)} families with a finite score")
    for column in ("family", "model", "pixels", "layers", "first", "last", "score", "left out"):
        table.add_column(column)
    for row in rows:
        cells = [row.get(key, "") for key in ("family", "model", "pixels", "layers", "first", "last")]
        score = f"{row['score']:.4f}" if passed(row) else row.get("reason", "NaN")
        table.add_row(*map(str, cells), score, str(len(row.get("left_out", {}))))
    console.print(table)
    if options.page:
        write_page(rows, options.page)


if __name__ == "__main__":
    main()
