"""Rows that an earlier version wrote: what it did not write is empty."""

from __future__ import annotations

import pyarrow as pa

from gc_ray.table_schema import Column, Table


def empty(column: Column) -> object:
    """What stands for a value that an earlier version did not write."""
    if column.null:
        return None
    if pa.types.is_string(column.type):
        return {"missing": "{}", "geometry": "{}"}.get(column.name, "")
    return [] if pa.types.is_list(column.type) else 0


def fits(column: Column, value: object) -> bool:
    """Whether a JSON value is of a column's type."""
    if value is None:
        return column.null
    if pa.types.is_string(column.type):
        return isinstance(value, str)
    if pa.types.is_list(column.type):
        return isinstance(value, list)
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def widen(table: Table, found: pa.Table) -> pa.Table:
    """``found``, which an earlier version may have written, with the table's fixed columns that it lacks, empty."""
    for place, column in enumerate(table.columns):
        if column.name not in found.column_names:
            values = pa.array([empty(column)] * found.num_rows, column.type)
            found = found.add_column(place, pa.field(column.name, column.type, column.null), values)
    return found
