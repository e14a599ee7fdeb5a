"""How the ledger stands for what a run was asked for."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from gc_ray.exit_codes import OVER_BUDGET, Problem
from gc_ray.ledger import USABLE

LOST = ("refused", "failed")


@dataclass(frozen=True)
class Summary:
    """How the ledger stands after a run.

    counts: by (site, status). computed: results computed in this run. lost: (reason, ids of the scans it cost), most
    frequent first. over_budget: whether refused and failed results exceed the failure budget. notes: of the reader
    of the manifests.
    """

    run: str
    counts: dict[tuple[str, str], int]
    computed: int
    lost: tuple[tuple[str, tuple[str, ...]], ...]
    over_budget: bool
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What an operator must know of the run."""
        if not self.over_budget:
            return ()
        lost = {s: sum(n for (_, status), n in self.counts.items() if status == s) for s in LOST}
        return (over_budget(lost, sum(self.counts.values())),)


def over_budget(lost: dict[str, int], of: int) -> Problem:
    """The problem of results that were refused or failed, out of so many."""
    counts = ", ".join(f"{number} {status}" for status, number in lost.items())
    return Problem(
        OVER_BUDGET,
        f"over the failure budget: {counts} of {of} results; gc-ray show gives the reasons",
        {**lost, "results": of},
    )


def cpu_notes(rows: pa.Table) -> tuple[str, ...]:
    """A note where processors of several instruction sets computed the values of some ledger rows.

    Parameters
    ----------
    rows : pyarrow.Table
        With the columns ``status`` and ``cpu``.

    Returns
    -------
    tuple of str
    """
    known = pc.and_(pc.is_in(rows["status"], pa.array(USABLE)), pc.not_equal(rows["cpu"], ""))
    found = Counter(rows["cpu"].filter(known).to_pylist())
    if len(found) < 2:
        return ()
    counts = ", ".join(f"{cpu}: {n}" for cpu, n in sorted(found.items()))
    return (
        f"results were computed on processors of several instruction sets ({counts}), the last bits of values may "
        "differ; for one set, extract into another store",
    )


def summarise(rows: pa.Table, run: str, computed: int, failure_budget: float, seconds: float) -> Summary:
    """The summary of a run over the ledger rows of what it was asked for."""
    grouped = rows.group_by(["site", "status"]).aggregate([([], "count_all")]).to_pylist()
    counts = Counter({(row["site"], row["status"]): row["count_all"] for row in grouped})
    lost = defaultdict(set)
    for row in rows.select(["scan_id", "reason"]).filter(pc.is_in(rows["status"], pa.array(LOST))).to_pylist():
        lost[row["reason"]].add(row["scan_id"])
    share = sum(n for (_, status), n in counts.items() if status in LOST) / max(counts.total(), 1)
    by_frequency = sorted(lost.items(), key=lambda item: (-len(item[1]), item[0]))
    reasons = tuple((reason, tuple(sorted(scans))) for reason, scans in by_frequency)
    return Summary(run, dict(counts), computed, reasons, share > failure_budget, seconds)
