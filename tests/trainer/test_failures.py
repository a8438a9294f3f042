"""What a run says of analyses that failed: the cause, what to do, and at the end how many."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.trainings import INPUTS, Tiny, loader, trainer
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lightning_topolip import TopoLipCallback
from lightning_topolip.network.measure import Subject, measure
from lightning_topolip.trainer.failure import FORWARD_ADVICE, PROBE_ADVICE, failure_of

OPTIONS: dict[str, Any] = {"figures": False, "probe_size": 16}


def said(folder: Path, callback: TopoLipCallback, model: Any = None, data: Any = None, **options: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = trainer(folder, callback, **options)
        run.fit(model or Tiny(), loader(), data or loader())
    return [str(warning.message) for warning in caught if "TopoLip" in str(warning.message)]


class BadForward(Tiny):
    """Its forward takes something else than the batch."""

    def forward(self, inputs: Any, times: Any = None) -> Any:
        raise KeyError("times")

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return nn.functional.cross_entropy(self.layers(batch[0]), batch[1])


class Unreadable(Dataset[Any]):
    """Its file is gone."""

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> Any:
        raise OSError("the file is open elsewhere")


def test_a_fault_in_the_forward_advises_forward_fn() -> None:
    model = BadForward()
    with pytest.raises(KeyError) as caught:
        measure(model, INPUTS[:16], Subject())
    assert failure_of(caught.value, model, Subject(), has_probe=True).advice == FORWARD_ADVICE


def own_forward(module: Any, batch: Any) -> Any:
    raise LookupError("no such column")


def test_a_fault_in_a_given_forward_fn_says_so(tmp_path: Path) -> None:
    first, last = said(tmp_path, TopoLipCallback(**OPTIONS, forward_fn=own_forward))
    assert "It was raised in the given forward_fn. on_error=" in first
    assert last == "4 of 4 TopoLip analyses failed and gave NaN: LookupError('no such column')."


@pytest.mark.parametrize("source", [DataLoader(Unreadable(), batch_size=4), []])
def test_a_fault_of_the_data_advises_a_probe_and_no_forward_fn(tmp_path: Path, source: Any) -> None:
    first, last = said(tmp_path, TopoLipCallback(**OPTIONS, probe=source))
    assert PROBE_ADVICE in first
    assert "forward_fn" not in first
    assert last.startswith("4 of 4 TopoLip analyses failed and gave NaN: ")


def test_a_fault_of_a_transfer_hook_advises_a_probe(tmp_path: Path) -> None:
    class Once(Tiny):
        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            if isinstance(batch, torch.Tensor):
                raise AttributeError("images")
            return batch

    first, _ = said(tmp_path, TopoLipCallback(**OPTIONS, probe=INPUTS[:16]), Once())
    assert PROBE_ADVICE in first
    assert "forward_fn" not in first


@pytest.mark.parametrize("place", ["topology_by", "report_of_topology"])
def test_a_fault_of_ours_advises_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise MemoryError("no more")

    monkeypatch.setattr(f"lightning_topolip.trainer.analysis.{place}", refuse)
    first, _ = said(tmp_path, TopoLipCallback(**OPTIONS))
    assert "training continues. on_error=" in first
    assert "forward_fn" not in first
    assert "probe=" not in first


def test_the_end_names_the_most_frequent_reason(tmp_path: Path) -> None:
    def sometimes(module: Any, batch: Any) -> Any:
        if module.trainer.global_step == 3:
            raise OSError("gone")
        if module.trainer.global_step >= 6:
            raise MemoryError("full")
        return module(batch[0])

    *_, last = said(tmp_path, TopoLipCallback(**OPTIONS, forward_fn=sometimes), max_epochs=4)
    reason = "most often (3 times) for this reason: MemoryError('full')"
    assert last == f"4 of 5 TopoLip analyses failed and gave NaN, {reason}."


@pytest.mark.parametrize("options", [{"background": True}, {"workers": 1}, {"every_n_steps": 2}])
def test_it_does_wherever_the_analyses_are_made(tmp_path: Path, options: dict[str, Any]) -> None:
    *_, last = said(tmp_path, TopoLipCallback(**OPTIONS, **options, forward_fn=own_forward))
    assert "TopoLip analyses failed and gave NaN: LookupError('no such column')" in last


def test_a_network_that_diverges_is_counted_too(tmp_path: Path) -> None:
    *_, last = said(tmp_path, TopoLipCallback(**OPTIONS), Tiny(break_at_epoch=1))
    start = "1 of 4 TopoLip analyses failed and gave NaN: no step could be measured, as TopoLip cannot measure layers"
    assert last.startswith(f"{start} '")
    assert last.endswith(".")


class Halving(Tiny):
    """Sequences of 9 positions, of which its first layer sees 5."""

    def __init__(self) -> None:
        super().__init__()
        self.fewer, self.all = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, inputs: Any) -> Any:
        tokens = inputs[:, None].expand(-1, 9, -1)
        return self.layers(self.fewer(tokens[:, ::2]).mean(dim=1) + self.all(tokens).mean(dim=1))


def test_the_end_names_the_layer_without_distances_among_measured_ones(tmp_path: Path) -> None:
    def mask(batch: Any) -> torch.Tensor:
        return torch.arange(9).expand(len(batch[0]), 9) < 7

    callback = TopoLipCallback(["fewer", "all"], **OPTIONS, mask=mask)
    first, too_few, last = said(tmp_path, callback, Halving(), max_epochs=1)
    assert too_few.startswith("TopoLip needs two steps from layer to layer and speed one, got 1;")
    said_of_fewer = (
        "TopoLip cannot measure layer 'fewer': its output has 5 positions, and no mask fits (mask: 9, of which the "
        "longest sample has 7), so that padding cannot be told from tokens; let `mask` return one of shape (n, 5), or "
        "leave it out of `layers`."
    )
    assert first == said_of_fewer
    assert last == f"2 of 2 TopoLip analyses failed and gave NaN: no step could be measured, as {said_of_fewer}"
    assert callback.history.last is not None
    assert callback.history.last.layers == ("<input>", "fewer", "all")
    assert callback.history.last.failures.keys() == {"fewer"}


def test_a_second_fit_counts_anew_and_a_good_one_says_nothing(tmp_path: Path) -> None:
    callback = TopoLipCallback(**OPTIONS, forward_fn=own_forward)
    assert said(tmp_path, callback, max_epochs=1)[-1].startswith("2 of 2")
    assert said(tmp_path, callback, max_epochs=2)[-1].startswith("3 of 3")
    assert said(tmp_path, TopoLipCallback(**OPTIONS)) == []


class Many(Tiny):
    """Ninety layers, of which most do not run."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(layers))

    def forward(self, inputs: Any) -> Any:
        hidden = inputs
        for block in self.blocks[:3]:
            hidden = block(hidden)
        return self.layers(hidden)


