"""A fingerprint of a probe, to tell whether two analyses saw the same samples."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from lightning_topolip.network.sample_axis import tensors_in


def probe_fingerprint(batch: Any) -> str:
    """Return sixteen hexadecimal digits of the tensors of a batch, or nothing if their bytes cannot be read.

    Example:
        >>> one, same, other = torch.zeros(3, 2), torch.zeros(3, 2), torch.ones(3, 2)
        >>> probe_fingerprint(one) == probe_fingerprint([same]), probe_fingerprint(one) == probe_fingerprint(other)
        (True, False)
    """
    digest, tensors = hashlib.blake2b(digest_size=8), list(tensors_in(batch))
    try:
        for tensor in tensors:
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
            digest.update(_bytes(tensor))
    except (RuntimeError, TypeError, NotImplementedError):  # a layout without bytes of its own, such as a sparse one
        return ""
    return digest.hexdigest() if tensors else ""


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
