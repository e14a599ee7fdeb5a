"""What a run says of the ledger when it has ended."""

import pyarrow as pa

from gc_ray.runtime.summary import cpu_notes


def rows(*found: tuple[str, str]) -> pa.Table:
    """Ledger rows by status and instruction set."""
    names = ("status", "cpu")
    return pa.table({name: pa.array([one[i] for one in found], pa.string()) for i, name in enumerate(names)})


def test_values_of_several_instruction_sets_are_noted():
    """With counts; only of usable results, and not of those that an older version computed."""
    (note,) = cpu_notes(rows(("ok", "v3"), ("repaired", "v3"), ("ok", "v4"), ("failed", "v2")))
    assert "(v3: 2, v4: 1)" in note
    assert cpu_notes(rows(("ok", "v3"), ("ok", ""), ("refused", "v4"))) == ()
    assert cpu_notes(rows()) == ()
