"""Compilation for users: not at import, once per process, in any directory and any thread."""

import importlib.util
import math
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numba.core.event import install_recorder

from lightning_topolip.wasserstein import (
    compile_kernels,
    kernels_are_cached,
    wasserstein_distance,
    wasserstein_distances,
)

WITHOUT_THE_PACKAGE_AROUND = """
import sys, types
parent = types.ModuleType("lightning_topolip")
parent.__path__ = {locations!r}
sys.modules["lightning_topolip"] = parent
"""

KERNEL = """
from lightning_topolip.wasserstein.compilation import kernel

@kernel
def doubled(x):
    return 2.0 * x
"""


CACHED = """
import doubling
from numba.core.event import install_recorder
from lightning_topolip.wasserstein.compilation import is_cached
before = is_cached(doubling.doubled)
with install_recorder("numba:compile") as recorder:
    result = doubling.doubled(2.0)
print(result, before, len(recorder.buffer) > 0, is_cached(doubling.doubled))
"""


def package_locations() -> list[str]:
    package = importlib.util.find_spec("lightning_topolip")
    assert package is not None
    return list(package.submodule_search_locations or [])


def run_alone(code: str, folder: Path | None = None, package: Path | None = None, **environment: str) -> str:
    before = WITHOUT_THE_PACKAGE_AROUND.format(locations=[str(package)] if package else package_locations())
    kept = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    command = [sys.executable, "-c", before + code]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=kept | environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_importing_loads_neither_numba_nor_scipy_nor_pot() -> None:
    code = """
from lightning_topolip.wasserstein import wasserstein_distance
loaded = {"numba", "ot", "scipy", "torch", "gudhi"} & set(sys.modules)
assert not loaded, loaded
assert wasserstein_distance([[0, 4], [1, 2]], [[0, 5]], 1) == 1.5
assert not {"ot", "torch"} & set(sys.modules)
print("done")
"""
    assert run_alone(code) == "done\n"


def test_compiling_ahead_leaves_nothing_to_compile() -> None:
    compile_kernels()
    plane = np.array([[0.0, 1.0], [0.5, 2.0], [0.7, 0.9]])
    with install_recorder("numba:compile") as recorder:
        for points in (plane, plane * [[0.0, 1.0]]):
            points.setflags(write=False)
            for form in (points, points.tolist(), np.asfortranarray(points), points[::-1], points.astype(np.float32)):
                for order in (1, 2.0, 2.5, np.float32(3), math.inf):
                    assert wasserstein_distance(form, plane[:1], order) > 0.0
    assert not recorder.buffer


def test_a_read_only_installation_is_cached_for_the_user(tmp_path: Path) -> None:
    (tmp_path / "doubling.py").write_text(KERNEL)
    (tmp_path / "__pycache__").touch()  # not even root can make a directory there
    home = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert run_alone(CACHED, tmp_path, **home) == "4.0 False True True\n"
    assert list((tmp_path / "cache").rglob("doubling.doubled*.nbi"))
    assert run_alone(CACHED, tmp_path, **home) == "4.0 True False True\n"


def test_a_change_to_any_file_of_the_package_compiles_again(tmp_path: Path) -> None:
    package = tmp_path / "package"
    shutil.copytree(
        Path(package_locations()[0]) / "wasserstein",
        package / "wasserstein",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    called = package / "wasserstein" / "factor.py"
    (tmp_path / "doubling.py").write_text(
        KERNEL.replace("2.0 * x", "factor(x)") + "from lightning_topolip.wasserstein.factor import factor\n"
    )
    outputs = []
    for number in (2.0, 2.0, 3.0):
        called.write_text(
            "from lightning_topolip.wasserstein.compilation import compiled\n\n"
            f"@compiled\ndef factor(x):\n    return {number} * x\n"
        )
        outputs.append(run_alone(CACHED, tmp_path, package))
    assert outputs == ["4.0 False True True\n", "4.0 True False True\n", "6.0 False True True\n"]


def test_the_package_tells_whether_its_kernels_are_cached(tmp_path: Path) -> None:
    compile_kernels()
    assert kernels_are_cached()
    code = "from lightning_topolip.wasserstein import kernels_are_cached; print(kernels_are_cached())"
    assert run_alone(code, NUMBA_CACHE_DIR=str(tmp_path)) == "False\n"


def test_no_folder_for_a_cache_is_not_an_error(tmp_path: Path) -> None:
    (tmp_path / "doubling.py").write_text(KERNEL)
    (tmp_path / "__pycache__").touch()
    (tmp_path / "cache").touch()
    for _ in range(2):
        assert run_alone(CACHED, tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache")) == "4.0 False True False\n"


def test_a_full_disk_is_not_an_error(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    (tmp_path / "doubling.py").write_text(KERNEL)
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
import doubling
print(doubling.doubled(2.0), doubling.doubled(3.0), doubling.doubled.__wrapped__(3.0))
"""
    assert run_alone(code, tmp_path, PYTHONDONTWRITEBYTECODE="1") == "4.0 6.0 6.0\n"
    assert not list(tmp_path.rglob("*.nbc"))


def test_threads_get_the_same_bits() -> None:
    generator = np.random.default_rng(0)
    births = generator.random((16, 200))
    diagrams = [np.stack((b, b + generator.exponential(0.3, 200)), axis=1) for b in births]
    pairs = [(first, second) for first in diagrams for second in diagrams]
    with ThreadPoolExecutor(4) as threads:
        shares = list(threads.map(lambda i: wasserstein_distances(pairs[i::4], (1, math.inf)), range(4)))
    together = wasserstein_distances(pairs, (1, math.inf))
    for i, share in enumerate(shares):
        assert share.tolist() == together[i::4].tolist()
    assert (together[0] == 0.0).all()
    assert (together[1] > 0.0).all()
