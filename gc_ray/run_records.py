"""Records of runs, written last: each names the one before, and ``latest-run.json`` the last one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from gc_ray import sealed
from gc_ray.errors import DamagedError
from gc_ray.store import Store

FOLDER = "runs"
LATEST = "latest-run.json"


def raise_exit_code(store: Store, run: str, code: int) -> None:
    """Put a higher exit code into the record of a run; nothing where it has none, or is damaged."""
    with contextlib.suppress(FileNotFoundError, DamagedError):
        name = f"{FOLDER}/{run}.json"
        record = sealed.read(store, name)
        sealed.put(store, name, record | {"exit_code": max(record["exit_code"], code)})


def write_record(store: Store, run: str, record: dict, commits: Iterable[str] = ()) -> None:
    """Write the record of a run that has come to its end: its presence says so.

    A record that is deleted later is noticed, since the next one, or ``latest-run.json``, names it.

    Parameters
    ----------
    commits : iterable of str
        The objects by which the run committed results; ``gc-ray verify`` names those that are deleted later.
    """
    name, content, before = f"{FOLDER}/{run}.json", record | {"commits": sorted(commits)}, ""
    with contextlib.suppress(FileNotFoundError, DamagedError, KeyError):
        sealed.put(store, name, content | {"before": sealed.read(store, name)["before"]})
        return  # others took it for cut off: it keeps its place among the records
    with contextlib.suppress(FileNotFoundError, DamagedError):
        before = sealed.read(store, LATEST)["run"]
    sealed.put(store, name, content | {"before": before})
    sealed.put(store, LATEST, {"run": run})
