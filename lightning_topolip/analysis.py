"""One analysis: a model and a probe in, a smoothness report out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from typing_extensions import Unpack

from lightning_topolip.network.batches import require_padded, run_model
from lightning_topolip.network.layers import require_module
from lightning_topolip.network.masks import Mask
from lightning_topolip.network.measure import measure
from lightning_topolip.network.samples import samples_in
from lightning_topolip.network.step import with_working_forward
from lightning_topolip.network.subject import Forward, SamplesFn, Subject
from lightning_topolip.topology.measurement import Measurement
from lightning_topolip.topology.settings import Settings, SettingsOptions
from lightning_topolip.topology.smoothness_report import SmoothnessReport, smoothness_report


def analyze(
    model: nn.Module,
    batch: Any,
    layers: str | Sequence[str] = "auto",
    *,
    forward_fn: Forward | None = None,
    samples_fn: SamplesFn = samples_in,
    probe_batch_size: int | None = None,
    mask: Mask = "auto",
    **settings: Unpack[SettingsOptions],
) -> SmoothnessReport:
    """Measure how smoothly a model carries a batch from layer to layer.

    The model is borrowed: it runs in evaluation mode and comes back exactly as it was.

    Args:
        model: Any module. The batch is moved to the device of its first parameter.
        batch: The probe: a tensor or any nesting of tensors, n >= 3 samples first. See `run_model` for the parts of it
            that reach the model.
        layers: ``"auto"``, a pattern or a list of names, see `resolve_layers`.
        forward_fn: Called as ``forward_fn(model, batch)`` instead of the model itself, for a model whose ``forward``
            does not take the batch's inputs. By default a LightningModule whose ``forward`` is missing or fails on
            the batch runs its ``validation_step`` instead, with a warning.
        samples_fn: Counts the samples of the batch, where they are not what `samples_in` counts.
        probe_batch_size: Largest number of samples of one forward, for a model that does not fit into memory with all
            of them; None runs them at once. A layer whose output for a sample depends on the others is skipped.
        mask: Which positions of sequences are real tokens, so that padding never counts: the name of an entry of the
            batch, not 0 for real tokens, shape ``(n, T)``, or the lengths, shape ``(n,)``; a function of the batch that
            returns such a tensor; None looks for none. ``"auto"`` takes an ``attention_mask``, a ``..._padding_mask``
            or ``lengths``. Packed sequences and nested tensors tell their own lengths in any case.
        **settings: The settings of the analysis, such as ``order=1``, ``view="raw"``, ``engine="ripser"`` or
            ``geometry=True``; all of them are described in `SettingsOptions`.

    Returns:
        The report. A layer without distances is NaN there, with the reason in ``report.failures``.

    Raises:
        TypeError: If there is no such setting.
        ValueError: If an argument is not allowed or the batch holds fewer than 3 samples.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(5)])
        >>> report = analyze(model, torch.randn(32, 8))
        >>> report.layers  # without the output
        ('<input>', '0', '1', '2', '3')
        >>> report.score >= 0
        True
    """
    require_module(model)
    if isinstance(batch, DataLoader):
        raise ValueError(
            f"Argument `batch` must be a batch, got a {type(batch).__name__}; `next(iter(loader))` gives one."
        )
    subject = Subject(
        layers, forward_fn or run_model, Settings.from_options(settings), samples_fn, probe_batch_size, mask
    )
    require_padded(batch)
    parameter = next(model.parameters(), None)
    device = parameter.device if parameter is not None else torch.device("cpu")
    try:
        measurement = _measured(model, batch, subject, device)
    except Exception:
        subject, sentence = with_working_forward(model, subject.trial(batch, device), subject)
        if not sentence:
            raise
        warnings.warn(f"{sentence}.", stacklevel=2)
        measurement = _measured(model, batch, subject, device)
    return smoothness_report(measurement, subject.settings)


def _measured(model: nn.Module, batch: Any, subject: Subject, device: torch.device) -> Measurement:
    placed, subject = subject.placed(batch, device)
    return measure(model, placed, subject)
