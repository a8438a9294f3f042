"""What the numbers of a benchmark depend on beside its code."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import Any


def about(*packages: str) -> dict[str, Any]:
    """The machine, and the versions of Python and of packages."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "machine": platform.processor() or platform.machine(),
        "cores used": cores,
        "threads": os.environ.get("OMP_NUM_THREADS", "not set"),
        "python": platform.python_version(),
        "load of a minute": os.getloadavg()[0],
        **{name: version(name) for name in packages},
    }
