"""Compare the speed of two commits by one of the benchmarks, with the error of every ratio.

    python benchmarks/compare.py main HEAD                              `analyze` of three networks, 128 samples
    python benchmarks/compare.py v0.2.0 HEAD --script persistence --rounds 7 -- --sizes 128 256 --repeats 1

Both commits are checked out into git worktrees. The benchmark of the present checkout runs on the package of the one
and of the other in turn, each time in a fresh process of this environment, and the order alternates, so that the load
of the machine hits both. A first run of each compiles and does not count. Behind `--` are arguments of the benchmark.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ARGUMENTS = {"analysis": ["--sizes", "128", "--repeats", "3"]}
NOT_MEASURED = ("about", "rounds")


def numbers_of(values: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """The measured numbers in a benchmark's file by their path; rows of a table are named by their texts and sizes."""
    if isinstance(values, dict):
        for key, inner in values.items():
            if path or key not in NOT_MEASURED:
                yield from numbers_of(inner, f"{path} / {key}" if path else key)
    elif isinstance(values, list):
        for index, inner in enumerate(values):
            row = inner if isinstance(inner, dict) else {}
            name = " ".join(str(value) for value in row.values() if isinstance(value, str | int))
            yield from numbers_of(inner, f"{path} / {name or index}")
    elif isinstance(values, float):
        yield path, values


def ratio(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """The geometric mean of second / first over paired rounds, and its standard error."""
    logs = [math.log(later / earlier) for earlier, later in zip(first, second, strict=True)]
    mean = math.exp(statistics.fmean(logs))
    return mean, mean * statistics.stdev(logs) / math.sqrt(len(logs))


def run(script: str, arguments: Sequence[str], package: Path) -> dict[str, float]:
    """The numbers of a benchmark on the package in a folder."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "numbers.json"
        command = [sys.executable, str(HERE / f"{script}.py"), *arguments, "--output", str(output)]
        environment = {**os.environ, "PYTHONPATH": str(package)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode or not output.is_file():
            sys.exit(f"{script}.py does not run on {package.name}:\n{done.stderr[-2000:]}")
        return dict(numbers_of(json.loads(output.read_text())))


Rounds = list[dict[str, float]]


def measure(packages: Sequence[Path], script: str, arguments: Sequence[str], rounds: int) -> tuple[Rounds, Rounds]:
    """The numbers of every round, for the first and for the second package."""
    numbers: tuple[Rounds, Rounds] = ([], [])
    for number in range(-1, rounds):
        for index in (0, 1) if number % 2 else (1, 0):
            result = run(script, arguments, packages[index])
            if number >= 0:
                numbers[index].append(result)
    return numbers


def table(numbers: tuple[Rounds, Rounds]) -> str:
    """One line per number that both have: medians, and the ratio with its error."""
    first, second = numbers
    names = [name for name in first[0] if all(row.get(name, 0) > 0 for row in (*first, *second))]
    lines = [f"{'first':>10} {'second':>10}  second / first"]
    for name in names:
        earlier, later = [row[name] for row in first], [row[name] for row in second]
        mean, error = ratio(earlier, later)
        medians = f"{statistics.median(earlier):>10.4g} {statistics.median(later):>10.4g}"
        lines.append(f"{medians}  {mean:.3f} +- {error:.3f}  {name}")
    return "\n".join(lines)


def git(*arguments: str) -> str:
    """What a git command prints in this repository."""
    return subprocess.run(["git", *arguments], cwd=HERE, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Check both commits out, measure in turn, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commits", nargs=2, metavar="COMMIT")
    parser.add_argument("--script", default="analysis", help="a benchmark with --output, without .py")
    parser.add_argument("--rounds", type=int, default=5, help="at least 2")
    own, arguments = sys.argv[1:], []
    if "--" in own:
        own, arguments = own[: own.index("--")], own[own.index("--") + 1 :]
    options = parser.parse_args(own)
    if options.rounds < 2:
        parser.error("argument --rounds must be at least 2, since an error needs two")
    commits = [git("rev-parse", "--short", f"{commit}^{{commit}}") for commit in options.commits]
    with tempfile.TemporaryDirectory() as folder:
        packages = [Path(folder) / f"{index}-{commit}" for index, commit in enumerate(commits)]
        try:
            for package, commit in zip(packages, commits, strict=True):
                git("worktree", "add", "--detach", str(package), commit)
            arguments = arguments or ARGUMENTS.get(options.script, [])
            called = f"{options.script}.py {' '.join(arguments)}"
            sys.stdout.write(f"{called}, {commits[0]} and {commits[1]}, {options.rounds} rounds\n")
            sys.stdout.write(table(measure(packages, options.script, arguments, options.rounds)) + "\n")
        finally:
            for package in packages:
                if package.exists():
                    git("worktree", "remove", "--force", str(package))


if __name__ == "__main__":
    main()
