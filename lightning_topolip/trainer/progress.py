"""Where a trainer's loops stand: what ends with the present batch, and the step at which Lightning logs it."""

from __future__ import annotations

from lightning.pytorch import Trainer


def logged_step(trainer: Trainer) -> int:
    """The step at which Lightning logs the present moment: its number, from 0, of the batch that stepped last.

    It counts batches, however many optimizers step in one; `trainer.global_step` counts the steps of all of them.
    """
    loop = trainer.fit_loop.epoch_loop
    stepped = int(loop.on_save_checkpoint().get("_batches_that_stepped", trainer.global_step))
    counted_later = trainer.evaluating or loop.batch_progress.current.ready > loop.batch_progress.current.completed
    return stepped if counted_later else max(stepped - 1, 0)


def epoch_ends(trainer: Trainer) -> bool:
    """Whether the present training batch is the last one of its epoch."""
    batches = trainer.fit_loop.epoch_loop.batch_progress
    return bool(batches.is_last_batch) or batches.current.ready == trainer.num_training_batches


def validation_follows(trainer: Trainer) -> bool:
    """Whether a validation may follow the last training batch of an epoch, as far as the trainer's settings tell."""
    batches = trainer.num_val_batches
    if not trainer.enable_validation or (batches and not sum(batches)):
        return False
    epochs, interval = trainer.check_val_every_n_epoch, trainer.val_check_batch
    if epochs is not None and (trainer.current_epoch + 1) % epochs:
        return False
    if trainer.should_stop or not isinstance(interval, int):
        return True
    loop = trainer.fit_loop.epoch_loop
    return ((loop.total_batch_idx if epochs is None else loop.batch_idx) + 1) % interval == 0


def evaluation_ends(trainer: Trainer) -> bool:
    """Whether the present batch is the last one of a validation or test, over all of its loaders."""
    loop = trainer.fit_loop.epoch_loop.val_loop
    if trainer.state.fn != "fit":
        loop = trainer.test_loop if trainer.testing else trainer.validate_loop
    return bool(loop.batch_progress.is_last_batch)
