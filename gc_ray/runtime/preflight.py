"""Every node is asked before it works: its code, libraries and processor, its sight of the store and the scans."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_hex

from gc_ray.cohort.manifest import Scans
from gc_ray.errors import ClusterError, StoreError
from gc_ray.probe import probe
from gc_ray.runtime import cluster
from gc_ray.runtime.node_facts import NodeFacts, difference, own_facts, wanted_cpu
from gc_ray.store import Store

BEACON = "runs/probe-beacon-"  # what the driver writes and every node must be able to read
CONTENT = b"gc-ray"


@dataclass(frozen=True)
class Expected:
    """What a process must be to compute for a run.

    facts: of the driver; an empty cpu allows any. beacon: an object of the store that the driver wrote; empty on a
    private cluster, which no other machine can join.
    """

    facts: NodeFacts
    beacon: str


@dataclass(frozen=True)
class Answer:
    """What a node says of itself.

    unstored: why it cannot use the store; empty where it can. unseen: folders of scans that it does not see.
    """

    facts: NodeFacts
    unstored: str
    unseen: tuple[str, ...]


@dataclass
class Fleet:
    """The nodes of a run that get no work, by Ray's id, and why."""

    refused: dict[str, str] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """A line for each of these nodes."""
        return tuple(f"node {reason}; it got no work" for reason in self.refused.values())

    @property
    def selector(self) -> dict[str, str]:
        """Ray's label selector of all other nodes, also those that join later."""
        return {"ray.io/node-id": f"!in({','.join(sorted(self.refused))})"} if self.refused else {}

    def refuse(self, node_id: str, reason: str) -> None:
        """Give a node no more work; ClusterError when no other is left."""
        self.refused[node_id] = reason
        if not cluster.working_nodes() - self.refused.keys():
            raise ClusterError(
                f"wanted a node that computes as the driver does, there is none: {'; '.join(self.refused.values())}; "
                "install the same versions on every node, and mount the same folders"
            )


def muster(store: Store, scans: Scans, fleet: Fleet, *, mixed_cpu: bool) -> Expected:
    """Ask every node, refuse those that would compute other values or cannot reach store or scans.

    A private cluster of this machine alone is the driver's own installation, and is not asked.

    Returns
    -------
    Expected
        What workers that come later compare themselves with. Its beacon is deleted by ``dismiss``.

    Raises
    ------
    ClusterError
        When no node is left.
    """
    driver = own_facts()
    if cluster.is_private():
        return Expected(driver, "")
    beacon = f"{BEACON}{token_hex(8)}"
    store.put(beacon, CONTENT)
    try:
        roots = roots_of(scans)
        answers = cluster.ask_nodes(functools.partial(look_around, store, beacon, tuple(roots)))
        here = set(roots) - set(unseen_of(roots))
        wanted, refusals = judge(driver, answers, roots, here, mixed_cpu=mixed_cpu)
        for node_id, reason in refusals.items():
            fleet.refuse(node_id, reason)
    except Exception:
        dismiss(store, beacon)
        raise
    return Expected(wanted, beacon)


def dismiss(store: Store, beacon: str) -> None:
    """Delete what ``muster`` wrote; nothing where it wrote nothing."""
    if beacon:
        with contextlib.suppress(StoreError, OSError):  # the run's own fault is what has to be reported
            store.delete(beacon)


def judge(
    driver: NodeFacts,
    answers: dict[str, Answer | str],
    roots: dict[str, str],
    here: set[str],
    *,
    mixed_cpu: bool,
) -> tuple[NodeFacts, dict[str, str]]:
    """(what every worker must be, the reason for each node that gets no work).

    answers: by node id, or why there is none. roots: folder to the site whose scans lie there. here: the roots that
    the driver sees; one that nobody sees is refused scan by scan.
    """
    given = {node_id: answer for node_id, answer in answers.items() if isinstance(answer, Answer)}
    seen = here.union(*(set(roots) - set(answer.unseen) for answer in given.values()))
    same = [a.facts.cpu for a in given.values() if not difference(replace(driver, cpu=""), a.facts)]
    wanted = replace(driver, cpu="" if mixed_cpu else wanted_cpu(driver.cpu, same))
    refusals = {node_id: answer for node_id, answer in answers.items() if isinstance(answer, str)}
    for node_id, answer in given.items():
        faults = [difference(wanted, answer.facts)] if difference(wanted, answer.facts) else []
        faults += [f"the store: {answer.unstored}"] if answer.unstored else []
        lost = sorted({roots[root] for root in answer.unseen if root in seen})
        faults += [f"the scans of {', '.join(lost)} are not mounted there"] if lost else []
        if faults:
            refusals[node_id] = f"{answer.facts.node} (Ray node {node_id[:8]}): {', '.join(faults)}"
    return wanted, refusals


def roots_of(scans: Scans) -> dict[str, str]:
    """The local folder below which all images and masks of a site lie, to the site's name."""
    places: dict[str, set[str]] = {}
    for part in scans.stretches():
        columns = (part.table[name].to_pylist() for name in ("site", "image_uri", "mask_uri"))
        for site, *uris in zip(*columns, strict=True):
            local = (str(Path(uri).absolute().parent) for uri in uris if "://" not in uri and "\0" not in uri)
            places.setdefault(site, set()).update(local)
    return {os.path.commonpath(sorted(folders)): site for site, folders in places.items() if folders}


def look_around(store: Store, beacon: str, roots: Iterable[str]) -> Answer:
    """What this process is, and what it sees."""
    return Answer(own_facts(), _unstored(store, beacon), unseen_of(roots))


def unseen_of(roots: Iterable[str]) -> tuple[str, ...]:
    """The folders that this process does not see."""
    return tuple(root for root in roots if not os.path.isdir(root))  # noqa: PTH112 - never raises


@functools.lru_cache(maxsize=8)
def unfit(store: Store, expected: Expected) -> str:
    """Why this process may not compute for a run; empty where it may. Found once for each process and run."""
    facts = own_facts()
    found = difference(expected.facts, facts)
    if not found and expected.beacon and (reason := _unreadable(store, expected.beacon)):
        found = f"the store: {reason}"
    return f"{facts.node} (Ray node {cluster.node_id()[:8]}): {found}" if found else ""


def _unstored(store: Store, beacon: str) -> str:
    try:
        probe(store)
    except (StoreError, OSError) as error:
        reason = str(error).removeprefix(f"store {store.uri}: ")
        return "it cannot be written from there" if reason.startswith("cannot ") else reason
    return _unreadable(store, beacon)


def _unreadable(store: Store, beacon: str) -> str:
    try:
        return "" if store.get(beacon) == CONTENT else "another one lies at its address there"
    except (StoreError, OSError):
        return "what the driver writes cannot be read there: use a shared folder or s3://"
