"""How numerical kernels are compiled: once per machine, for one thread, with the arithmetic as written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` as machine code, compiled on its first call and kept on disk for the processes that follow.

    The code is kept beside the module, or in the user's cache folder, or in ``NUMBA_CACHE_DIR`` where that is set;
    where none can be written each process compiles for itself. No fast mathematics: sums are added in the order
    written and no multiplication is fused with an addition, because values have to equal a reference to the bit.
    """
    return compiled_with()(function)


def compiled_with(**options: bool | set[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator like ``compiled`` with further options of Numba's ``njit``."""

    def compile_(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return njit(cache=True, nogil=True, **options)(function)
        except RuntimeError:  # Numba found no folder that it may write
            return njit(nogil=True, **options)(function)

    return compile_
