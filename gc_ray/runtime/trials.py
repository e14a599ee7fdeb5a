"""Pieces of work on Ray Tune: each is a trial, each result an object in the store that is created once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

from ray import tune
from threadpoolctl import threadpool_limits

from gc_ray import sealed
from gc_ray.code_versions import SIGNATURES
from gc_ray.errors import ClusterError, TableError
from gc_ray.models.cohort_data import CohortData
from gc_ray.models.nested import Choice, inner_deviance, outer_parts, part_result, whole_part
from gc_ray.models.plans import Book
from gc_ray.runtime import cluster
from gc_ray.runtime.places import Demand
from gc_ray.runtime.preflight import Expected, RefusedNodes, checked_nodes, why_not_here
from gc_ray.store import Store
from gc_ray.study import digest

ATTEMPTS = 3  # of a trial whose worker dies
Tell = Callable[[str, str], None]


@dataclass(frozen=True)
class Unit:
    """One trial: the signatures of a part refitted, or one choice of one signature judged within it.

    choices: of each signature that is not as the study file has it. target: the signature that is judged; empty where
    all are refitted and score who was left out.
    """

    repeat: int
    fold: int
    choices: dict[str, Choice]
    target: str = ""

    @property
    def name(self) -> str:
        """The object that its result is kept in."""
        return f"{self.repeat + 1:03d}-{self.fold + 1:03d}-{self.target or 'all'}-{digest(asdict(self))}.json"


@dataclass(frozen=True, eq=False)
class Place:
    """What every trial works on, and the folder of the store that takes the results."""

    data: CohortData
    book: Book
    repeats: int
    store: Store
    folder: str


@dataclass(frozen=True)
class Nodes:
    """Where trials run.

    workers: trials at a time in the Ray session, None for all CPUs; 0 for this process without Ray. expected: what a
    worker must be. refused: nodes that get no work.
    """

    workers: int | None
    expected: Expected | None = None
    refused: RefusedNodes = field(default_factory=lambda: RefusedNodes(demand=Demand("tune")))


@contextmanager
def nodes_for_trials(store: Store, workers: int | None, *, allow_mixed_cpu: bool = False) -> Iterator[Nodes]:
    """A session with checked nodes, for as many calls of ``run_units`` as there are; ClusterError without a node."""
    nodes = Nodes(workers)
    if workers == 0:
        yield nodes
        return
    with (
        cluster.session(workers),
        checked_nodes(nodes.refused, store, mixed_cpu=allow_mixed_cpu, steps=(SIGNATURES,)) as expected,
    ):
        yield replace(nodes, expected=expected)


def run_units(units: list[Unit], place: Place, nodes: Nodes, tell: Tell) -> list[dict]:
    """The results of the units, in their order; those that the store has are not computed again.

    ClusterError when a trial's worker died too often, or no node may compute.
    """
    missing = _missing(units, place)
    for _ in range(len(units) - len(missing)):
        tell("trials", "unchanged")
    if nodes.workers == 0:
        for unit in missing:
            work(unit, place)
            tell("trials", "ok")
        missing = []
    while missing:
        wrong = _on_tune(missing, place, nodes, tell)
        for node_id, reason in wrong.items():  # nodes that came after the check
            nodes.refused.add(node_id, reason)
        if wrong:
            nodes.refused.wait()
        missing = _missing(missing, place) if wrong else []
    return [_read(place, unit) for unit in units]


def _missing(units: list[Unit], place: Place) -> list[Unit]:
    """The units of which the store has no result."""
    there = {entry.key.rpartition("/")[2] for entry in place.store.list(place.folder)}
    return [unit for unit in units if unit.name not in there]


def work(unit: Unit, place: Place) -> None:
    """Compute one unit and keep its result; one thread, so that it has the same bits wherever it runs."""
    seed = place.book.seed
    with threadpool_limits(1):
        plan = place.book.plan(unit.choices)
        wanted = (unit.repeat, unit.fold)
        parts = (whole_part(place.data), *outer_parts(place.data, place.repeats, seed))
        part = next(part for part in parts if (part.repeat, part.fold) == wanted)
        if unit.target:
            try:
                result = {"deviance": inner_deviance(plan, place.data, part, unit.target, seed)}
            except TableError as error:
                result = {"deviance": None, "error": str(error)}
        else:
            result = part_result(plan, place.data, part, seed)
    sealed.create(place.store, f"{place.folder}/{unit.name}", result)


class _Trial(tune.Trainable):
    """One unit; its actor is used again for the next. On a wrong node nothing is computed."""

    def setup(self, config: dict, place: Place, units: list[Unit], expected: Expected | None) -> None:
        self._place, self._units, self._unit = place, units, config["unit"]
        self._fault = why_not_here(expected) if expected else ""

    def reset_config(self, new_config: dict) -> bool:
        self._unit = new_config["unit"]
        return True

    def step(self) -> dict:
        if self._fault:
            return {"done": True, "wrong": self._fault, "node": cluster.node_id()}
        work(self._units[self._unit], self._place)
        return {"done": True}


class _Told(tune.Callback):
    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def __getstate__(self) -> dict:
        return {}  # Tune keeps a copy of its callbacks, and whoever is told may not be copied

    def on_trial_complete(self, iteration, trials, trial, **info) -> None:
        if not trial.last_result.get("wrong"):
            self._tell("trials", "ok")


def _on_tune(units: list[Unit], place: Place, nodes: Nodes, tell: Tell) -> dict[str, str]:
    """Why trials were not computed, by Ray's ids of the wrong nodes they were on; empty when all are."""
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        trainable = tune.with_parameters(_Trial, place=place, units=units, expected=nodes.expected)
        others = {"bundle_label_selector": [nodes.refused.others]} if nodes.refused.reasons else {}
        tuner = tune.Tuner(
            tune.with_resources(trainable, tune.PlacementGroupFactory([{"CPU": 1}], **others)),
            param_space={"unit": tune.grid_search(list(range(len(units))))},
            tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=nodes.workers),
            # nothing of Tune's own is kept: what a trial found lies in the store
            run_config=tune.RunConfig(
                storage_path=scratch,
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=ATTEMPTS - 1),
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
                callbacks=[_Told(tell)],
            ),
        )
        found = tuner.fit()
        for error in found.errors:
            cause = getattr(error, "cause", None)
            raise (
                cause
                if isinstance(cause, ValueError)
                else ClusterError(
                    f"tune: {len(found.errors)} of {len(units)} trials failed, {ATTEMPTS} times each; "
                    "what is done is kept: fix the nodes and run again"
                )
            )
        last = [result.metrics or {} for result in found]
        return {metrics["node"]: metrics["wrong"] for metrics in last if metrics.get("wrong")}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Tune's log files and its table of trials; the environment is restored afterwards."""
    wanted = {
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _read(place: Place, unit: Unit) -> dict:
    try:
        return sealed.read(place.store, f"{place.folder}/{unit.name}")
    except FileNotFoundError as error:
        raise ClusterError(f"tune: a trial ended without a result ({unit.name}); run again") from error
