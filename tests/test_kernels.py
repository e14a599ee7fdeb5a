"""Kernels are compiled once per machine, and still run where nothing can be kept."""

from __future__ import annotations

import os
import subprocess
import sys

from gc_ray.kernels import compiled

CODE = """
import numpy as np
from gc_ray.features.kernels_shape import _hull_corners as hull_corners
one = np.zeros(1, np.int64)
assert hull_corners(one, one, one).all()
print(sum(hull_corners.stats.cache_hits.values()))
"""


def test_a_second_process_loads_what_the_first_compiled(tmp_path):
    """A worker does not pay for compilation, and NUMBA_CACHE_DIR is obeyed."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    hits = [
        subprocess.run(
            [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert [h.strip() for h in hits] == ["0", "1"]


def test_a_function_that_cannot_be_kept_is_compiled_all_the_same():
    """Numba refuses to cache where it finds no folder to write to, as for code that has no file."""
    space = {}
    exec("def twice(x):\n    return 2 * x", space)
    assert compiled(space["twice"])(21) == 42