@pytest.mark.parametrize(
    ("skipped", "names"),
    [
        (1, "layer 'blocks.3'"),
        (3, "layers 'blocks.3', 'blocks.4', 'blocks.5'"),
        (87, "layers 'blocks.3', 'blocks.4', 'blocks.5' and 84 more"),
    ],
)
def test_layers_that_share_a_reason_are_one_sentence(tmp_path: Path, skipped: int, names: str) -> None:
    callback = TopoLipCallback([f"blocks.{block}" for block in range(3 + skipped)], **OPTIONS)
    assert said(tmp_path, callback, Many(3 + skipped)) == [
        f"TopoLip cannot measure {names}: did not run; it is skipped."
    ]
    assert callback.history.last is not None
    assert math.isfinite(callback.history.last.score)


def test_a_layer_that_fails_later_is_said_alone(tmp_path: Path) -> None:
    class Shrinks(Many):
        def forward(self, inputs: Any) -> Any:
            hidden = inputs
            for block in self.blocks[: 5 if self.trainer.global_step < 3 else 4]:
                hidden = block(hidden)
            return self.layers(hidden)

    callback = TopoLipCallback([f"blocks.{block}" for block in range(7)], **OPTIONS)
    first, second = said(tmp_path, callback, Shrinks(7), max_epochs=2)
    assert first == "TopoLip cannot measure layers 'blocks.5', 'blocks.6': did not run; it is skipped."
    assert second == "TopoLip cannot measure layer 'blocks.4': did not run; it is skipped."
