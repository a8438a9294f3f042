"""Analyse one small model of every timm family without any argument, and write the results.

    python benchmarks/timm_sweep.py                        half an hour on two cores; continues a stopped run
    python benchmarks/timm_sweep.py --families swin_transformer densenet --again

A family is a module of `timm.list_modules`. Its smallest registered model, not counting timm's toy models ``test_*``,
gets random weights and 8 Gaussian images: of 128 pixels if the model takes them, and of its native size otherwise. If a
model needs more than 4 GB or five minutes, the next larger one is tried. `python docs/tables.py --write` then updates
the table of docs/models.md.
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
OUTPUT = Path(__file__).parents[1] / "docs" / "results" / "timm_sweep.json"
Row = dict[str, Any]


def models_by_size(family: str) -> list[tuple[int, str]]:
    """Parameters and names of a family's models, smallest first; no weights are allocated."""
    names = [name for name in timm.list_models(module=family) if not name.startswith("test_")]
    with torch.device("meta"):
        return sorted((sum(p.numel() for p in timm.create_model(name).parameters()), name) for name in names)


def resolutions(name: str) -> list[int]:
    """The low resolution if the registry allows it, then the native one."""
    config = get_pretrained_cfg(name)
    native = config.input_size[-1]
    smallest = (config.min_input_size or (3, 0, 0))[-1]
    low = max(PIXELS, smallest)
    return [native] if config.fixed_input_size or low >= native else [low, native]


def sweep_model(name: str) -> Row:
    """Analyse one model at the first resolution at which it runs."""
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
    """Analyse a model with defaults, but without standard errors, to save time."""
    images = torch.randn(SAMPLES, 3, pixels, pixels, generator=torch.Generator().manual_seed(0))
    report = analyze(model, images, halvings=0)
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
    """Analyse one model in a process with limits on memory and time."""
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
    """Analyse the smallest model of a family that stays within memory and time."""
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
    """Whether a model failed because of time or memory."""
    reason = row.get("reason", "")
    return "more than" in reason or "without an answer" in reason or "memory" in reason


def passed(row: Row) -> bool:
    """Whether the model ran and its score is a number."""
    return math.isfinite(row.get("score", math.nan))


def remaining_families(families: list[str], rows: list[Row], *, again: bool) -> Iterator[str]:
    """The families without a row, or all of them."""
    finished = {row["family"] for row in rows if not again}
    return (family for family in families if family not in finished)


def main() -> None:
    """Sweep, write the results after every family, and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="*", default=timm.list_modules())
    parser.add_argument("--again", action="store_true", help="repeat families that already have a row")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows: list[Row] = json.loads(options.output.read_text())["results"] if options.output.exists() else []
    console = Console(width=160)
    for family in remaining_families(options.families, rows, again=options.again):
        row = sweep_family(family)
        rows = sorted([*(old for old in rows if old["family"] != family), row], key=lambda row: row["family"])
        about = {"command": "python benchmarks/timm_sweep.py", "machine": platform.machine(), "samples": SAMPLES}
        about |= {name: version(name) for name in ("timm", "torch")} | {"finite": sum(map(passed, rows))}
        options.output.write_text(json.dumps({"about": about, "results": rows}, indent=2) + "\n")
        console.print(family, row["model"], row.get("reason") or f"{row['layers']} layers, {row['score']:.4f}")
    table = Table(title=f"{sum(map(passed, rows))} of {len(rows)} families with a finite score")
    for column in ("family", "model", "pixels", "layers", "first", "last", "score", "skipped"):
        table.add_column(column)
    for row in rows:
        cells = [row.get(key, "") for key in ("family", "model", "pixels", "layers", "first", "last")]
        score = f"{row['score']:.4f}" if passed(row) else row.get("reason", "NaN")
        table.add_row(*map(str, cells), score, str(len(row.get("left_out", {}))))
    console.print(table)


if __name__ == "__main__":
    main()
