"""The callback that watches a training in which nobody else does."""

from __future__ import annotations

import itertools

from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.utilities import rank_zero_info

from lightning_topolip.trainer.callback import TopoLipCallback
from lightning_topolip.trainer.factory import VARIABLE

_numbers = itertools.count()


class StandbyCallback(TopoLipCallback):
    """A `TopoLipCallback` that does nothing in a Trainer with another one.

    Lightning appends it to the user's own list of callbacks, so a list that is passed to several Trainers holds several
    of them: each has a state key of its own, and the first one watches.
    """

    def __init__(self) -> None:
        super().__init__()
        self._number = next(_numbers)

    @property
    def state_key(self) -> str:
        """Key that tells it from the callbacks of the user, whatever their prefix."""
        return f"{type(self).__name__}({self._number})"

    def _can_watch(self, pl_module: LightningModule) -> bool:
        callbacks: list[Callback] = pl_module.trainer.callbacks  # type: ignore[attr-defined]
        present = [callback for callback in callbacks if isinstance(callback, TopoLipCallback)]
        present.sort(key=lambda callback: isinstance(callback, StandbyCallback))
        if present[0] is not self:
            rank_zero_info(f"{VARIABLE} adds nothing: the Trainer has a TopoLipCallback.")
            return False
        return super()._can_watch(pl_module)
