"""Time and check the distance between persistence diagrams against other packages, in one run on the same clouds.

    python benchmarks/distances.py --short              n = 64 and 128, under a minute, writes nothing
    python benchmarks/distances.py                      n = 64 to 1024, an hour
    python benchmarks/distances.py --images FOLDER      a third kind of clouds: a network on a folder of images

The job is that of an epoch with 12 layers: 12 distance matrices, their persistence in dimensions 0 and 1, then W_1, W_2
and the bottleneck distance for the 11 steps over depth and the 12 steps from the previous epoch, separately for each
dimension: 138 distances. The packages take turns within a repeat, so that the machine's load affects all of them; read
the ratios. A package that exceeds the limit in a stage is cut off, reported as such, and not tried at larger n.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gudhi.bottleneck
import gudhi.wasserstein
import numpy as np
import persim
import ripser
import torch
from analysis import HAS_GIOTTO, clouds_of, versions
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching
from sklearn.metrics import pairwise_distances

from lightning_topolip import distance_matrix, persistence_diagrams
from lightning_topolip.data import DigitsDataModule, ImageFolderDataModule
from lightning_topolip.models import ResNetClassifier
from lightning_topolip.network.probe import take_probe
from lightning_topolip.wasserstein import compile_kernels, wasserstein_distances

LAYERS, ORDERS, DIMENSIONS = 12, (1.0, 2.0, math.inf), (0, 1)
STAGES = ("matrices", "persistence", "distances")
KINDS = {
    "random": "Gaussian clouds in 128 dimensions",
    "digits": "a residual network's features of digits",
    "images": "a residual network's features of images",
    "sphere": "points on a sphere in 128 dimensions",
}
CHECKED = {64: 6, 128: 6, 256: 6, 512: 2, 1024: 1}  # steps whose distances are compared with the reference

Diagrams = dict[int, np.ndarray]
Pair = tuple[np.ndarray, np.ndarray]
Orders = tuple[float, ...]


class CutOffError(RuntimeError):
    """A stage took longer than the limit."""


@dataclass(frozen=True)
class Contender:
    """The stages as one package computes them.

    Attributes:
        name: Name in the table.
        matrix: From a cloud to its distance matrix.
        diagrams: From distance matrices and a deadline to the diagrams of each.
        distances: From pairs of diagrams, orders and a deadline to the distances, shape (pairs, orders).
        orders: Available orders.
        comparable: Orders with the same definition as here.
    """

    name: str
    matrix: Callable[[torch.Tensor], np.ndarray]
    diagrams: Callable[[Sequence[np.ndarray], float], list[Diagrams]]
    distances: Callable[[Sequence[Pair], Orders, float], np.ndarray]
    orders: Orders = ORDERS
    comparable: Orders = ORDERS


def before(deadline: float, jobs: Iterable[Any]) -> Iterable[Any]:
    """Yield jobs until the deadline."""
    for job in jobs:
        if time.perf_counter() > deadline:
            raise CutOffError
        yield job


def one_by_one(distance: Callable[[np.ndarray, np.ndarray, float], float]) -> Callable[..., np.ndarray]:
    """Turn a function of one pair and order into one of many pairs and orders."""

    def distances(pairs: Sequence[Pair], orders: Orders, deadline: float) -> np.ndarray:
        return np.array([[distance(*pair, order) for order in orders] for pair in before(deadline, pairs)])

    return distances


def each(diagrams: Callable[[np.ndarray], Diagrams]) -> Callable[..., list[Diagrams]]:
    """Turn a function of one matrix into one of many matrices."""

    def all_diagrams(matrices: Sequence[np.ndarray], deadline: float) -> list[Diagrams]:
        return [diagrams(matrix) for matrix in before(deadline, matrices)]

    return all_diagrams


TWO_THREADS = ThreadPoolExecutor(2)


def diagrams_by_two_threads(matrices: Sequence[np.ndarray], deadline: float) -> list[Diagrams]:
    """Compute two layers at a time, as `TopoLipCallback` does where torch has two threads."""
    return list(TWO_THREADS.map(persistence_diagrams, matrices))


def distances_by_two_threads(pairs: Sequence[Pair], orders: Orders, deadline: float) -> np.ndarray:
    """Compute two pairs at a time."""
    return np.concatenate(list(TWO_THREADS.map(lambda pair: wasserstein_distances([pair], orders), pairs)))


def plain_matrix(cloud: torch.Tensor) -> np.ndarray:
    """The matrix of scikit-learn, which giotto-tda and Ripser use for a cloud."""
    return pairwise_distances(cloud.numpy())


def giotto_diagrams(matrix: np.ndarray) -> Diagrams:
    """Giotto-tda's estimator, without its padding."""
    from gtda.homology import VietorisRipsPersistence

    rips = VietorisRipsPersistence(metric="precomputed", homology_dimensions=DIMENSIONS)
    points = rips.fit_transform([matrix])[0]
    return {k: points[(points[:, 2] == k) & (points[:, 0] < points[:, 1]), :2] for k in DIMENSIONS}


