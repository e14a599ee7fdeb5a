"""Every node is checked before it works: its code, libraries and processor, its sight of the store and the scans."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from secrets import token_hex

import ray
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from gc_ray.code_versions import EXTRACTION, SIGNATURES, Step
from gc_ray.errors import ClusterError, StoreError
from gc_ray.probe import probe
from gc_ray.runtime import cluster
from gc_ray.runtime.node_facts import NodeFacts, difference, facts_for, own_facts, wanted_cpu
from gc_ray.runtime.places import Demand, placed, wait_for, watched
from gc_ray.runtime.scan_places import ScanPlace
from gc_ray.store import Store

BEACON = "runs/probe-beacon-"  # what the driver writes and every node must be able to read
CONTENT = b"gc-ray"
IMAGES = (EXTRACTION, SIGNATURES)  # numba, of the second, compiles what computes features, too


@dataclass(frozen=True)
class Expected:
    """What a process must be, and see, to compute for a run.

    facts: of the driver; an empty cpu allows any. beacon: an object that the driver wrote to the store; empty without
    a store. places: of scans, those that the driver or a node sees. gpu: torch must see one.
    """

    facts: NodeFacts
    store: Store | None = None
    beacon: str = ""
    places: tuple[ScanPlace, ...] = ()
    gpu: bool = False


@dataclass(frozen=True)
class Answer:
    """What a node says of itself.

    store_fault: why it cannot use the store; empty where it can. unseen: places of scans that it does not see. gpu:
    False where a GPU is wanted and torch sees none.
    """

    facts: NodeFacts
    store_fault: str = ""
    unseen: tuple[ScanPlace, ...] = ()
    gpu: bool = True


@dataclass
class RefusedNodes:
    """The nodes that get no work in a run: the reason for each, by Ray's id. demand: of the run."""

    reasons: dict[str, str] = field(default_factory=dict)
    demand: Demand = field(default_factory=lambda: Demand("work"))

    @property
    def notes(self) -> tuple[str, ...]:
        """A line for each of these nodes."""
        return tuple(f"node {reason}; it got no work" for reason in self.reasons.values())

    @property
    def others(self) -> dict[str, str]:
        """Ray's label selector of all other nodes, also of those that join later; empty without a refused node."""
        return {"ray.io/node-id": f"!in({','.join(sorted(self.reasons))})"} if self.reasons else {}

    def add(self, node_id: str, reason: str) -> None:
        """Give a node no more work; ClusterError when no other is left."""
        self.reasons[node_id] = reason
        if not self.is_another_up():
            raise ClusterError(
                f"wanted a node that computes as the driver does, there is none: {'; '.join(self.reasons.values())}; "
                "install the same versions on every node, and mount the same folders"
            )

    def is_another_up(self) -> bool:
        """Whether a node is up that may work and has what a worker of the run needs."""
        return bool(cluster.working_nodes(self.demand.each) - self.reasons.keys())

    def wait(self) -> None:
        """Wait for the places of the run on other nodes; ClusterError when there are none in time."""
        wait_for(self.demand, self.others, self.reasons)

    def check_places(self, expected: Expected | None) -> None:
        """Wait for the places of the run, and ask a process in each of them whether it may compute.

        Nodes that are wrong get no work, and other places are waited for; ClusterError when there are none.
        """
        if expected is None:
            self.wait()
            return
        wrong = {"": ""}
        while wrong:
            with placed(self.demand, self.others, self.reasons) as group:
                wrong = _wrong_in(group, self.demand.each, expected)
            for node_id, reason in wrong.items():
                self.add(node_id, reason)


@contextlib.contextmanager
def checked_nodes(
    refused: RefusedNodes,
    store: Store | None,
    places: tuple[ScanPlace, ...] = (),
    *,
    mixed_cpu: bool = False,
    steps: tuple[Step, ...] = IMAGES,
) -> Iterator[Expected | None]:
    """Wait for the places of a run, within ``cluster.session``; check every node, and refuse those that may not work.

    While the context lasts, a line now and then says when no node is left that could work.

    Parameters
    ----------
    refused
        Says what the run demands, and takes the nodes that would compute other values, or do not reach the store or
        the scans.
    store
        What every node must write and read; None for work that writes nothing.
    places
        Of scans. One that nobody sees is no fault of a node: its scans are refused one by one.
    mixed_cpu
        Nodes of several instruction sets may compute.
    steps
        Of the code, that the nodes will run: their libraries must have the driver's versions.

    Yields
    ------
    Expected
        What workers that come later are compared with. None on a cluster that this process started on its own
        machine, whose workers are the driver's own installation.

    Raises
    ------
    ClusterError
        When no node is left, or there are no places in time.
    """
    refused.wait()  # nodes must be up to be asked
    if cluster.is_private():
        yield None
        return
    with _beacon(store) as beacon, watched(refused.is_another_up):
        answers = cluster.ask_nodes(functools.partial(describe_here, store, beacon, places))
        expected, reasons = judge(facts_for(*steps), answers, places, mixed_cpu=mixed_cpu)
        for node_id, reason in reasons.items():
            refused.add(node_id, reason)
        if reasons:
            refused.wait()  # the first places may have been theirs
        yield replace(expected, store=store, beacon=beacon, gpu="GPU" in refused.demand.each)


