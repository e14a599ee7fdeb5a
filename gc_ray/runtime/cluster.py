"""Joining a Ray cluster or starting a private one, quietly and with one thread per worker."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import ray
from ray.data import DataContext
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from gc_ray.errors import ClusterError
from gc_ray.runtime.address import check_address, check_token, joining_error
from gc_ray.runtime.exposure import check_dashboard

OBJECT_STORE_BYTES = 300 << 20  # voxels never enter it; only task descriptions and outcomes do
AHEAD = 1000  # short tasks that wait at a time; a million at once would be gigabytes of the driver
NODE_ANSWER_S = 120.0  # for a node to start a process that says what it is; 10 s on an idle one
MIN_FILE_BYTES = 2 << 30  # Ray maps its object store and logs as files; a lower limit kills it without a word
ONE_THREAD = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
    )
}


_started_here: set[str] = set()  # the address of the cluster that this process started: one, as its connection is


@contextlib.contextmanager
def session(cpus: int | None) -> Iterator[None]:
    """A connection to Ray: the cluster named by RAY_ADDRESS (set by ``ray job submit``), else a private local one.

    cpus: CPU slots of a private cluster (None: all cores). An existing connection of this process is used as it is.
    """
    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    common = {"logging_level": "ERROR", "log_to_driver": False, "runtime_env": {"env_vars": ONE_THREAD}}
    if address:
        check_address(address)
        check_token(address)
        try:
            joined = ray.init(address=address, **common)
        except (ConnectionError, RuntimeError, ValueError, RayError) as error:
            raise joining_error(address, error) from error
    else:
        _started_here.add(_start_here(cpus, common))
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # a crashed block is the ledger's business
    try:
        if address:
            check_dashboard(joined.dashboard_url)
        yield
    finally:
        ray.shutdown()
        _started_here.clear()


def _start_here(cpus: int | None, common: dict) -> str:
    """A private cluster of this machine alone; its address."""
    _check_file_limit()
    try:
        started = ray.init(
            address="local",
            num_cpus=cpus or os.cpu_count(),
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            **common,
        )
    except Exception as error:  # the class that Ray raises, and no narrower one
        if "timed out during startup" not in str(error):
            raise
        raise ClusterError(
            "wanted to start Ray on this machine, its parts did not answer within the 30 s that Ray gives them; "
            "other work keeps the machine busy: run the command again when there is less"
        ) from error
    return started.address_info["gcs_address"]


def map_chunks(
    function: Callable[[Any], Any],
    items: Sequence,
    chunk: int,
    lost: Callable[[Any], Any],
    selector: dict[str, str] | None = None,
) -> list:
    """``[function(item) for item in items]`` on the session's CPUs, ``chunk`` short pieces of work to a task.

    Where a task's process dies its items are done again one by one; ``lost(item)`` stands for one that kills its
    process again. selector: Ray's labels of the nodes that may work, None for all.
    """
    where = {"label_selector": selector} if selector else {}
    run = ray.remote(num_cpus=1, max_retries=0, **where)(lambda part: [function(item) for item in part])
    results, waiting = [], deque()

    def collect() -> None:
        part, ref = waiting.popleft()
        try:
            results.extend(_answer(ref))
        except RayError:
            results.extend(found for item in part for found in _alone(run, item, lost))

    for start in range(0, len(items), chunk):
        part = list(items[start : start + chunk])
        waiting.append((part, run.remote(part)))
        if len(waiting) == AHEAD:
            collect()
    while waiting:
        collect()
    return results


def _alone(run, item: Any, lost: Callable[[Any], Any]) -> list:
    try:
        return _answer(run.remote([item]))
    except RayError:
        return [lost(item)]


def _answer(ref: ray.ObjectRef) -> list:
    try:
        return ray.get(ref)
    except RayTaskError as error:
        raise error.cause from None  # the fault itself, without the worker's traceback around it


@contextlib.contextmanager
def quiet_data(no_progress_s: float) -> Iterator[None]:
    """Ray Data without bars of its own and with crashed blocks counted instead of fatal; restored afterwards."""
    context = DataContext.get_current()
    wanted = {
        "enable_progress_bars": False,
        "print_on_execution_start": False,
        "enable_auto_log_stats": False,
        "max_errored_blocks": -1,  # the ledger, not Ray Data, says which scans are missing
        "execution_no_progress_timeout_s": int(no_progress_s),
    }
    before = {name: getattr(context, name) for name in wanted}
    detectors = context.issue_detectors_config.detectors
    for name, value in wanted.items():
        setattr(context, name, value)
    context.issue_detectors_config.detectors = []
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)
        context.issue_detectors_config.detectors = detectors


def usable_memory(without: Collection[str] = ()) -> int:
    """The most memory, in bytes, that one task can be promised on any node that is up and takes tasks; 0 without one.

    without: Ray's ids of nodes that get no work.
    """
    return task_memory([node for node in ray.nodes() if node["NodeID"] not in without])


def task_memory(nodes: list[dict]) -> int:
    """The most memory of a living node with CPU slots, as ``ray.nodes()`` tells them; 0 when there is none."""
    resources = (node["Resources"] for node in nodes if node["Alive"])
    return int(max((held.get("memory", 0) for held in resources if held.get("CPU", 0) > 0), default=0))


def working_nodes(each: Mapping[str, float] | None = None) -> set[str]:
    """Ray's ids of the nodes that are up and take tasks. each: of what they have at least so much, by Ray's names."""
    nodes = (node for node in ray.nodes() if task_memory([node]))
    enough = (each or {}).items()
    return {node["NodeID"] for node in nodes if all(node["Resources"].get(name, 0) >= n for name, n in enough)}


def resources(without: Collection[str] = ()) -> dict[str, float]:
    """What all nodes have together, by Ray's names. without: Ray's ids of nodes that get no work."""
    found: Counter = Counter()
    for node in ray.nodes():
        if node["Alive"] and node["NodeID"] not in without:
            found.update(node["Resources"])
    return dict(found)


def slots() -> dict[str, tuple[int, int]]:
    """(CPU slots, memory in bytes that tasks can be promised) of each node that takes tasks, by Ray's id."""
    found = {node["NodeID"]: node["Resources"] for node in ray.nodes() if task_memory([node])}
    return {node: (int(held["CPU"]), int(held["memory"])) for node, held in found.items()}


