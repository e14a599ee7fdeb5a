"""Records of runs, written last: each names the one before, and ``latest-run.json`` the last one."""

from __future__ import annotations

import contextlib

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


def write_record(store: Store, run: str, record: dict) -> None:
    """Write the record of a run that has come to its end: its presence says so.

    A record that is deleted later is noticed, since the next one, or ``latest-run.json``, names it.
    """
    before = ""
    with contextlib.suppress(FileNotFoundError, DamagedError):
        before = sealed.read(store, LATEST)["run"]
    sealed.put(store, f"{FOLDER}/{run}.json", record | {"before": before})
    sealed.put(store, LATEST, {"run": run})
