"""Measure the memory and the time of an analysis of large networks at 224 pixels, beside their own forward.

    python benchmarks/large_models.py               three networks, at once and in parts; a ResNet-50 alone four minutes
    python benchmarks/large_models.py --short       one small network, writes nothing: half a minute

Every row is a process of its own, since its peak of memory is read from the system (Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

MODELS = ("vit_base_patch16_224", "resnet50", "resnet152")
PART = 32


def measure(name: str, pixels: int, points: int, batch_size: int | None) -> dict[str, float]:
    """Run a network's own forward in batches, then the analysis, in this process."""
    import timm
    import torch

    from lightning_topolip import analyze
    from lightning_topolip.network.borrowing import borrowed

    torch.manual_seed(0)
    sizes = {"img_size": pixels} if "vit" in name else {}
    model, images = timm.create_model(name, **sizes), torch.rand(points, 3, pixels, pixels)
    analyze(model, images[:8])
    before = peak()
    size = batch_size or points
    with borrowed(model):
        start = time.perf_counter()
        for first in range(0, points, size):
            model(images[first : first + size])
        forward_seconds = time.perf_counter() - start
    forward_peak = peak()
    samples = 0

    def count(module: object, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal samples
        samples += len(inputs[0])

    model.register_forward_pre_hook(count)
    start = time.perf_counter()
    report = analyze(model, images, probe_batch_size=batch_size)
    seconds = time.perf_counter() - start
    return {
        "layers": len(report.layers),
        "score": report.score,
        "signal": report.signal,
        "forward seconds": forward_seconds,
        "analysis seconds": seconds,
        "forwards of the probe": samples / points,
        "share beside the forwards": 1 - forward_seconds * samples / points / seconds,
        "forward MB": forward_peak - before,
        "analysis MB beyond the forward": peak() - forward_peak,
    }


def peak() -> float:
    """The largest resident size of this process so far, in MB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    kilobytes = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert kilobytes
    return int(kilobytes[1]) / 1024


def main() -> None:
    """Measure every network at once and in parts, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--pixels", type=int, default=224)
    parser.add_argument("--points", type=int, default=256)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--row", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    if options.row:
        sys.stdout.write(json.dumps(measure(**options.row)))
        return
    if options.short:
        options.models, options.pixels, options.points = ["resnet18"], 64, 64
    rows = [row(name, options.pixels, options.points, size) for name in options.models for size in (None, PART)]
    table = Table("", *(f"{values['model']}\n{values['in parts of'] or 'at once'}" for values in rows))
    for quantity in list(rows[0])[2:]:
        table.add_row(quantity, *(f"{values[quantity]:.3g}" for values in rows))
    Console().print(table)
    if not options.short:
        about = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "versions": {name: version(name) for name in ("torch", "timm", "lightning_topolip")},
            "points": options.points,
            "pixels": options.pixels,
        }
        options.output.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n", encoding="utf-8")


def row(name: str, pixels: int, points: int, batch_size: int | None) -> dict[str, Any]:
    """Measure one network in a process of its own."""
    arguments = {"name": name, "pixels": pixels, "points": points, "batch_size": batch_size}
    command = [sys.executable, __file__, "--row", json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {"model": name, "in parts of": batch_size, **json.loads(done.stdout.splitlines()[-1])}


if __name__ == "__main__":
    main()
