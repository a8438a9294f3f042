"""Time one study in this process and in worker processes: what the engine adds, and what it saves.

    OMP_NUM_THREADS=1 python benchmarks/cluster.py           rounds of a study of about a minute: a quarter of an hour
    OMP_NUM_THREADS=1 python benchmarks/cluster.py --short   one round of a study of seconds, writes nothing

The study trains one small network on scikit-learn's digits from several seeds. Each time is that of a whole command,
`topolip study`, in a fresh process and a fresh folder, the ways in turn. With one worker nothing runs in parallel, so
the difference to no worker is the latency of the engine: its start, the imports of the worker, its messages. The tables
that all of them write are compared byte by byte.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import about

WORKERS = (0, 1, 2, 3)
PACKAGES = ("torch", "lightning", "distributed")

RECIPE = """
title: The engine
question: What does it add?
models:
  convolution:
    class_path: lightning_topolip.models.ConvClassifier
    init_args: {{size: micro, patch_size: 8, learning_rate: 1.0e-3}}
data:
  digits: {{class_path: lightning_topolip.data.DigitsDataModule, init_args: {{batch_size: 64, num_workers: 0}}}}
seeds: {seeds}
training: {{epochs: {epochs}, every_n_epochs: 2}}
smoothness: {{probe_size: 128}}
lipschitz: {{samples: 2}}
robustness: {{images: 100, corruptions: [gaussian_noise, fog], epsilons: [2], pgd_steps: 3}}
"""


def timed(recipe: Path, workers: int, folder: Path) -> float:
    """Seconds of the command in a fresh folder."""
    program = "from lightning_topolip.cli import main; main()"
    arguments = ["study", "--config", str(recipe), "--workers", str(workers), "--output", str(folder)]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def one_round(recipe: Path, folder: Path) -> dict[int, float]:
    """Seconds of each way, in one round; their tables must be equal."""
    seconds = {workers: timed(recipe, workers, folder / str(workers)) for workers in WORKERS}
    tables = {(folder / str(workers) / "results.csv").read_bytes() for workers in WORKERS}
    if len(tables) != 1:
        raise SystemExit("The tables of the ways differ.")
    return seconds


def show(rounds: list[dict[int, float]], seeds: int) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"A study of {seeds} runs, whole commands, medians of {len(rounds)} rounds")
    for column in ("workers", "seconds", "over no worker"):
        table.add_column(column, justify="right")
    for workers in WORKERS:
        seconds = statistics.median(times[workers] for times in rounds)
        ratios = [times[workers] / times[0] for times in rounds]
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
        table.add_row(str(workers), f"{seconds:.1f}", f"{statistics.median(ratios):.3f} ({spread})")
    latency = [times[1] - times[0] for times in rounds]
    console = Console(width=120)
    console.print(table)
    console.print(f"Latency of the engine: {statistics.median(latency):.1f} s; the tables are equal to the byte.")


def main() -> None:
    """Run the rounds, print the table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--short", action="store_true", help="one round of a study of seconds, prints only")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("cluster.json"))
    options = parser.parse_args()
    seeds, epochs, count = (2, 2, 1) if options.short else (options.seeds, options.epochs, options.rounds)
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder, "engine.yaml")
        recipe.write_text(RECIPE.format(seeds=list(range(seeds)), epochs=epochs))
        timed(recipe, 0, Path(folder, "first"))  # reads all files and compiles, and does not count
        for number in range(count):
            rounds.append(one_round(recipe, Path(folder, f"round{number}")))
    show(rounds, seeds)
    if not options.short:
        results = {"about": about(*PACKAGES), "seeds": seeds, "epochs": epochs, "seconds by workers": rounds}
        options.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
