"""Places for work on a cluster: asked for, so that an autoscaler can start nodes, and waited for."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import copy_context
from dataclasses import dataclass, field

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group

from gc_ray.errors import ClusterError
from gc_ray.runtime import cluster
from gc_ray.runtime.progress import duration
from gc_ray.runtime.waiting import log, patience_s, wait

LOOK_S = 5.0  # between two looks at the nodes of a run
NOBODY_S, AGAIN_S = 15.0, 60.0  # without a node: until the first line, and from one to the next


@dataclass(frozen=True)
class Demand:
    """Places that work needs at the same time.

    Parameters
    ----------
    purpose : str
        Of the work, such as ``training``.
    workers : int
        Number of places.
    each : mapping of str to float
        What each of them has, by Ray's names of resources.
    """

    purpose: str
    workers: int = 1
    each: Mapping[str, float] = field(default_factory=lambda: {"CPU": 1})

    def __str__(self) -> str:
        """Return it in words: ``2 workers with 4 CPU and 1 GPU each``."""
        each = " and ".join(f"{number:g} {name}" for name, number in self.each.items())
        return each if self.workers == 1 else f"{self.workers} workers with {each} each"

    def lacking(self, there: Mapping[str, float]) -> str:
        """Return the first resource of which there is not enough for all workers; empty when there is enough."""
        return next((name for name, n in self.each.items() if there.get(name, 0) < self.workers * n), "")


@contextlib.contextmanager
def placed(
    demand: Demand, others: Mapping[str, str], without: Mapping[str, str] | None = None
) -> Iterator[PlacementGroup]:
    """Hold the places of a demand, which are waited for as long as ``waiting.patience_s`` says.

    Parameters
    ----------
    demand : Demand
    others : mapping
        Ray's label selector of the nodes that may work; empty for all.
    without : mapping of str, optional
        Why nodes get no work, by Ray's ids.

    Raises
    ------
    ClusterError
        No places in time.
    """
    selector = [dict(others)] * demand.workers if others else None
    group = placement_group([dict(demand.each)] * demand.workers, bundle_label_selector=selector)
    try:
        longest_s = patience_s()
        if not wait(lambda s: group.wait(s), lambda: _waits_for(demand, without), longest_s):
            refused = f"; no work for {'; '.join(without.values())}" if without else ""
            raise ClusterError(
                f"{demand.purpose}: wanted {demand}, no node had room within {duration(longest_s)}: "
                f"{_there(demand, without)}{refused}; `ray status` says what is pending: start nodes, ask "
                "for less, or wait longer (--wait-minutes)"
            )
        yield group
    finally:
        remove_placement_group(group)


def wait_for(demand: Demand, others: Mapping[str, str], without: Mapping[str, str] | None = None) -> None:
    """Wait until a demand could be placed; on a cluster that this process started, to which no node comes, do not.

    The parameters and faults are those of ``placed``.
    """
    if not cluster.is_private():
        with placed(demand, others, without):
            return
    there = cluster.resources(without=without or ())
    if name := demand.lacking(there):
        number = demand.each[name]
        several = f" ({demand.workers} workers with {number:g} each)" if demand.workers > 1 else ""
        fix = "ask for fewer workers, or leave --gpu out" if name == "GPU" else "ask for fewer workers"
        raise ClusterError(
            f"{demand.purpose}: wanted {demand.workers * number:g} {name}{several}, the nodes have "
            f"{there.get(name, 0):g}; {fix}"
        )


def node_memory(others: Mapping[str, str], without: Mapping[str, str] | None = None) -> int:
    """Return the most memory, in bytes, that one task can be promised on a node that is up and takes tasks.

    A head without CPU slots takes none. Where no other node is up, one is waited for.
    """
    if not (found := cluster.usable_memory(without or ())):
        wait_for(Demand("work"), others, without)
        found = cluster.usable_memory(without or ())
    if not found:
        raise ClusterError("wanted a node with a CPU slot, none is up; `ray status` says what is pending")
    return found


@contextlib.contextmanager
def watched(is_up: Callable[[], bool]) -> Iterator[None]:
    """Say now and then that a run waits, while no node is up that could work for it.

    Parameters
    ----------
    is_up : callable
        Whether such a node is up.
    """
    over = threading.Event()

    def look() -> None:
        last_up = time.monotonic()
        due = NOBODY_S
        while not over.wait(LOOK_S):
            try:
                if is_up():
                    last_up, due = time.monotonic(), NOBODY_S
            except Exception:  # noqa: BLE001 - the cluster went away: the run itself says so
                return
            without_s = time.monotonic() - last_up
            if without_s >= due:
                due = without_s + AGAIN_S
                log.warning(
                    "no node that can work for this run has been up for %s; it goes on when one comes (`ray status` "
                    "says what is pending)",
                    duration(without_s),
                )

    # a copy, since what decides the form of lines belongs to the thread that set it
    watcher = threading.Thread(target=copy_context().run, args=(look,), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _waits_for(demand: Demand, without: Mapping[str, str] | None) -> str:
    if demand.lacking(cluster.resources(without=without or ())):
        why = "no node that is up has them, an autoscaler may start one"
    else:
        why = "other work holds them, or this job's own driver (submit it without --entrypoint-num-cpus)"
    return f"{demand.purpose} waits for {demand}: {_there(demand, without)}; {why}"


def _there(demand: Demand, without: Mapping[str, str] | None) -> str:
    """Return what the nodes have of a demand's resources: ``0 of 2 CPU are free``."""
    there, free = cluster.resources(without=without or ()), ray.available_resources()
    each = (
        f"{min(free.get(name, 0), there.get(name, 0)):g} of {there.get(name, 0):g} {name}" for name in demand.each
    )
    return f"{' and '.join(each)} are free"