def giotto_distance(first: np.ndarray, second: np.ndarray, order: float) -> float:
    """The functions that giotto-tda's PairwiseDistance calls, with its default delta but without its checks."""
    from gtda.externals.modules.gtda_bottleneck import bottleneck_distance
    from gtda.externals.modules.gtda_wasserstein import wasserstein_distance

    if math.isinf(order):
        return float(bottleneck_distance(first, second, 0.01))
    return float(wasserstein_distance(first, second, order, 0.01))


def ripser_diagrams(matrix: np.ndarray) -> Diagrams:
    """Ripser, without the essential class."""
    diagrams = ripser.ripser(matrix, maxdim=max(DIMENSIONS), distance_matrix=True)["dgms"]
    return {k: diagrams[k][np.isfinite(diagrams[k][:, 1])] for k in DIMENSIONS}


def persim_distance(first: np.ndarray, second: np.ndarray, order: float) -> float:
    """Persim's bottleneck distance, or its W_1 with the Euclidean ground metric; it has no other order."""
    return float((persim.bottleneck if math.isinf(order) else persim.wasserstein)(first, second))


def gudhi_distance(first: np.ndarray, second: np.ndarray, order: float) -> float:
    """GUDHI's distance by POT, and its exact bottleneck distance."""
    if math.isinf(order):
        return float(gudhi.bottleneck.bottleneck_distance(first, second, 0.0))
    return float(gudhi.wasserstein.wasserstein_distance(first, second, order=order, internal_p=np.inf))


CONTENDERS = (
    Contender(
        "lightning_topolip",
        lambda cloud: distance_matrix(cloud).numpy(),
        each(persistence_diagrams),
        lambda pairs, orders, _: wasserstein_distances(pairs, orders),
    ),
    Contender(
        "2 threads",
        lambda cloud: distance_matrix(cloud).numpy(),
        diagrams_by_two_threads,
        distances_by_two_threads,
    ),
    Contender("giotto-tda", plain_matrix, each(giotto_diagrams), one_by_one(giotto_distance)),
    Contender(
        "ripser + persim",
        plain_matrix,
        each(ripser_diagrams),
        one_by_one(persim_distance),
        (1.0, math.inf),
        (math.inf,),
    ),
    Contender(
        "GUDHI + POT",
        plain_matrix,
        each(lambda matrix: persistence_diagrams(matrix, DIMENSIONS, engine="gudhi")),
        one_by_one(gudhi_distance),
    ),
)


def random_epochs(n: int) -> list[list[torch.Tensor]]:
    """Two epochs of independent Gaussian clouds in 128 dimensions: one dense blob in H1, a hard case."""
    generator = torch.Generator().manual_seed(0)
    return [[torch.randn(n, 128, generator=generator) for _ in range(LAYERS)] for _ in range(2)]


def sphere_epochs(n: int) -> list[list[torch.Tensor]]:
    """Two epochs of uniform points on a sphere, where most engines are slow."""
    return [[torch.nn.functional.normalize(cloud) for cloud in clouds] for clouds in random_epochs(n)]


def network_epochs(n: int, data: DigitsDataModule | ImageFolderDataModule) -> list[list[torch.Tensor]]:
    """The 12 blocks of a residual network after the second and the third epoch of its training."""
    torch.manual_seed(0)
    data.setup("fit")
    model = ResNetClassifier(size="micro", blocks=(3, 3, 3, 3), num_classes=data.num_classes)
    images, _ = take_probe(data.train_dataloader(), n)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    epochs: list[list[torch.Tensor]] = []
    for epoch in range(3):
        model.train()
        for batch, labels in data.train_dataloader():
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(batch), labels).backward()
            optimizer.step()
        if epoch > 0:
            epochs.append(clouds_of(model, images))
    return epochs


def steps(earlier: list[Diagrams], later: list[Diagrams]) -> list[Pair]:
    """The 11 steps over depth and the 12 steps over epochs, each dimension separately."""
    pairs = [*itertools.pairwise(later), *zip(earlier, later, strict=True)]
    return [(first[k], second[k]) for first, second in pairs for k in DIMENSIONS]


