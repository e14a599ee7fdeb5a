"""Runs that have begun and not ended, and how one that was cut off is found: by its last sign of life."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from gc_ray import sealed
from gc_ray.errors import DamagedError, StoreError, some
from gc_ray.exit_codes import FAILED, STUCK_RUN, Problem
from gc_ray.run_records import write_record
from gc_ray.store import Store

FOLDER = "active"
SIGN_EVERY_S = 60.0
SILENT_S = 15 * SIGN_EVERY_S  # a store may be away for minutes, a driver starved
STALLED_S = 4 * 3600.0  # between two results; a scan is given up after half an hour, a fold trains for an hour or two
RUNNING, STALLED, SILENT = "running", "no result for hours", "no sign of life"


@dataclass(frozen=True)
class ActiveRun:
    """A run that has begun and not ended.

    Parameters
    ----------
    run, command : str
    host : str
        Where its driver runs.
    results : int
        Results that it has reported.
    age_s : float
        Seconds since its last sign of life, by the clock of the store.
    idle_s : float
        Seconds since its last result, or its beginning, at the time of that sign.
    """

    run: str
    command: str
    host: str
    results: int
    age_s: float
    idle_s: float

    @property
    def state(self) -> str:
        """``running``, ``no result for hours`` or ``no sign of life`` (cut off, or its machine is)."""
        if self.age_s > SILENT_S:
            return SILENT
        return STALLED if self.idle_s > STALLED_S else RUNNING


class SignOfLife:
    """Writes ``active/<run>.json`` now and every minute until it is stopped, which deletes it.

    A sign that cannot be written is left out: the run itself will say what is wrong with the store.
    """

    def __init__(self, store: Store, run: str, command: str):
        self._store, self._run, self._command = store, run, command
        self._results, self._latest = 0, time.monotonic()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="sign-of-life", daemon=True)
        self._write()
        self._thread.start()

    def result(self) -> None:
        """Count a result."""
        self._results, self._latest = self._results + 1, time.monotonic()

    def stop(self) -> None:
        """End the signs."""
        self._end.set()
        self._thread.join()
        with contextlib.suppress(StoreError, OSError):
            self._store.delete(name_of(self._run))

    def stuck(self) -> tuple[Problem, ...]:
        """The problem of other runs on the store that were cut off or bring no results; no clock but the store's.

        One that was cut off gets a record, so that it is reported once; one that is stuck is reported by every run.
        """
        try:
            self._write()
            present = {entry.key: entry.modified for entry in self._store.list(FOLDER)}[name_of(self._run)]
            others = [one for one in active_runs(self._store, present) if one.run != self._run]
            found = [one for one in others if one.state != RUNNING]
            for one in found:
                if one.state == SILENT:
                    record_cut_off(self._store, one, self._run)
        except (StoreError, OSError, KeyError):  # the run has ended well; the next one looks again
            return ()
        return stuck_problem(found)

    def _repeat(self) -> None:
        while not self._end.wait(SIGN_EVERY_S):
            self._write()

    def _write(self) -> None:
        idle = time.monotonic() - self._latest
        about = {"command": self._command, "host": socket.gethostname(), "process": os.getpid()}
        with contextlib.suppress(StoreError, OSError):
            sealed.put(self._store, name_of(self._run), {**about, "results": self._results, "idle_s": round(idle, 3)})


def name_of(run: str) -> str:
    """The object that holds a run's sign of life."""
    return f"{FOLDER}/{run}.json"


def active_runs(store: Store, now: float) -> list[ActiveRun]:
    """Return the runs that gave a sign of life and did not end, by their ids.

    Parameters
    ----------
    now : float
        Seconds since 1970, by the clock that gives the store's objects their times.
    """
    found = []
    for entry in store.list(FOLDER):
        run = entry.key.removeprefix(f"{FOLDER}/").removesuffix(".json")
        try:
            sign = sealed.read(store, entry.key)
        except FileNotFoundError:  # it ended just now
            continue
        except DamagedError:
            sign = {"command": "", "host": "", "results": 0, "idle_s": 0.0}
        age = max(0.0, now - entry.modified)
        found.append(ActiveRun(run, sign["command"], sign["host"], sign["results"], age, sign["idle_s"]))
    return sorted(found, key=lambda one: one.run)


def record_cut_off(store: Store, one: ActiveRun, found_by: str) -> None:
    """Write the record that a run without a sign of life could not write itself, and take its sign away.

    Should it be alive after all, cut off from the store for a time, its own record replaces this one.
    """
    record = {"run": one.run, "command": one.command, "exit_code": FAILED, "cut_off": True, "host": one.host}
    write_record(store, one.run, record | {"results_reported": one.results, "found_by": found_by})
    store.delete(name_of(one.run))


def stuck_problem(runs: Iterable[ActiveRun]) -> tuple[Problem, ...]:
    """The problem of runs that do not come to their end; none without any."""
    about = [f"{one.run} on {one.host or 'an unknown host'}: {one.state}" for one in runs]
    if not about:
        return ()
    text = f"stuck or cut off: {some(about)}; look at the logs there; the same command again resumes such a run"
    return (Problem(STUCK_RUN, text, {"stuck_runs": len(about)}),)
