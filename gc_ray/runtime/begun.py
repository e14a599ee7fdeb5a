"""Ray Data begins a task again, without an end, when its process has died. A second beginning is seen here.

A scan that kills its process would kill one after the other. So the function that a dataset maps asks first: where a
piece of work was begun before it computes nothing, and the driver, which misses the outcome, counts the attempts.
"""

from __future__ import annotations

from collections.abc import Hashable

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from gc_ray.runtime import cluster


class _Seen:
    """What was begun; an actor."""

    def __init__(self) -> None:
        self._pieces: set[Hashable] = set()

    def is_new(self, piece: Hashable) -> bool:
        """Whether a piece of work is begun for the first time."""
        new = piece not in self._pieces
        self._pieces.add(piece)
        return new


class Begun:
    """Which pieces of work of a run were begun; it is used in the driver, made there, and in every worker.

    What keeps the pieces runs on the driver's node, without which there is no run.
    """

    def __init__(self) -> None:
        here = NodeAffinitySchedulingStrategy(cluster.node_id(), soft=False)
        self._seen = ray.remote(num_cpus=0, scheduling_strategy=here)(_Seen).remote()

    def is_new(self, piece: Hashable) -> bool:
        """Whether a piece of work is begun for the first time; False, so that it is not done here, in doubt."""
        try:
            return ray.get(self._seen.is_new.remote(piece))
        except RayError:
            return False