def exact(first: np.ndarray, second: np.ndarray, order: float) -> float:
    """The reference: scipy's dense assignment summed in long double; for the bottleneck, a search over all radii."""
    k, m = len(first), len(second)
    apart = np.abs(first[:, None] - second[None]).max(axis=2)
    left, right = (first[:, 1] - first[:, 0]) / 2, (second[:, 1] - second[:, 0]) / 2
    if math.isinf(order):
        lengths = np.zeros((k + m, k + m))
        lengths[:k, :m], lengths[:k, m:], lengths[k:, :m] = apart, left[:, None], right
        radii = np.unique(lengths)
        low, high = 0, len(radii) - 1
        while low < high:
            middle = (low + high) // 2
            matched = maximum_bipartite_matching(csr_matrix(lengths <= radii[middle]), perm_type="column")
            low, high = (low, middle) if (matched >= 0).all() else (middle + 1, high)
        return float(radii[low])
    unit = max(left.max(initial=0.0), right.max(initial=0.0))
    costs = (apart / unit) ** order - (left[:, None] / unit) ** order - (right / unit) ** order
    rows, columns = linear_sum_assignment(np.minimum(costs, 0.0))
    rows, columns = rows[costs[rows, columns] < 0], columns[costs[rows, columns] < 0]
    lengths = np.concatenate((apart[rows, columns], np.delete(left, rows), np.delete(right, columns)))
    total = ((lengths.astype(np.longdouble) / unit) ** np.longdouble(order)).sum()
    return float(total ** np.longdouble(1.0 / order)) * float(unit)


@dataclass
class Run:
    """The seconds and distances of one contender for one kind of clouds and one size."""

    contender: Contender
    seconds: list[dict[str, float]]
    values: np.ndarray | None = None
    cut_off: str | None = None

    def once(self, clouds: list[torch.Tensor], pairs: list[Pair], limit: float) -> None:
        """Do the job once, stage by stage; all contenders get the same diagrams for the distances."""
        seconds: dict[str, float] = {}
        stage, start = "matrices", time.perf_counter()
        try:
            matrices = [self.contender.matrix(cloud) for cloud in before(start + limit, clouds)]
            seconds[stage], stage, start = time.perf_counter() - start, "persistence", time.perf_counter()
            self.contender.diagrams(matrices, start + limit)
            seconds[stage], stage, start = time.perf_counter() - start, "distances", time.perf_counter()
            self.values = self.contender.distances(pairs, self.contender.orders, start + limit)
            seconds[stage] = time.perf_counter() - start
            seconds["whole"] = sum(seconds.values())
        except CutOffError:
            self.cut_off = stage
        self.seconds.append(seconds)

    def median(self, stage: str) -> float | None:
        """Median of the seconds of a stage; None if it never finished."""
        finished = [seconds[stage] for seconds in self.seconds if stage in seconds]
        return float(np.median(finished)) if finished else None

    def error(self, expected: dict[int, dict[float, float]]) -> float | None:
        """Largest relative difference from the reference; None if nothing can be compared."""
        if self.values is None:
            return None
        pairs = [
            (self.values[pair, self.contender.orders.index(order)], value)
            for pair, references in expected.items()
            for order, value in references.items()
            if order in self.contender.comparable and value > 0
        ]
        return max((abs(computed - value) / value for computed, value in pairs), default=None)


def installed(names: Sequence[str]) -> list[Contender]:
    """The contenders of these names; giotto-tda has no wheel for Python 3.13 and newer."""
    return [each for each in CONTENDERS if each.name in names and (each.name != "giotto-tda" or HAS_GIOTTO)]


def measure(
    kind: str, n: int, epochs: list[list[torch.Tensor]], options: argparse.Namespace, cut: set[str]
) -> list[Any]:
    """Run all contenders on one kind of clouds and one size; add to `cut` those that must not try a larger size."""
    pairs = steps(*([persistence_diagrams(distance_matrix(cloud).numpy()) for cloud in clouds] for clouds in epochs))
    runs = [Run(contender, []) for contender in installed(options.contenders) if contender.name not in cut]
    for repeat in range(options.repeats):
        for run in runs:
            spent = sum(sum(seconds.values()) for seconds in run.seconds)
            if run.cut_off is None and (repeat == 0 or spent < options.limit):
                run.once(epochs[1], pairs, options.limit)
    cut |= {run.contender.name for run in runs if run.cut_off}
    sample = np.linspace(0, len(pairs) - 2, CHECKED.get(n, 0), dtype=int) // 2 * 2
    expected = {
        int(pair): {order: exact(*pairs[pair], order) for order in ORDERS}
        for pair in (*sample, *(sample + 1))
        if min(map(len, pairs[pair])) > 0
    }
    return [
        {
            "clouds": kind,
            "n": n,
            "contender": run.contender.name,
            "distances counted": len(pairs) * len(run.contender.orders),
            "seconds": {stage: run.median(stage) for stage in (*STAGES, "whole")},
            "repeats": len(run.seconds),
            "cut off": run.cut_off,
            "limit": options.limit,
            "largest relative error": run.error(expected),
        }
        for run in runs
    ]


