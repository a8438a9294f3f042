"""When an analysis is due."""

from __future__ import annotations

import pytest
from lightning import Trainer

from lightning_topolip.topology.history import History
from lightning_topolip.trainer.schedule import Moment, Schedule


def due(schedule: Schedule, positions: list[float]) -> list[bool]:
    """Positions in epochs of 10 steps."""
    return [schedule.due(Moment(position, round(10 * position), int(position))) for position in positions]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Schedule(2), [False, False, False, False, True, True]),
        (Schedule(1), [False, False, True, True, True, True]),
        (Schedule(every_n_steps=5), [False, True, True, True, True, True]),
        (Schedule(every_n_steps=15), [False, False, False, True, True, True]),
    ],
)
def test_it_is_due_when_a_multiple_is_reached(schedule: Schedule, expected: list[bool]) -> None:
    start = Moment(0.0, 0, 0)
    assert schedule.due(start)
    assert schedule.newer(start)
    schedule.mark(start)
    assert due(schedule, [0.0, 0.5, 1.0, 1.9, 2.0, 3.0]) == expected
    assert not schedule.newer(start)


def test_it_goes_on_where_a_history_ends() -> None:
    schedule = Schedule(2)
    alone = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    schedule.begin(alone, History(epochs=[0.0, 2.5], optimizer_steps=[0, 25], curves=[{}, {}], epoch_drifts=[{}, {}]))
    assert due(schedule, [2.5, 3.9, 4.0]) == [False, False, True]
    schedule.begin(alone, History())
    assert due(schedule, [0.0]) == [True]
