"""What the demo found, in lines that a person reads: numbers, what they are worth, where to look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # these lines are loaded by every command
    from gc_ray.runtime.demo import Result

WORTH = (
    "The cohort is simulated and its effects were put in: no number here says anything about patients.",
    "With 40 patients an interval holds almost any AUC; a study wants hundreds.",
    "The backbone saw ten simulated patients for a few epochs: what it sees is hardly more than chance.",
)
NEXT = "your own scans: gc-ray check --help, then the commands above with your own study file"
PLACES = {
    "the cohort, as hospitals would send it": "cohort",
    "what is true of it, and what was damaged": "cohort/truth.json, defects.csv",
    "every outline's fate, with its reason": "store/ledger/shards/*.parquet",
    "1,925 features a row": "store/radiomics/guo2025/*/shard-*.parquet",
    "frozen models": "bundles",
    "risks of the new scans": "scored/scores/bundles/*/shard-*.parquet",
}


def demo_lines(results: tuple[Result, ...], out: str) -> Iterator[tuple[str, str | None]]:
    """Each line with its style; out: the demo's folder."""
    for result in results:
        yield f"\n{result.study}, model {result.model}", "bold"
        for row in result.areas:
            how = "out of fold" if row["kind"] == "oof" else "never used before"
            size = f"{row['events']} events among {row['n']}, {how}"
            yield f"  {'AUC, ' + row['cohort']:<16} {_estimate(row):<22} {size}", None
        if not result.areas:
            yield "  it could not be fitted: the step of the signatures says why", "yellow"
        fates = ", ".join(f"{n} {status}" for status, n in sorted(result.new_scans.items(), reverse=True))
        yield f"  {'new scans':<16} {fates or 'none'}", None
        yield f"  {'report':<16} {result.report}", None
    places = [f"{what:<44}{out}/{where}" for what, where in PLACES.items()]
    for line in ("", *WORTH, "", *places, "", f"what failed and why: gc-ray show {out}/store", NEXT):
        yield line, None


def _estimate(row: dict) -> str:
    if row["estimate"] is None:
        return "not estimable"
    if row["lower"] is None:
        return f"{row['estimate']:.2f}, no interval"
    return f"{row['estimate']:.2f} ({row['lower']:.2f} to {row['upper']:.2f})"