def draw(rows: list[dict[str, Any]]) -> Figure:
    """Draw the seconds of the distances against n, one panel per kind of clouds."""
    kinds = list(dict.fromkeys(row["clouds"] for row in rows))
    figure = Figure(figsize=(5 * len(kinds), 4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, kind in zip(np.atleast_1d(figure.subplots(1, len(kinds), sharey=True)), kinds, strict=True):
        for contender in CONTENDERS:
            if contender.name == "2 threads":
                continue
            results = [row for row in rows if row["clouds"] == kind and row["contender"] == contender.name]
            done = [(row["n"], row["seconds"]["distances"]) for row in results if row["seconds"]["distances"]]
            (line,) = axes.plot([n for n, _ in done], [s for _, s in done], marker="o", label=contender.name)
            for row in results:
                if row["cut off"] == "distances":
                    axes.plot(
                        row["n"], row["limit"], marker="^", color=line.get_color(), fillstyle="none", linestyle=""
                    )
        axes.set(xscale="log", yscale="log", title=KINDS[kind], xlabel="points of the probe, n")
        sizes = sorted({row["n"] for row in rows})
        axes.set_xticks(sizes, [str(n) for n in sizes], minor=False)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.axes[0].plot([], [], marker="^", color="0.3", fillstyle="none", linestyle="", label="cut off at the limit")
    figure.axes[0].set_ylabel("seconds for all distances of an epoch")
    figure.axes[0].legend(frameon=False)
    return figure


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    table = Table(title=f"Seconds for {LAYERS} layers, ratios of the distances in the same run")
    for column in ("clouds", "n", "", *STAGES, "whole", "distances", "whole", "error"):
        table.add_column(column, justify="right")
    for row in rows:
        ours = next(r for r in rows if (r["clouds"], r["n"]) == (row["clouds"], row["n"]))["seconds"]
        seconds, error = row["seconds"], row["largest relative error"]
        cells = ["-" if seconds[stage] is None else f"{seconds[stage]:.3g}" for stage in (*STAGES, "whole")]
        cut_off = row["cut off"] and f"{row['cut off']} > {row['limit']:g} s"
        ratios = [cut_off, ""] if cut_off else [f"{seconds[k] / ours[k]:.1f} x" for k in ("distances", "whole")]
        table.add_row(
            row["clouds"], str(row["n"]), row["contender"], *cells, *ratios, "" if error is None else f"{error:.0e}"
        )
    Console(width=140).print(table)


def about(load_before: tuple[float, ...]) -> dict[str, Any]:
    """The machine and the versions."""
    packages = ("numpy", "scipy", "numba", "llvmlite", "torch", "scikit-learn", "redzed-tda", "giotto-tda", "giotto-ph")
    return {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load of a minute, before and after": [load_before[0], os.getloadavg()[0]],
        **versions((*packages, "gudhi", "POT", "ripser", "persim")),
    }


def main() -> None:
    """Measure, print the table, write the numbers and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), help=f"some of {', '.join(KINDS)}")
    names = [contender.name for contender in CONTENDERS]
    parser.add_argument("--contenders", nargs="+", default=names, help=f"some of {', '.join(names)}; the first too")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds per stage")
    parser.add_argument("--images", type=Path, help="folder with train/<class>/* and test/<class>/*")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/distances.json"))
    options = parser.parse_args()
    if options.short:
        options.sizes, options.repeats, options.limit = [64, 128], 2, 10.0
    load = os.getloadavg()
    compile_kernels()
    points = np.array([[0.0, 1.0], [0.5, 2.0]])
    for contender in installed(options.contenders):  # so that loading at the first call does not count
        contender.distances([(points, points[:1])], contender.orders, math.inf)
        contender.diagrams([contender.matrix(torch.rand(9, 2))] * 2, math.inf)
    kinds: dict[str, Callable[[int], list[list[torch.Tensor]]]] = {
        "random": random_epochs,
        "sphere": sphere_epochs,
        "digits": lambda n: network_epochs(n, DigitsDataModule(batch_size=64)),
    }
    if options.images:
        kinds["images"] = lambda n: network_epochs(
            n, ImageFolderDataModule(str(options.images), subset=2000, num_workers=0)
        )
    rows = []
    for kind in [kind for kind in options.kinds if kind in kinds]:
        make = kinds[kind]
        cut: set[str] = set()
        for n in options.sizes:
            rows += measure(kind, n, make(n), options, cut)
    show(rows)
    if not options.short:
        options.output.write_text(json.dumps({"about": about(load), "results": rows}, indent=2) + "\n")
        draw(rows).savefig(options.output.with_suffix(".png"), dpi=120)


if __name__ == "__main__":
    main()
