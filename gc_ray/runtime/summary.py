"""How the ledger stands for what a run was asked for."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

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
