"""Frozen networks over many scans: actors of Ray Data that load the weights once, or this process alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import ray
import ray.data
import torch
from ray.exceptions import RayError

from gc_ray.code_versions import NETWORKS
from gc_ray.errors import ClusterError, StoreError
from gc_ray.models.world import repeatable
from gc_ray.runtime import cluster
from gc_ray.runtime.begun import Begun
from gc_ray.runtime.places import Demand
from gc_ray.runtime.preflight import Expected, RefusedNodes, checked_nodes, why_not_here
from gc_ray.store import Store
from gc_ray.study import EmbedSettings

Outcome = dict  # JSON types; "status" says what became of the item, "unwritten" that the store could not be written
Worker = Callable[[list[dict]], list[Outcome]]  # an outcome for each item, in their order

TRIES = 3  # processes that an item may kill before it is written off
STUCK_S = 1800.0  # without any finished batch Ray Data gives up
WRONG_NODE = "wrong node"  # the outcome of an item on a node that may not compute: nothing was computed
OUTCOME = pa.schema([("item", pa.int64()), ("outcome", pa.string())])


@dataclass(frozen=True)
class Inference:
    """How a network is run.

    make: builds the worker, once in each process; it must pickle. batch: items given to it at a time. lost: the
    outcome of an item that killed its process ``TRIES`` times. store: what every node must reach. refused: takes the
    nodes that get no work.
    """

    make: Callable[[], Worker]
    batch: int
    lost: Callable[[dict], Outcome]
    store: Store
    refused: RefusedNodes = field(default_factory=RefusedNodes)


def device_of(settings: EmbedSettings) -> str:
    """The device of each process, as torch names it; ClusterError when this process has none of that kind."""
    if settings.gpu and settings.workers == 0 and not torch.cuda.is_available():
        raise ClusterError("embedding: wanted a GPU, this machine has none; leave --gpu out, or submit to a cluster")
    return "cuda" if settings.gpu else "cpu"


def infer(items: list[dict], inference: Inference, settings: EmbedSettings) -> Iterator[tuple[dict, Outcome]]:
    """(item, outcome) for every item, as they are finished; items are of JSON types.

    ClusterError when there is no place for an actor in time; StoreError when a worker cannot write.
    """
    if not items:
        return  # nothing is worth starting Ray for
    outcomes = _here(items, inference) if settings.workers == 0 else _by_ray(items, inference, settings)
    for i, outcome in outcomes:
        if outcome["status"] == "unwritten":
            raise StoreError(outcome["reason"])
        yield items[i], outcome


def _here(items: list[dict], inference: Inference) -> Iterator[tuple[int, Outcome]]:
    worker = inference.make()
    for start in range(0, len(items), inference.batch):
        part = items[start : start + inference.batch]
        yield from enumerate(_written(worker, part), start)


def _by_ray(items: list[dict], inference: Inference, settings: EmbedSettings) -> Iterator[tuple[int, Outcome]]:
    mixed = settings.allow_mixed_cpu or settings.gpu  # values of a GPU do not depend on the processor beside it
    inference.refused.demand = Demand("embedding", 1, {"CPU": 1, **({"GPU": 1} if settings.gpu else {})})
    # one slot more than actors: a pool that holds every CPU can starve what feeds it
    with (
        cluster.session((settings.workers or os.cpu_count()) + 1),
        checked_nodes(inference.refused, inference.store, mixed_cpu=mixed, steps=(NETWORKS,)) as expected,
    ):
        seen = set()
        for i, outcome in _pool(items, inference, (_actors(settings, inference.refused), settings.gpu), expected):
            seen.add(i)
            yield i, outcome
        for i in sorted(set(range(len(items))) - seen):
            yield i, _alone(items[i], inference, settings.gpu, expected)


def _actors(settings: EmbedSettings, refused: RefusedNodes) -> int:
    """How many actors are asked for; on a cluster that may be more than there is room for now: nodes may come."""
    there = cluster.resources(without=refused.reasons)
    slots = max(int(there.get("CPU", 1)) - 1, 1)
    if settings.gpu:
        slots = max(min(slots, int(there.get("GPU", 0))), 1)
    if settings.workers and not cluster.is_private():
        return settings.workers
    return min(settings.workers or slots, slots)


def _pool(
    items: list[dict], inference: Inference, size: tuple[int, bool], expected: Expected | None
) -> Iterator[tuple[int, Outcome]]:
    """Items through a pool of actors; those of a batch whose actor died, or is on a wrong node, are left out.

    size: how many actors, and whether each has a GPU.
    """
    (actors, gpu), begun = size, Begun()

    class Actor:
        def __init__(self) -> None:
            self._fault = _fault_here(expected)
            self._worker = None if self._fault else inference.make()

        def __call__(self, batch: pa.Table) -> pa.Table:
            if self._fault or not begun.is_new(batch["item"][0].as_py()):
                return OUTCOME.empty_table()
            outcomes = _written(self._worker, [json.loads(text) for text in batch["text"].to_pylist()])
            return pa.table([batch["item"], [json.dumps(outcome) for outcome in outcomes]], schema=OUTCOME)

    rows = [{"item": i, "text": json.dumps(item)} for i, item in enumerate(items)]
    with cluster.quiet_data(STUCK_S):
        outcomes = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // inference.batch)).map_batches(
            Actor,
            batch_size=inference.batch if gpu else None,  # with GPUs Ray wants a number; a block has no more rows
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=min(actors, -(-len(rows) // inference.batch))),
            num_cpus=1,
            num_gpus=1 if gpu else None,
            label_selector=inference.refused.others or None,
        )
        try:
            for table in outcomes.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                yield from zip(table["item"].to_pylist(), map(json.loads, table["outcome"].to_pylist()), strict=True)
        except RayError:
            return  # what is missing is done again alone, where tries are counted


def _alone(item: dict, inference: Inference, gpu: bool, expected: Expected | None) -> Outcome:
    def work() -> Outcome:
        if fault := _fault_here(expected):
            return {"status": WRONG_NODE, "node": cluster.node_id(), "reason": fault}
        return _written(inference.make(), [item])[0]

    while True:
        inference.refused.wait()
        where = {"label_selector": others} if (others := inference.refused.others) else {}
        run = ray.remote(num_cpus=1, num_gpus=1 if gpu else 0, max_retries=TRIES - 1, **where)(work)
        try:
            outcome = ray.get(run.remote())
        except RayError:
            return inference.lost(item)
        if outcome["status"] != WRONG_NODE:
            return outcome
        inference.refused.add(outcome["node"], outcome["reason"])


def _fault_here(expected: Expected | None) -> str:
    """Why this process may not compute; empty where it may."""
    return why_not_here(expected) if expected else ""


def _written(worker: Worker, items: list[dict]) -> list[Outcome]:
    try:
        with repeatable(threads=1):  # here as in an actor
            return worker(items)
    except StoreError as error:
        return [{"status": "unwritten", "reason": str(error)}] * len(items)
