"""The reference of the store's tables, from their declarations."""

from __future__ import annotations

import pyarrow as pa

from gc_ray import evaluation_tables, tables
from gc_ray.table_schema import Table
from generators.markdown import code, page, table

INTRO = """
Every table that a command writes, with its columns as they are checked on every write and every read. Bold columns
are the key: no two rows share it, apart from the `generation` where a table has one (the last one counts). A column
may be empty only where *may be empty* says so. Lengths are in mm, times in months or s, attenuation in HU; scores go
from 0 to 1 and higher is higher risk.

Where each lies and how it is committed is told in [the store](../store.md). To read one: DuckDB or pandas on its
Parquet files, or the functions named there.
"""

GROUPS = (
    ("Scans and features", ("ledger", "radiomics", "volumes", "deep", "views")),
    ("The study's patients", ("clinical", "splits", "flow")),
    ("Networks and signatures", ("learning", "scores", "resampling", "coefficients", "selection")),
    ("The report", tuple(evaluation_tables.TABLES)),
    ("The service", ("rescores", "drift")),
)
INPUTS = ("scans",)  # described on the manifest's own page

FURTHER = {
    "radiomics": "Further columns: the features of the set by their PyRadiomics names, float64, NaN with a reason in "
    "the ledger's `missing` where one cannot be computed.",
    "deep": "Further columns: `deep_000`, `deep_001`, .. float64, one for each number of the model's bottleneck.",
    "clinical": "Further columns: those that the study file declares, see [the clinical table](clinical.md). 0 and 1 "
    "as int8, numbers as float64, levels as text, dates as dates; each may be empty.",
}


def stored_tables() -> str:
    """The page of all tables but the input ones; LookupError when one stands in no group."""
    every = tables.TABLES | evaluation_tables.TABLES
    lost = set(every) - {name for _, names in GROUPS for name in names} - set(INPUTS)
    if lost:
        raise LookupError(f"tables {sorted(lost)} stand in no group of docs/generators/stored.py")
    parts = [INTRO]
    for title, names in GROUPS:
        parts.append(f"## {title}")
        parts += [f"### {name}\n\n{columns(every[name])}\n\n{FURTHER.get(name, '')}" for name in names]
    return page("Tables of the store", *parts)


def columns(of: Table) -> str:
    """One table's columns: name, type, meaning, whether it may be empty."""
    rows = (
        (
            f"**{code(c.name)}**" if c.name in of.key else code(c.name),
            type_name(c.type),
            c.meaning,
            "may be empty" if c.null else "",
        )
        for c in of.columns
    )
    return table(("column", "type", "meaning", ""), rows)


def type_name(kind: pa.DataType) -> str:
    """An Arrow type as a reader of Parquet knows it."""
    if pa.types.is_list(kind):
        return f"list of {type_name(kind.value_type)}"
    return {"string": "text", "double": "float64", "float": "float32", "large_binary": "bytes"}.get(
        str(kind), str(kind)
    )
