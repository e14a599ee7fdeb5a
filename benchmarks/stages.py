"""Which stage of a scan's work its CPU time goes to: clocks put around the product's functions from outside."""

from __future__ import annotations

import functools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import GeneratorType
from typing import Any

OTHER = "all else"
FILTERS = {"LBP3D": "LBP3D", "LoG": "LoG", "Wavelet": "wavelets"}  # the other filters are one pass over the voxels
CLASSES = {"shape": "shape", "firstorder": "first order, grey levels"}

# Functions by where they are defined, and their stage: a name, or one that is told from the first argument.
STAGES: dict[str, str | Callable[[str], str]] = {
    "gc_ray.runtime.scan_work:local_sources": "fetch and hash",
    "gc_ray.source:content_sha256": "fetch and hash",
    "gc_ray.imaging.series:survey_series": "headers",
    "gc_ray.imaging.image_files:survey_image": "headers",
    "gc_ray.imaging.voxels:read_series": "decode",
    "gc_ray.imaging.image_files:read_image": "decode",
    "gc_ray.imaging.read:read_mask": "mask",
    "gc_ray.features.prepare:prepare": "resample",
    "gc_ray.features.extract:_filtered": lambda image_type: FILTERS.get(image_type, "other filters"),
    "gc_ray.features.extract:_class_features": lambda name: CLASSES.get(name, "textures"),
    "gc_ray.ledger:stage_features": "store",
    "gc_ray.ledger:commit": "store",
}
ORDER = (
    *(
        "fetch and hash",
        "headers",
        "decode",
        "mask",
        "resample",
        "LoG",
        "wavelets",
        "LBP3D",
        "other filters",
        "shape",
    ),
    *("first order, grey levels", "textures", "store", OTHER),
)


class Clocks:
    """CPU seconds by stage; a stage inside another counts for itself alone."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._running = [OTHER]
        self._since = time.process_time()

    def _switch(self) -> None:
        now = time.process_time()
        self.seconds[self._running[-1]] += now - self._since
        self._since = now

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what runs inside for the stage ``name``."""
        self._switch()
        self._running.append(name)
        try:
            yield
        finally:
            self._switch()
            self._running.pop()

    def start(self) -> None:
        """Forget what was counted."""
        self.seconds.clear()
        self._since = time.process_time()

    def stop(self) -> dict[str, float]:
        """CPU seconds by stage since ``start``."""
        self._switch()
        return {name: self.seconds[name] for name in ORDER}


def installed() -> Clocks:
    """Clocks around every function of ``STAGES``, in each module of the product that names it."""
    clocks = Clocks()
    for place, stage in STAGES.items():
        module, _, name = place.partition(":")
        _replace(getattr(import_module(module), name), stage, clocks)
    return clocks


def _replace(function: Callable, stage: str | Callable[[str], str], clocks: Clocks) -> None:
    @functools.wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Any:
        with clocks.stage(stage if isinstance(stage, str) else stage(args[0])):
            result = function(*args, **kwargs)
            return list(result) if isinstance(result, GeneratorType) else result

    for module in [m for name, m in sys.modules.items() if name.startswith("gc_ray")]:
        for name, value in list(vars(module).items()):
            if value is function:
                setattr(module, name, timed)