def judge(
    driver: NodeFacts, answers: dict[str, Answer | str], places: tuple[ScanPlace, ...], *, mixed_cpu: bool
) -> tuple[Expected, dict[str, str]]:
    """(what every worker must be and see, the reason for each node that gets no work).

    answers: by node id, or why there is none. places: that somebody sees, or nobody.
    """
    given = {node_id: answer for node_id, answer in answers.items() if isinstance(answer, Answer)}
    unseen = [set(answer.unseen) for answer in given.values()]
    seen = tuple(p for p in places if p.is_seen or any(p not in theirs for theirs in unseen))
    same = [a.facts.cpu for a in given.values() if not difference(replace(driver, cpu=""), a.facts)]
    expected = Expected(replace(driver, cpu="" if mixed_cpu else wanted_cpu(driver.cpu, same)), places=seen)
    reasons = {node_id: answer for node_id, answer in answers.items() if isinstance(answer, str)}
    reasons |= {node_id: why for node_id, answer in given.items() if (why := _why_not(expected, answer, node_id))}
    return expected, reasons


def describe_here(store: Store | None, beacon: str, places: tuple[ScanPlace, ...]) -> Answer:
    """What this process is, and what it sees, before a run."""
    return _answer(Expected(own_facts(), store, beacon, places), probe)


@functools.lru_cache(maxsize=8)
def why_not_here(expected: Expected) -> str:
    """Why this process may not compute for a run; empty where it may. Found once for each process and run."""
    return _why_not(expected, _answer(expected, _write), cluster.node_id())


def _answer(asked: Expected, use: Callable[[Store], None]) -> Answer:
    """What this process is, and what it sees. use: tries the store; StoreError when it cannot be used."""
    fault = "" if asked.store is None else _store_fault(asked.store, asked.beacon, use)
    unseen = tuple(place for place in asked.places if not place.is_seen)
    return Answer(own_facts(), fault, unseen, not asked.gpu or _sees_gpu())


def _sees_gpu() -> bool:
    import torch  # late: a worker that extracts does without

    return torch.cuda.is_available()


def _wrong_in(group: PlacementGroup, each: Mapping[str, float], expected: Expected) -> dict[str, str]:
    """Why a process in some places of a group may not compute, by Ray's id of the node."""
    size = {"num_cpus": each.get("CPU", 0), "num_gpus": each.get("GPU", 0), "max_retries": 1}
    asked = [
        ray.remote(**size, scheduling_strategy=PlacementGroupSchedulingStrategy(group, i))(_at_and_why_not)
        for i in range(group.bundle_count)
    ]
    found = dict(ray.get([ask.remote(expected) for ask in asked]))
    return {node_id: reason for node_id, reason in found.items() if reason}


def _at_and_why_not(expected: Expected) -> tuple[str, str]:
    return cluster.node_id(), why_not_here(expected)


def _why_not(expected: Expected, answer: Answer, node_id: str) -> str:
    """Why a node may not compute, beginning with its name; empty where it may."""
    faults = [difference(expected.facts, answer.facts)]
    faults += [f"the store: {answer.store_fault}" if answer.store_fault else ""]
    sites = sorted({place.site for place in answer.unseen if place in expected.places})
    faults += [f"the scans of {', '.join(sites)} are not mounted there" if sites else ""]
    faults += [] if answer.gpu else ["Ray promises a GPU there, torch sees none (no driver, or no CUDA)"]
    faults = [fault for fault in faults if fault]
    return f"{answer.facts.node} (Ray node {node_id[:8]}): {', '.join(faults)}" if faults else ""


@contextlib.contextmanager
def _beacon(store: Store | None) -> Iterator[str]:
    """The name of an object that is in the store meanwhile; empty without a store."""
    if store is None:
        yield ""
        return
    beacon = f"{BEACON}{token_hex(8)}"
    store.put(beacon, CONTENT)
    try:
        yield beacon
    finally:
        with contextlib.suppress(StoreError, OSError):  # the fault of the run itself is what has to be reported
            store.delete(beacon)


def _store_fault(store: Store, beacon: str, use: Callable[[Store], None]) -> str:
    """Why this process cannot use the store; empty where it can."""
    try:
        use(store)
    except (StoreError, OSError) as error:
        return f"it cannot be used from there: {str(error).removeprefix(f'store {store.uri}: ')}"
    try:
        return "" if store.get(beacon) == CONTENT else "another one lies at its address there"
    except (StoreError, OSError):
        return "what the driver writes cannot be read there: use a shared folder or s3://"


def _write(store: Store) -> None:
    """A write, tried as long as those of results are: a run has begun, and a short fault must not cost it a node."""
    key = f"{BEACON}{token_hex(8)}"
    store.put(key, CONTENT)
    store.delete(key)
