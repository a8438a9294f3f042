"""Several processes give the numbers of one, share the work, and do not wait for each other for ever."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import two_processes
from helpers.processes import found_by_processes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return found_by_processes(two_processes.main, tmp_path_factory.mktemp("processes"))


@pytest.mark.parametrize("case", ["watched", "unequal", "steps", "replaced", "wrapped", "sharded"])
def test_every_process_has_the_same_numbers(found: dict[str, Any], case: str) -> None:
    first, second = found["2-0"][case], found["2-1"][case]
    assert first["curves"] == second["curves"]
    assert first["drifts"] == second["drifts"]
    assert first["values"] == second["values"]
    assert len(first["curves"]) == (4 if case in ("steps", "replaced") else 3)


@pytest.mark.parametrize("case", ["watched", "background", "unequal", "steps", "wrapped", "sharded"])
def test_they_are_those_of_one_process(found: dict[str, Any], case: str) -> None:
    alone = found["1-0"].get(case, found["1-0"]["watched"])
    assert found["2-0"][case]["curves"][0] == alone["curves"][0]


def test_the_layers_are_shared_out(found: dict[str, Any]) -> None:
    alone, first, second = (found[process]["watched"]["measured"] for process in ("1-0", "2-0", "2-1"))
    pilots = 2 * 4  # two runs of all layers on every process
    assert first == second == (alone - pilots) // 2 + pilots


@pytest.mark.parametrize(
    ("process", "case"),
    [
        *((process, case) for process in ("1-0", "2-0", "2-1") for case in ("watched", "background", "steps")),
        ("2-0", "failing"),
        ("2-1", "failing"),
    ],
)
def test_training_is_the_same_with_and_without(found: dict[str, Any], process: str, case: str) -> None:
    assert found[process][case]["weights"] == found[process]["plain"]["weights"]


def test_monitors_see_the_background_on_every_process(found: dict[str, Any]) -> None:
    first, second = found["2-0"]["background"], found["2-1"]["background"]
    assert first["values"] == second["values"]
    assert len(first["curves"]) == 3
    assert first["curves"] == found["2-0"]["watched"]["curves"]


def test_a_failure_on_one_process_is_nan_on_all(found: dict[str, Any]) -> None:
    for process in ("2-0", "2-1"):
        values = found[process]["failing"]["values"]
        assert values["topolip/score"] == "nan"
        assert found[process]["failing"]["curves"] == []


def test_a_probe_that_cannot_be_taken_once_is_taken_next_time(found: dict[str, Any]) -> None:
    first, second = found["2-0"]["once"], found["2-1"]["once"]
    assert first["curves"] == second["curves"]
    assert len(first["curves"]) == 3
    assert first["weights"] == second["weights"]


@pytest.mark.parametrize("process", ["1-0", "2-0", "2-1"])
def test_a_regulariser_steers_every_process_as_the_loss_does(found: dict[str, Any], process: str) -> None:
    weights = {kind: flat(state) for kind, state in found[process]["steered"].items()}
    torch.testing.assert_close(weights["by the callback"], weights["by the loss"], rtol=1e-6, atol=1e-7)
    assert float((weights["not"] - weights["by the loss"]).abs().max()) > 1e-4
    assert torch.equal(
        weights["by the callback"], flat(found["2-0" if "2" in process[:1] else "1-0"]["steered"]["by the callback"])
    )


def test_a_limited_penalty_keeps_the_replicas_of_a_static_graph_together(found: dict[str, Any]) -> None:
    first, second = found["2-0"]["static"], found["2-1"]["static"]
    assert torch.equal(flat(first["steered"]), flat(second["steered"]))
    assert float((flat(first["steered"]) - flat(first["not"])).abs().max()) > 1e-5


def flat(state: dict[str, Any]) -> torch.Tensor:
    return torch.cat(
        [
            torch.tensor(values).double().flatten()
            for name, values in sorted(state.items())
            if "running" not in name and "tracked" not in name
        ]
    )
