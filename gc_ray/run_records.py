"""Records of runs, written last: each names the one before, and ``latest-run.json`` the last one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from gc_ray import sealed
from gc_ray.errors import DamagedError
from gc_ray.store import Store

FOLDER = "runs"
LATEST = "latest-run.json"


def write_record(store: Store, run: str, record: dict, commits: Iterable[str] = ()) -> None:
    """Write the record of a run that has come to its end: its presence says so.

    A record that is deleted later is noticed, since the next one, or ``latest-run.json``, names it.

    Parameters
    ----------
    commits : iterable of str
        The objects by which the run committed results; ``gc-ray verify`` names those that are deleted later.
    """
    before = ""
    with contextlib.suppress(FileNotFoundError, DamagedError):
        before = sealed.read(store, LATEST)["run"]
    sealed.put(store, f"{FOLDER}/{run}.json", record | {"commits": sorted(commits), "before": before})
    sealed.put(store, LATEST, {"run": run})
