"""The files of a made-up study, with every quantity that a report shows."""

import json
import math
from pathlib import Path

import numpy as np

from lightning_topolip.report.source import Source
from lightning_topolip.robustness import CORRUPTIONS
from lightning_topolip.study.judging.results import Results, Row
from lightning_topolip.study.judging.summaries import AT_INPUT_SPACING

LAYERS = {
    "vit": [f"network.blocks.{index}" for index in range(12)],
    "resnet": [f"network.layer{stage}.{index}" for stage in (1, 2, 3) for index in range(3)],
}
EPOCHS = (0.0, 1.0, 2.0, 4.0, 8.0)
FORMS = ("scaled W2", "scaled W1", "scaled bottleneck", "raw W2", "raw W1", "raw bottleneck")


class MadeUpRun:
    """The rows of one made-up run."""

    def __init__(self, data: str, model: str, seed: int) -> None:
        self.key = (data, model, seed)
        self.layers = LAYERS[model]
        self.rng = np.random.default_rng([len(data), len(model), seed])
        self.rows: list[Row] = []
        self.rough = 0.6 if model == "vit" else 1.0

    def add(
        self,
        epoch: float,
        quantity: str,
        value: float,
        variant: str = "",
        layer: str = "",
        condition: str = "",
        strength: float = 0.0,
        error: float = math.nan,
    ) -> None:
        run = (*self.key, epoch)
        self.rows.append(Row(*run, quantity, variant, layer, condition, strength, float(value), error))

    def drifts(self) -> np.ndarray:
        depth = np.linspace(0, 1, len(self.layers))
        shape = 0.15 + 0.1 * self.rough * np.sin(7 * depth) ** 2
        shape[0] *= 4
        return shape * self.rng.lognormal(0, 0.12, len(depth))

    def epoch(self, epoch: float, first: bool) -> None:
        learned = 1 - math.exp(-epoch / 2)
        self.add(epoch, "accuracy", 0.1 + 0.7 * learned * self.rng.uniform(0.95, 1), condition="validation")
        for form in FORMS:
            factor = 30.0 if form.startswith("raw") else 1.0
            drifts = self.drifts() * factor * (1 + 0.4 * learned)
            share = 0.05 if form == FORMS[0] else math.nan
            scores = {
                "topolip": np.abs(np.diff(drifts[1:])).mean(),
                "speed_mean": drifts[1:].mean(),
                "speed_max": drifts[1:].max(),
            }
            for name, value in scores.items():
                self.add(epoch, name, value, form, error=share * value)
            for layer, drift in zip(self.layers, drifts, strict=True):
                self.add(epoch, "drift", drift, form, layer, error=share * drift)
        for part, share in (("H0", 0.8), ("H1", 0.6)):
            for layer, drift in zip(self.layers, self.drifts(), strict=True):
                self.add(epoch, "drift", share * drift, f"scaled W2 {part}", layer)
        self.add(epoch, "noise", 0.04 * self.rng.uniform(0.8, 1.2), "scaled W2")
        self.add(epoch, "signal", 3.0 * self.rng.uniform(0.8, 1.2), "scaled W2")
        self.add(epoch, "input_drift", 0.6 * self.rng.uniform(0.8, 1.2), "scaled W2", error=0.03)
        if not first:
            self.add(epoch, "path_length", self.rough * learned * self.rng.uniform(0.9, 1.1), "scaled W2", error=0.04)
        for index, layer in enumerate(["<input>", *self.layers]):
            if not first:
                moved = 0.0 if index == 0 else 0.3 * math.exp(-epoch / 3) * self.rng.uniform(0.5, 1.5)
                self.add(epoch, "epoch_drift", moved, "scaled W2", layer, error=0.1 * moved)
                self.add(epoch, "epoch_drift", 30 * moved, "raw W2", layer)
            self.add(epoch, "scale", 3 + index, layer=layer)
            self.add(epoch, "total_variance", 40 * 1.6**index * self.rng.uniform(0.8, 1.2), layer=layer)
            self.add(epoch, "two_nn_dimension", 12 - 0.5 * index * self.rough + self.rng.normal(0, 0.5), layer=layer)
            self.add(epoch, "participation_ratio", 9 - 0.4 * index + self.rng.normal(0, 0.4), layer=layer)
            self.add(epoch, "covering_dimension", 5 - 0.2 * index + self.rng.normal(0, 0.2), layer=layer)
            if index:
                self.add(epoch, "pairwise_lipschitz", 1.3**index, "from input", layer)
                self.add(epoch, "pairwise_lipschitz", 2 + self.rough, "step", layer)

    def end(self, epoch: float) -> None:
        for layer in [*self.layers, "<output>", "<network>"]:
            factor = 20.0 if layer == "<network>" else 1.0
            local = factor * 3 * self.rng.uniform(0.5, 1.5)
            self.add(epoch, "local_lipschitz", local, "max", layer)
            self.add(epoch, "local_lipschitz", 0.6 * local, "mean", layer)
            loose = math.inf if self.key[1] == "vit" and layer in (self.layers[2], "<network>") else factor**3 * 40
            self.add(epoch, "lipschitz_bound", loose, "upper", layer)
        for layer in self.layers:
            self.add(epoch, "path_length", self.rough * self.rng.uniform(0.5, 1.5), "scaled W2", layer, error=0.08)
        for index, layer in enumerate(["<input>", *self.layers]):
            near = 60 * self.rough + index + self.rng.uniform(0, 2)
            self.add(epoch, "covering_number", near, AT_INPUT_SPACING, layer, strength=0.35)
            self.add(epoch, "packing_number", near // 3, AT_INPUT_SPACING, layer, strength=0.35)
            for radius in np.linspace(0.1, 1.5, 8).tolist():
                upper = max(256 * math.exp(-4 * radius * self.rough), 1)
                self.add(epoch, "covering_number", round(upper), layer=layer, strength=radius)
                self.add(epoch, "packing_number", max(round(0.6 * upper), 1), layer=layer, strength=radius)
        clean = 0.8 * self.rng.uniform(0.95, 1)
        self.add(epoch, "accuracy", clean, condition="clean")
        self.add(epoch, "images", 500, condition="clean")
        for place, name in enumerate(CORRUPTIONS):
            for severity in range(1, 6):
                lost = severity * (0.02 + 0.006 * place) * self.rough
                self.add(epoch, "accuracy", max(clean - lost, 0.1), condition=name, strength=severity)
        for attack, force in (("fgsm", 0.7), ("pgd", 1.0)):
            for radius in (0.5, 1.0, 2.0, 4.0, 8.0):
                value = clean * math.exp(-force * radius * self.rough / 2)
                self.add(epoch, "accuracy", value, condition=attack, strength=radius)
        for family, strengths in (("noise", (0.04, 0.08, 0.16)), ("fog", (1, 3, 5)), ("pgd", (1, 2, 4, 8))):
            for strength in strengths:
                for index, layer in enumerate(["<input>", *self.layers]):
                    reach = 0.2 * strength / max(strengths) * (1 + 0.1 * index * self.rough)
                    at = {"variant": "scaled W2", "layer": layer, "condition": family, "strength": strength}
                    self.add(epoch, "perturbation_drift", reach, **at)
                    self.add(epoch, "perturbation_displacement", reach * self.rng.uniform(0.9, 1.1), **at)
                    self.add(epoch, "perturbation_gain", 1 + 0.1 * index * self.rough, **at)
        self.add(epoch, "parameters", 5_526_346 if self.key[1] == "vit" else 272_474)


def made_up_rows(data: tuple[str, ...], models: tuple[str, ...], seeds: tuple[int, ...]) -> list[Row]:
    rows = []
    for key in [(d, m, s) for d in data for m in models for s in seeds]:
        run = MadeUpRun(*key)
        for epoch in EPOCHS:
            run.epoch(epoch, first=epoch == EPOCHS[0])
        run.end(EPOCHS[-1])
        rows += run.rows
    return rows


def made_up_diagrams(data: tuple[str, ...], models: tuple[str, ...]) -> dict[str, object]:
    rng = np.random.default_rng(0)
    kept = {}
    for key in [(d, m) for d in data for m in models]:
        names = LAYERS[key[1]]
        layers = {}
        for layer in (names[0], names[len(names) // 2], names[-1]):
            births = rng.uniform(2, 4, 60)
            layers[layer] = {
                "scale": 5.0,
                "H0": [[0.0, death] for death in rng.uniform(1, 4, 255).tolist()],
                "H1": np.stack([births, births + rng.exponential(0.3, 60)], axis=1).tolist(),
            }
        kept["/".join(key)] = {"seed": 0, "epoch": EPOCHS[-1], "layers": layers}
    return kept


def made_up_about(data: tuple[str, ...], models: tuple[str, ...], seeds: tuple[int, ...]) -> dict[str, object]:
    return {
        "name": "vit_vs_resnet",
        "title": "Is smoothness the key to robustness?",
        "question": "Do attention models carry their data more evenly than convolution, and are they more robust?",
        "command": "topolip study --config examples/vit_vs_resnet.yaml --size short",
        "config": {"title": "Is smoothness the key to robustness?", "seeds": list(seeds), "note": "<b> & more"},
        "versions": {"torch": "2.14.1", "lightning": "2.6.0", "lightning_topolip": "0.3.0"},
        "machine": "Linux, 2 cores",
        "runs": [
            {
                "data": d,
                "model": m,
                "seed": s,
                "epochs": 8,
                "parameters": 5_526_346 if m == "vit" else 272_474,
                "seconds training": 123.4,
                "seconds measuring": 45.6,
                "failure": None,
            }
            for d in data
            for m in models
            for s in seeds
        ],
        "claims": [
            {
                "says": "The ViT carries data more evenly than the ResNet: its TopoLip is lower.",
                "source": "arXiv 2410.17628, section 4",
                "summary": "topolip",
                "lower": "vit",
                "higher": "resnet",
            },
            {
                "says": "Smoothness goes with robustness: the lower TopoLip, the less accuracy corruptions cost.",
                "correlation": ["topolip", "corruption_drop"],
                "sign": "positive",
            },
            {
                "says": "The ResNet has the lower intrinsic dimension.",
                "summary": "two_nn_dimension",
                "lower": "resnet",
                "higher": "vit",
            },
            {
                "says": "The ViT is steadier in training: its path to the same accuracy is shorter.",
                "summary": "path_length",
                "lower": "vit",
                "higher": "resnet",
            },
        ],
    }


def write_study(
    folder: Path,
    rows: list[Row],
    about: dict[str, object] | None = None,
    diagrams: dict[str, object] | None = None,
) -> Path:
    Results(rows).write(folder / "results.csv")
    if about is not None:
        (folder / "about.json").write_text(json.dumps(about))
    if diagrams is not None:
        (folder / "diagrams.json").write_text(json.dumps(diagrams))
    return folder


def whole_study(
    folder: Path,
    data: tuple[str, ...] = ("digits", "cifar10"),
    models: tuple[str, ...] = ("vit", "resnet"),
    seeds: tuple[int, ...] = (0, 1, 2),
) -> Path:
    rows = made_up_rows(data, models, seeds)
    return write_study(folder, rows, made_up_about(data, models, seeds), made_up_diagrams(data, models))


def only(rows: list[Row], *quantities: str) -> list[Row]:
    return [row for row in rows if row.quantity in quantities]


def source_of(rows: list[Row], about: dict[str, object] | None = None) -> Source:
    return Source(Results(rows), about or {}, {})
