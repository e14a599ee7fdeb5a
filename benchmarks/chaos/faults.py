"""The faults: what each does to a running command, and how it is undone."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
from place import UP_S, Place, until

AWAY_S = 20.0
AFTER = 3  # results that are committed when the fault strikes: the command is in its midst
SLICES = "/ct/"  # in the path of a scan's slice
FULL_BYTES = 1000  # the largest file on a "full" disk: less than features or a slice, more than a line of Ray's logs


@dataclass(frozen=True)
class Fault:
    """One fault. strike: given the place, what a running command has in its arguments, and whether it still runs.

    codes: the exit codes that are right, the last of them 0; None stands for a killed command. local: scans and store
    are folders, since the fault is one of a disk. after: results that are to be there first.
    """

    name: str
    when: str
    strike: Callable[[Place, str, Callable[[], bool]], None]
    codes: tuple[int | None, ...] = (0,)
    local: bool = False
    after: int = AFTER


def kill_worker(place: Place, mark: str, runs: Callable[[], bool]) -> None:
    """SIGKILL for a worker that is reading a scan."""
    with place.proxy.holding(SLICES) as held:
        until(lambda: readers(place, "head", held), UP_S, "a scan is being read")
        readers(place, "head", held)[0].kill()


def kill_node(place: Place, mark: str, runs: Callable[[], bool]) -> None:
    """SIGKILL for every process of the second node while one of its workers is reading a scan."""
    with place.proxy.holding(SLICES) as held:
        until(lambda: readers(place, "second", held), UP_S, "the second node reads a scan")
        for process in place.processes("second"):
            _kill(process)


def readers(place: Place, node: str, ports: list[int]) -> list[psutil.Process]:
    """The workers of a node that wait for the proxy at one of these ports of theirs."""
    return clients(place.workers(node), ports)


def clients(processes: list[psutil.Process], ports: list[int]) -> list[psutil.Process]:
    """Those of some processes that have a connection from one of these ports."""
    found = []
    for process in processes:
        try:
            mine = {connection.laddr.port for connection in process.net_connections("tcp4")}
        except psutil.Error:
            continue
        if mine & set(ports):
            found.append(process)
    return found


def kill_driver(place: Place, mark: str, runs: Callable[[], bool]) -> None:
    """SIGKILL for the command itself."""
    for process in place.processes("head"):
        if _is(process, mark):
            _kill(process)


def s3_away(place: Place, mark: str, runs: Callable[[], bool]) -> None:
    """The S3 server is killed, and started again on the same folder after 20 s."""
    place.s3.kill()
    time.sleep(AWAY_S)
    place.s3.start()


def s3_frozen(place: Place, mark: str, runs: Callable[[], bool]) -> None:
    """The S3 server takes connections and says nothing for 20 s."""
    place.s3.signal(signal.SIGSTOP)
    time.sleep(AWAY_S)
    place.s3.signal(signal.SIGCONT)


def s3_storm(place: Place, mark: str, runs: Callable[[], bool]) -> None:
    """S3 is slow, fails before and after it acted, and breaks answers off, until the command has ended."""
    place.proxy.storm = True
    try:
        until(lambda: not runs(), 10 * UP_S, "the command ends")
    finally:
        place.proxy.storm = False


def disk_full(place: Place, mark: str, runs: Callable[[], bool]) -> None:
    """No worker can write a file (RLIMIT_FSIZE) until the command has ended."""
    unlimited: dict[psutil.Process, tuple[int, int]] = {}

    def limit() -> bool:
        for process in place.workers("head") + place.workers("second"):
            if process not in unlimited and process.is_running():
                unlimited[process] = process.rlimit(resource.RLIMIT_FSIZE)
                process.rlimit(resource.RLIMIT_FSIZE, (FULL_BYTES, unlimited[process][1]))
        return not runs()

    try:
        until(limit, UP_S, "the command ends")
    finally:
        for process, before in unlimited.items():
            if process.is_running():
                process.rlimit(resource.RLIMIT_FSIZE, before)


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def _is(process: psutil.Process, mark: str) -> bool:
    try:
        return any(mark in argument for argument in process.cmdline())
    except psutil.NoSuchProcess:
        return False


FAULTS = {
    "worker": Fault("a worker process killed", "reading a scan, after 3 results", kill_worker),
    "driver": Fault("the driver killed", "after 3 results; the same command again", kill_driver, (None, 0)),
    "away": Fault("S3 down for 20 s", "server killed after 3 results, then started again", s3_away),
    "frozen": Fault("S3 silent for 20 s", "server stopped after 3 results, then continued", s3_frozen),
    "storm": Fault("S3 slow, failing, losing answers", "from beginning to end", s3_storm, after=0),
    "disk": Fault(
        "disk of the store full", "from 3 results on; the same command again", disk_full, (1, 0), local=True
    ),
    "scratch": Fault("disk of the workers full", "from 3 results on; the same command again", disk_full, (1, 0)),
    "node": Fault("a node killed", "with all its processes, reading a scan, after 3 results", kill_node),
}
