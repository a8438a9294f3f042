"""The regulariser against a training step that adds the same penalty to its loss."""

from __future__ import annotations

import copy
import math
import re
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.trainings import trainer
from lightning import LightningModule
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import FSDPStrategy
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

from lightning_topolip import TopoLipCallback, TopoLipRegularizer, resolve_layers, topolip_loss
from lightning_topolip.notices import Notices
from lightning_topolip.trainer.collapse import CollapseGuard

WEIGHT, POINTS = 0.5, 16
_GENERATOR = torch.Generator().manual_seed(1)
DATA = TensorDataset(torch.randn(96, 8, generator=_GENERATOR), torch.randint(3, (96,), generator=_GENERATOR))
Gradients = list[list[Tensor]]


class Blocks(LightningModule):
    """A stem, four blocks and a head; ``weight`` adds the penalty to the loss of its ``training_step``."""

    def __init__(self, weight: float | None = None, quantity: Any = "score", view: Any = "scaled") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Linear(8, 16)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(16, 16), nn.ReLU()) for _ in range(4)])
        self.head = nn.Linear(16, 3)
        self.weight, self.quantity, self.view = weight, quantity, view
        self.outputs: list[Tensor] = []
        self.gradients: Gradients = []

    def run_block(self, block: nn.Module, hidden: Tensor) -> Tensor:
        output: Tensor = block(hidden)
        return output

    def forward(self, inputs: Tensor) -> Tensor:
        self.outputs = []
        hidden = self.stem(inputs)
        for block in self.blocks:
            hidden = self.run_block(block, hidden)
            self.outputs.append(hidden)
        logits: Tensor = self.head(hidden)
        return logits

    def loss(self, batch: Any) -> Tensor:
        inputs, labels = batch
        loss = nn.functional.cross_entropy(self(inputs), labels)
        if self.weight is None:
            return loss
        clouds = [output[:POINTS].flatten(1) for output in self.outputs]
        return loss + self.weight * topolip_loss(clouds, self.quantity, self.view)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch)

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.keep_gradients()

    def keep_gradients(self) -> None:
        self.gradients.append([weight.grad.clone() for weight in self.parameters() if weight.grad is not None])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.05)


class Reentrant(Blocks):
    def run_block(self, block: nn.Module, hidden: Tensor) -> Tensor:
        output: Tensor = checkpoint(block, hidden, use_reentrant=True)
        return output


class Recomputing(Blocks):
    def run_block(self, block: nn.Module, hidden: Tensor) -> Tensor:
        output: Tensor = checkpoint(block, hidden, use_reentrant=False)
        return output


class WorksInPlace(Blocks):
    """A later layer writes into the output of a block."""

    def run_block(self, block: nn.Module, hidden: Tensor) -> Tensor:
        linear = block[0](hidden)  # type: ignore[index]
        self.kept.append(linear.clone() if self.weight is not None else linear)
        return linear.relu_()  # type: ignore[no-any-return]

    def forward(self, inputs: Tensor) -> Tensor:
        self.kept: list[Tensor] = []
        logits = super().forward(inputs)
        self.outputs = self.kept
        return logits


class TwoPasses(Blocks):
    """A pass before the one of the loss, as of another view."""

    def loss(self, batch: Any) -> Tensor:
        with torch.no_grad():
            self(torch.zeros_like(batch[0]))
        return super().loss(batch)


class LooksAgain(Blocks):
    """A pass without gradients after the one of the loss, as for a metric."""

    def loss(self, batch: Any) -> Tensor:
        loss = super().loss(batch)
        with torch.no_grad():
            self(torch.zeros_like(batch[0]))
        return loss


class GradientPenalty(Recomputing):
    """The blocks run once more within `torch.autograd.grad`."""

    def loss(self, batch: Any) -> Tensor:
        loss = super().loss(batch)
        (gradient,) = torch.autograd.grad(loss, self.head.bias, retain_graph=True)
        torch.autograd.grad(loss, self.stem.weight, retain_graph=True)
        return loss + 0.0 * gradient.sum()


