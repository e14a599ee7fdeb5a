"""The commands of ``small_runs`` on Ray, and a store that fails at a write of the driver or of a worker."""

from __future__ import annotations

import fcntl
import functools
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import small_runs as runs
from nodes import HEAD, ROLE, SECOND, kill_all
from struck import KILLS, Struck

from gc_ray.errors import InputError
from gc_ray.models.bundle import read_bundle
from gc_ray.runtime import extract, rescore, rescore_input
from gc_ray.runtime.extract_scans import Extraction
from gc_ray.runtime.scan_work import Job, ScanTask, process_scan
from gc_ray.runtime.train import unwatched
from gc_ray.store import LocalStore, Store, open_store
from gc_ray.study import load_study

DRIVER = "driver"
NODE = "node"  # whose processes are killed together; it is the second one
ADDRESS = "store-uri"  # a file beside the scans: where the store is, when it is no folder
PATIENCE_S = 4.0  # how long a run waits for a server that is away


class StruckTogether(Struck):
    """A store whose n-th write or delete by the processes of one role fails.

    Parameters
    ----------
    counts : str
        The folder where every process counts.
    role : str
        ``driver``, ``head`` (a worker there) or ``node`` (a worker of the second node, which is killed as a whole).
    """

    def __init__(self, root: str, n: int, fault: str, counts: str, role: str) -> None:
        super().__init__(root, n, fault)
        object.__setattr__(self, "_made_of", (root, n, fault, counts, role))
        object.__setattr__(self, "_counts", Path(counts))
        object.__setattr__(self, "_mine", role == _own_role())

    def __reduce__(self) -> tuple:
        return StruckTogether, self._made_of

    @property
    def acts(self) -> int:
        """How many writes and deletes there were, of all roles."""
        return sum(counted(self._counts).values())

    @property
    def failed(self) -> int:
        """How many of them failed."""
        return _size(self._counts / "failed")

    def _turn(self) -> str:
        now = _count(self._counts / f"acts-{_own_role()}")
        if not self._mine or (now != self._n and not (self._fault == "disk full" and now > self._n > 0)):
            return ""
        _count(self._counts / "struck")
        if _own_role() == NODE and self._fault in KILLS:
            kill_node()
        return self._fault

    def _fails(self) -> None:
        _count(self._counts / "failed")


def counted(folder: Path) -> dict[str, int]:
    """Writes and deletes by role."""
    return {path.name.removeprefix("acts-"): _size(path) for path in folder.glob("acts-*")}


def kill_node() -> None:
    """Kill the node that this process works for, with all its processes."""
    starters = [one for one in psutil.Process().parents() if one.environ().get(ROLE) and "start" in one.cmdline()]
    kill_all(starters[-1])


def _own_role() -> str:
    return {HEAD: HEAD, SECOND: NODE}.get(os.environ.get(ROLE, ""), DRIVER)


def _count(path: Path) -> int:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(b".")
        file.flush()
        return file.tell()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@dataclass(frozen=True)
class Worker:
    """``process_scan`` as a version of the code."""

    code: runs.Code = field(default_factory=runs.Code)

    def __call__(self, task: ScanTask, job: Job) -> list[dict]:
        """Work on one scan."""
        self.code.install()
        return process_scan(task, job)


def store_of(own: Path) -> Store:
    """The store of a place: a folder of it, or where ``store-uri`` says."""
    address = own / ADDRESS
    return open_store(address.read_text()) if address.exists() else LocalStore(str(own / "store"))


def perform(command: str, own: Path, store: Store, code: runs.Code, run: str) -> dict:
    """As ``points.perform``, on the Ray that this process is connected to."""
    code.install()
    refusal, done = "", {}
    try:
        if command == "extract":
            done = _extract(own, store, code, run)
        elif command == "merge":
            runs.merged([str(own / "site"), str(own / "other-site")], store)
        elif command == "compact":  # as every command does when it ends
            runs.compact(store)
        else:
            done = _rescore(own, store, code, run)
    except InputError as error:
        refusal = str(error)
    return {"refusal": refusal, "failed": getattr(store, "failed", 0)} | done


def _extract(own: Path, store: Store, code: runs.Code, run: str) -> dict:
    study = load_study(None, (f'extract.feature_sets=["{own / "quick.yaml"}"]', 'extract.volumes=["guo2025"]'))
    request = extract.Request((str(own / "scans" / "scans.csv"),), store, study)
    ended = extract.extract(request, unwatched, run, time.monotonic, Worker(code))
    return {"told": [problem.message for problem in ended.problems]}


def _rescore(own: Path, store: Store, code: runs.Code, run: str) -> dict:
    rescore_input.Extraction = functools.partial(Extraction, work=Worker(code))
    held = read_bundle(LocalStore(str(own / "bundle")))
    asked = rescore.Request(held, (str(own / "scans" / "scans.csv"),), store, "2026-01-01T00:00:00+00:00")
    ended = rescore.rescore(asked, unwatched, run)
    return {"told": [scan.reason for scan in ended.failed]}