def node_id() -> str:
    """Ray's id of the node that this process runs on; empty outside of Ray."""
    return ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""


def is_named() -> bool:
    """Whether a session of this process joins a cluster that ``RAY_ADDRESS`` names."""
    return bool(os.environ.get("RAY_ADDRESS"))


def is_private() -> bool:
    """Whether this process itself started the cluster, on this machine alone."""
    return ray.get_runtime_context().gcs_address in _started_here


def ask_nodes(function: Callable[[], Any], patience_s: float = NODE_ANSWER_S) -> dict[str, Any]:
    """``function()`` on every node that takes tasks, by Ray's id; a text that says why where there is no answer."""
    asked = {}
    for node in working_nodes():
        here = NodeAffinitySchedulingStrategy(node, soft=False)
        asked[node] = ray.remote(num_cpus=0, max_retries=1, scheduling_strategy=here)(lambda: function()).remote()
    done, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=patience_s)
    answers = {}
    for node, ref in asked.items():
        name = f"(Ray node {node[:8]})"
        try:
            answers[node] = ray.get(ref) if ref in done else f"{name}: no answer within {patience_s:g} s"
        except RayError as error:  # such as a package that is not installed there
            cause = getattr(error, "cause", error)
            answers[node] = f"{name}: gc_ray cannot be used there ({type(cause).__name__})"
    up = working_nodes()
    return {node: answer for node, answer in answers.items() if node in up}  # one that went away is no fault


def _check_file_limit() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if soft not in (resource.RLIM_INFINITY, -1) and soft < MIN_FILE_BYTES:
        raise ClusterError(
            f"files are limited to {soft} bytes here (ulimit -f), Ray and the store need {MIN_FILE_BYTES}; raise it"
        )