class Chunks(Blocks):
    """The loss takes the other part of what an operation returned."""

    def run_block(self, block: nn.Module, hidden: Tensor) -> Tensor:
        output: Tensor = block(hidden)
        return output

    def forward(self, inputs: Tensor) -> Tensor:
        self.outputs = []
        hidden = self.stem(inputs)
        for block in self.blocks:
            first, second = self.halve(block(hidden))
            self.outputs.append(first)
            hidden = torch.cat([second, second], dim=1)
        logits: Tensor = self.head(hidden)
        return logits

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.halves = nn.ModuleList([Half() for _ in range(4)])

    def halve(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        part: Any = self.halves[len(self.outputs)](hidden)
        return part


class Half(nn.Module):
    def forward(self, hidden: Tensor) -> Any:
        return hidden.chunk(2, dim=1)


class Frozen(Blocks):
    """The first layers have no gradient, as in fine-tuning."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.stem.requires_grad_(False)
        self.blocks[0].requires_grad_(False)


class Manual(Blocks):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.loss(batch))
        optimizer.step()


class TwoOptimizers(Manual):
    """A backward pass that does not reach the blocks, then one that does; gradients of both."""

    def training_step(self, batch: Any, batch_idx: int) -> None:
        head, rest = self.optimizers()
        with torch.no_grad():
            hidden = self.stem(batch[0])
        head.zero_grad()
        self.manual_backward(self.head(hidden).square().mean())
        head.step()
        rest.zero_grad()
        self.manual_backward(self.loss(batch))
        rest.step()

    def configure_optimizers(self) -> Any:
        rest = [*self.stem.parameters(), *self.blocks.parameters()]
        return [torch.optim.SGD(self.head.parameters(), 0.05), torch.optim.SGD(rest, 0.05)]


def gradients(folder: Path, model: Blocks, *callbacks: Callback, fit: Any = None, **options: Any) -> Gradients:
    run = trainer(folder, *callbacks, max_epochs=1, **options)
    run.fit(model if fit is None else fit, DataLoader(DATA, batch_size=24))
    return model.gradients


def regulariser(**options: Any) -> TopoLipRegularizer:
    defaults: dict[str, Any] = {"weight": WEIGHT, "layers": "blocks.*", "points": POINTS, "max_ratio": None}
    return TopoLipRegularizer(**{**defaults, **options})


def difference(first: Gradients, second: Gradients) -> float:
    """The largest relative difference of the gradients of a step."""
    assert len(first) == len(second) > 0
    steps = [[torch.cat([part.flatten() for part in step]) for step in steps] for steps in (first, second)]
    return max(float((one - other).norm() / one.norm()) for one, other in zip(*steps, strict=True))


KINDS: dict[str, tuple[type[Blocks], dict[str, Any]]] = {
    "plain": (Blocks, {}),
    "accumulated": (Blocks, {"accumulate_grad_batches": 2}),
    "bf16-mixed": (Blocks, {"precision": "bf16-mixed"}),
    "in double precision": (Blocks, {"precision": "64-true"}),
    "clipped": (Blocks, {"gradient_clip_val": 0.01}),
    "manual": (Manual, {}),
    "two optimizers": (TwoOptimizers, {}),
    "two passes": (TwoPasses, {}),
    "works in place": (WorksInPlace, {}),
    "frozen layers": (Frozen, {}),
    "non-reentrant checkpoints": (Recomputing, {}),
    "reentrant checkpoints": (Reentrant, {}),
    "a pass without gradients afterwards": (LooksAgain, {}),
    "recomputation outside the backward pass": (GradientPenalty, {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_loss_with_the_penalty(tmp_path: Path, kind: str) -> None:
    model, options = KINDS[kind]
    layers = "blocks.*.0" if model is WorksInPlace else "blocks.*"
    steered = gradients(tmp_path, model(), regulariser(layers=layers), **options)
    assert difference(gradients(tmp_path, model(WEIGHT), **options), steered) < 1e-6
    assert difference(gradients(tmp_path, model(), **options), steered) > 0.1


@pytest.mark.parametrize("view", ["scaled", "raw"])
@pytest.mark.parametrize("quantity", ["speed_mean", "speed_max"])
def test_every_quantity_can_be_steered(tmp_path: Path, quantity: Any, view: Any) -> None:
    steered = gradients(tmp_path, Blocks(), regulariser(quantity=quantity, view=view))
    assert difference(gradients(tmp_path, Blocks(WEIGHT, quantity, view)), steered) < 1e-6


@pytest.mark.parametrize("what", ["blocks", "module"])
@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_gradients_of_compiled_modules(tmp_path: Path, what: str) -> None:
    model = Blocks()
    if what == "blocks":
        for block in model.blocks:
            block.compile(backend="eager")
    fit = torch.compile(model, backend="eager") if what == "module" else model
    steered = gradients(tmp_path, model, regulariser(), fit=fit)
    assert difference(gradients(tmp_path, Blocks(WEIGHT)), steered) < 1e-6


class LossScale:
    """A `GradScaler` of a CPU, which is not worth one but takes it."""

    def __init__(self) -> None:
        self.factor = 1024.0

    def scale(self, loss: Tensor) -> Tensor:
        return loss * self.factor

    def get_scale(self) -> float:
        return self.factor


def test_a_loss_scale_is_respected(tmp_path: Path) -> None:
    from lightning.pytorch.plugins.precision import MixedPrecision

    class Scaled(MixedPrecision):
        def optimizer_step(self, optimizer: Any, model: Any, closure: Any, **options: Any) -> Any:
            def unscaled() -> Any:
                result = closure()
                for weight in model.parameters():
                    weight.grad /= 1024
                return result

            return super(MixedPrecision, self).optimizer_step(optimizer, model=model, closure=unscaled, **options)

    def plugin() -> Scaled:
        return Scaled("16-mixed", "cpu", LossScale())  # type: ignore[arg-type]

    def run(model: Blocks, *callbacks: Callback) -> Gradients:
        with torch.autocast("cpu", torch.bfloat16):
            return gradients(tmp_path, model, *callbacks, plugins=[plugin()])

    assert difference(run(Blocks(WEIGHT)), run(Blocks(), regulariser())) < 1e-6


class Norms(Callback):
    """Norms of the loss's gradient at the outputs, step by step; comes before the regulariser."""

    def __init__(self) -> None:
        self.norms: list[float] = []

    def on_before_backward(self, run: Any, module: Blocks, loss: Tensor) -> None:
        gradients = torch.autograd.grad(loss, module.outputs, retain_graph=True)
        self.norms.append(math.hypot(*(float(gradient.norm()) for gradient in gradients)))


class Logged(Callback):
    """What was logged, step by step; comes after the regulariser."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_train_batch_end(self, run: Any, *_: Any) -> None:
        self.steps.append({key.partition("/")[2]: float(value) for key, value in run.callback_metrics.items()})


def penalty_norm(model: Blocks) -> float:
    leaves = [output[:POINTS].detach().requires_grad_() for output in model.outputs]
    gradients = torch.autograd.grad(topolip_loss(leaves), leaves)
    return math.hypot(*(float(gradient.norm()) for gradient in gradients))


def test_the_penalty_is_limited_by_the_last_comparison(tmp_path: Path) -> None:
    """The steps 0, 1, 2 and 4 compare; step 3 has the limited weight, step 5 the next one."""
    norms, logged, model = Norms(), Logged(), Blocks()
    run = trainer(tmp_path, norms, regulariser(weight=-8.0, max_ratio=0.25), logged, max_epochs=2, max_steps=6)
    run.fit(model, DataLoader(DATA, batch_size=24))
    weights = [step["weight"] for step in logged.steps]
    assert weights[:3] == [0.0, 0.0, 0.0]
    assert weights[4] == 0.0
    assert weights[5] == pytest.approx(-0.25 * norms.norms[4] / penalty_norm(model), rel=1e-4)
    assert logged.steps[3]["ratio"] == pytest.approx(0.25)
    assert logged.steps[5]["ratio"] == pytest.approx(0.25)


def test_a_small_penalty_is_not_limited(tmp_path: Path) -> None:
    limited = gradients(tmp_path, Blocks(), regulariser(weight=1e-4, max_ratio=1.0))
    whole = gradients(tmp_path, Blocks(), regulariser(weight=1e-4))
    plain = gradients(tmp_path, Blocks())
    assert difference(plain[:3], limited[:3]) == 0.0
    run = trainer(tmp_path, steered := regulariser(weight=1e-4, max_ratio=1.0), max_epochs=1)
    run.fit(Blocks(), DataLoader(DATA, batch_size=24))
    assert float(run.callback_metrics["topolip_loss/weight"]) == pytest.approx(1e-4)
    assert steered.state_dict()["ratio"]["count"] == 4
    assert difference(whole, limited) < 1e-2


def test_start_schedule_and_interval(tmp_path: Path) -> None:
    class Weights(Callback):
        def __init__(self) -> None:
            self.seen: list[float | None] = []

        def on_train_batch_start(self, run: Any, *_: Any) -> None:
            run.callback_metrics.pop("topolip_loss/weight", None)
            run.fit_loop.epoch_loop._results.clear()

        def on_train_batch_end(self, run: Any, *_: Any) -> None:
            value = run.callback_metrics.get("topolip_loss/weight")
            self.seen.append(None if value is None else float(value))

    weights = Weights()
    steered = regulariser(weight=lambda step: step / 8, start=1, every_n_steps=2)
    run = trainer(tmp_path, steered, weights, max_epochs=2)
    run.fit(Blocks(), DataLoader(DATA, batch_size=24))
    assert weights.seen == [None] * 4 + [0.5, None, 0.75, None]


@pytest.mark.parametrize(("target", "sign"), [(0.0, 1), (10.0, -1)])
def test_a_target_is_approached_from_both_sides(tmp_path: Path, target: float, sign: int) -> None:
    steered = gradients(tmp_path, Blocks(), regulariser(target=target))
    assert difference(gradients(tmp_path, Blocks(sign * WEIGHT)), steered) < 1e-6


def test_the_monitor_and_the_regulariser_work_side_by_side(tmp_path: Path) -> None:
    alone = gradients(tmp_path, Blocks(), regulariser())
    watch = TopoLipCallback("blocks.*", probe=DataLoader(DATA, 24), probe_size=24, every_n_steps=1, figures=False)
    for order in ([watch, regulariser()], [regulariser(), watch]):
        assert difference(alone, gradients(tmp_path, Blocks(), *order)) == 0.0


class Quick(Blocks):
    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def test_smoothing_smooths_and_roughening_roughens(tmp_path: Path) -> None:
    scores = []
    for weight in (-0.1, 0.0, 1.0):
        model = Quick()
        callbacks = [regulariser(weight=weight, points=24, max_ratio=1.0)] if weight else []
        run = trainer(tmp_path, *callbacks, max_epochs=30)
        run.fit(model, DataLoader(DATA, batch_size=24))
        with torch.no_grad():
            model(DATA[:][0])
            scores.append(topolip_loss(model.outputs).item())
    assert scores[0] > 1.3 * scores[1]
    assert scores[2] < scores[1] / 1.3, scores


@pytest.mark.parametrize("weight", [20.0, -100.0])
def test_no_weight_keeps_a_network_from_learning_without_a_word(tmp_path: Path, weight: float) -> None:
    run = trainer(tmp_path, regulariser(weight=weight), max_epochs=20)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run.fit(Blocks(), DataLoader(DATA, batch_size=24))
    assert any(re.search(r"lowers its weight from epoch \d+, step \d+ on: ", str(said.message)) for said in caught)
    assert abs(float(run.callback_metrics["topolip_loss/weight"])) < abs(weight) / 2


def test_a_layer_that_collapses_lowers_the_weight() -> None:
    guard = CollapseGuard(Notices())
    guard.begin(2.0)
    guard.see_spreads({"first": 1.0, "second": 0.5}, "step 0")
    guard.see_spreads({"first": 0.9, "second": 0.06}, "step 1")
    assert guard.factor == 1.0
    with pytest.warns(UserWarning, match=r"from step 2 on: layer 'second' tells the samples apart less"):
        guard.see_spreads({"first": 0.9, "second": 0.04}, "step 2")
    guard.see_spreads({"first": 0.9, "second": 0.03}, "step 3")
    assert guard.factor == 0.25
    for _ in range(200):
        guard.see_loss(math.nan, 2.0, "step 4")
        guard.see_loss(1.9, 0.4, "step 5")
    assert guard.factor == 0.25
    other = CollapseGuard(Notices())
    other.load_state_dict(guard.state_dict())
    assert other.state_dict() == guard.state_dict()


def test_a_resumed_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    data, path = DataLoader(DATA, batch_size=24), tmp_path / "last.ckpt"

    def lowered() -> TopoLipRegularizer:
        return regulariser(weight=lambda step: -10.0 if step < 3 else -20.0, max_ratio=1.0)

    whole, first, second = Blocks(), Blocks(), Blocks()
    trainer(tmp_path, lowered(), max_epochs=3).fit(whole, data)
    run = trainer(tmp_path, lowered(), max_epochs=2)
    run.fit(first, data)
    run.save_checkpoint(path)
    trainer(tmp_path, lowered(), max_epochs=3).fit(second, data, ckpt_path=path)
    assert difference(whole.gradients[8:], second.gradients) == 0.0


def test_a_lowered_weight_stays_low_after_a_resume_and_not_in_a_new_fit(tmp_path: Path) -> None:
    steered = regulariser()
    run = trainer(tmp_path, steered, max_epochs=1)
    run.fit(Blocks(), DataLoader(DATA, batch_size=24))
    steered._guard.factor = 0.125
    run.save_checkpoint(tmp_path / "last.ckpt")
    resumed, data = regulariser(), DataLoader(DATA, batch_size=24)
    trainer(tmp_path, resumed, max_epochs=2).fit(Blocks(), data, ckpt_path=tmp_path / "last.ckpt")
    assert resumed.state_dict()["guard"]["factor"] == 0.125
    trainer(tmp_path, resumed, max_epochs=1).fit(Blocks(), data)
    assert resumed.state_dict()["guard"]["factor"] == 1.0
    resumed.load_state_dict({"guard": steered.state_dict()["guard"], "ratio": steered.state_dict()["ratio"]})
    trainer(tmp_path, resumed, max_epochs=1).fit(Blocks(), data)  # as after `validate` with a checkpoint
    assert resumed.state_dict()["guard"]["factor"] == 1.0


class Detaching(Blocks):
    def run_block(self, block: nn.Module, hidden: Tensor) -> Tensor:
        output: Tensor = block(hidden)
        return output.detach() if block is self.blocks[0] else output


class Exploding(Blocks):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs * math.inf)


class Flat(Blocks):
    """Nothing has one row per sample."""

    def run_block(self, block: nn.Module, hidden: Tensor) -> Tensor:
        output: Tensor = block(hidden.reshape(2, -1, 16))
        return output.reshape(-1, 16)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (Detaching, {}, "cannot act on 'blocks.0': the backward pass of the loss does not reach them"),
        (Exploding, {}, "skips a step: Layer 'blocks.0': A point cloud must be finite"),
        (Flat, {}, r"needs 3 layers or more with one row per sample in the training forward, got none \(blocks.0: its"),
        (Blocks, {"layers": ["blocks.0", "blocks.1"]}, "needs 3 layers or more .* got blocks.0, blocks.1"),
    ],
)
def test_what_cannot_be_done_is_said_once_and_training_goes_on(
    tmp_path: Path, model: type[Blocks], options: Any, message: str
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        steps = gradients(tmp_path, model(), regulariser(**options))
    said = [str(warning.message) for warning in caught if "TopoLip" in str(warning.message)]
    assert len(steps) == 4
    assert len(said) == 1
    assert re.search(message, said[0])


def test_a_last_batch_of_two_samples_is_not_penalised(tmp_path: Path) -> None:
    model, data = Blocks(), DataLoader(TensorDataset(*DATA[:26]), batch_size=24)
    run = trainer(tmp_path, regulariser(), max_epochs=1)
    run.fit(model, data)
    plain = Blocks()
    trainer(tmp_path, max_epochs=1, limit_train_batches=1).fit(plain, data)
    assert len(model.gradients) == 2
    assert difference(plain.gradients, model.gradients[:1]) > 0.1


def test_batches_whose_samples_cannot_be_counted_have_a_hint(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="nothing in the batch has rows. Give `samples_fn`"):
        gradients(tmp_path, Blocks(), regulariser(samples_fn=lambda batch: 0))


def test_an_output_of_which_the_loss_takes_another_part_is_said(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="cannot act on 'halves.0', .*: the backward pass of the loss does not reach"):
        gradients(tmp_path, Chunks(), regulariser(layers="halves.*"))


class Shared(Reentrant):
    """One block runs several times."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.blocks = nn.ModuleList([self.blocks[0]] * 4)


def test_a_shared_layer_under_reentrant_checkpoints_is_said(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="cannot act on 'blocks.0': they run several times under reentrant"):
        gradients(tmp_path, Shared(), regulariser(layers="blocks.0"))


class Unusual(Manual):
    """A loss that is no scalar, and a backward pass after the step."""

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        losses = nn.functional.cross_entropy(self(batch[0]), batch[1], reduction="none")
        self.manual_backward(losses, gradient=torch.full_like(losses, 1 / len(losses)))
        optimizer.step()

    def on_train_batch_end(self, *_: Any) -> None:
        self.manual_backward(self.head.weight.square().sum())


def test_unusual_backward_passes_do_not_stop_a_training(tmp_path: Path) -> None:
    steered = gradients(tmp_path, Unusual(), regulariser())
    assert difference(gradients(tmp_path, Unusual()), steered) > 0.1


class Sparse(Blocks):
    """Sparse and complex parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(4, 16, sparse=True)
        self.phase = nn.Parameter(torch.ones(16, dtype=torch.complex64))

    def run_block(self, block: nn.Module, hidden: Tensor) -> Tensor:
        shifted = hidden + self.table(torch.zeros(len(hidden), dtype=torch.long))
        return super().run_block(block, (shifted * self.phase).real)


def test_sparse_and_complex_parameters_can_be_trained(tmp_path: Path) -> None:
    assert len(gradients(tmp_path, Sparse(), regulariser(max_ratio=1.0))) == 4


def test_a_schedule_without_a_number_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Argument `weight` must be a finite number, .* got None"):
        gradients(tmp_path, Blocks(), regulariser(weight=lambda step: None))


def test_a_warning_is_given_in_every_fit(tmp_path: Path) -> None:
    steered = regulariser(layers=["blocks.0", "blocks.1"])
    for _ in range(2):
        with pytest.warns(UserWarning, match="skips a step: 'score' needs 3 layers"):
            gradients(tmp_path, Blocks(), steered)


def test_layers_are_found(tmp_path: Path) -> None:
    steered = gradients(tmp_path, Blocks(), regulariser(layers="auto"))
    named = gradients(tmp_path, Blocks(), regulariser(layers=resolve_layers(Blocks())))
    assert difference(named, steered) == 0.0
    assert difference(gradients(tmp_path, Blocks()), steered) > 0.1


def test_the_hooks_go_with_the_fit(tmp_path: Path) -> None:
    model = Blocks()
    gradients(tmp_path, model, regulariser())
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())


def test_a_copy_of_a_steered_module_is_left_alone(tmp_path: Path) -> None:
    class Copies(Callback):
        def on_train_batch_end(self, run: Any, module: Blocks, *_: Any) -> None:
            self.copy = copy.deepcopy(module.blocks)

    copies = Copies()
    gradients(tmp_path, Blocks(), regulariser(), copies)
    copies.copy[0](torch.zeros(24, 16)).sum().backward()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"weight": math.nan},
            "Argument `weight` must be a finite number, or a function of the step that returns one, got nan",
        ),
        ({"weight": "much"}, "Argument `weight` must be a finite number"),
        ({"weight": -1.0, "target": 0.1}, "Argument `weight` must be positive to steer to a target, got -1.0"),
        ({"quantity": "gain"}, "'gain' needs a second forward, so use TopoLipLoss in training_step"),
        ({"quantity": "other"}, "Argument `quantity` must be one of"),
        ({"points": 2}, "Argument `points` must be a whole number >= 3"),
        ({"every_n_steps": 0}, "Argument `every_n_steps` must be"),
        ({"start": -1}, "Argument `start` must be"),
        ({"max_ratio": 0.0}, "Argument `max_ratio` must be positive, got 0.0; None is for no limit"),
        ({"order": 0.0}, "Argument `order` must be"),
        ({"view": "none"}, "Argument `view` must be"),
        ({"engine": "none"}, "Argument `engine` must be"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        TopoLipRegularizer(**options)


def test_an_unknown_layer_is_named_before_training(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Argument `layers` must name modules of the model, got 'block'"):
        gradients(tmp_path, Blocks(), regulariser(layers="block"))


def test_a_sharding_strategy_is_refused() -> None:
    run = SimpleNamespace(strategy=FSDPStrategy())
    with pytest.raises(ValueError, match="Argument `strategy` must not shard the module beside TopoLipRegularizer"):
        regulariser().setup(run, Blocks(), "fit")  # type: ignore[arg-type]
