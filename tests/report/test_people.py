"""The account of outlines counts outlines, whatever was asked of each."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from gc_ray.report.inputs import from_store
from gc_ray.report.people import account_rows
from gc_ray.tables import SCAN_KEY


def test_an_outline_is_counted_once_whatever_was_asked_of_it(run, quick):
    """Feature sets and network inputs of one outline are one outline; one refusal makes it incomplete."""
    whole, part, lost = (("S1", "R1", 0, "t"), ("S2", "R1", 0, "t"), ("S2", "R2", 0, "t"))
    rows = [
        *((*whole, "ok"), (*whole, "repaired")),
        *((*part, "ok"), (*part, "failed")),
        *((*lost, "refused"), (*lost, "refused")),
    ]
    outlines = pd.DataFrame(rows, columns=[*SCAN_KEY, "status"])
    found = [
        row
        for row in account_rows(replace(from_store(run.store, quick, None), outlines=outlines))
        if row["unit"] == "outlines"
    ]
    assert [(row["n_left"], row["n_removed"]) for row in found] == [(3, 0), (1, 2)]
    assert found[1]["reason"] == "1 failed, 1 refused"
