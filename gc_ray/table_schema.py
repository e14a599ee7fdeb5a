"""What a table of the project is: its columns with type and meaning, and its key."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

SCAN_KEY = ("scan_id", "reader", "repeat", "roi")


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, what it means (with the unit), and whether a null is allowed."""

    name: str
    type: pa.DataType
    meaning: str
    null: bool = False


@dataclass(frozen=True)
class Table:
    """A table's contract. ``more`` is the type of further columns whose names data decide (features), or None."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    more: pa.DataType | None = None

    def schema(self, more: tuple[str, ...] = ()) -> pa.Schema:
        """The Arrow schema, with the ``more`` columns after the fixed ones."""
        fields = [pa.field(c.name, c.type, c.null) for c in self.columns]
        return pa.schema(fields + [pa.field(name, self.more) for name in more])


def text_column(name: str, meaning: str, null: bool = False) -> Column:
    """A column of text."""
    return Column(name, pa.string(), meaning, null)


KEY_COLUMNS = (
    text_column("scan_id", "the scan's name in the manifest"),
    text_column("reader", "who outlined the region"),
    Column("repeat", pa.int32(), "0, or 1, 2, .. for the same reader again"),
    text_column("roi", "label number or name as asked for; empty when the mask holds just one"),
)
PATIENT_COLUMNS = (
    text_column("patient_id", "the patient's name in the manifest"),
    text_column("site", "where the scan was made"),
)
