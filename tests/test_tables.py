"""Tables: what does not fit the schema is refused at the door, on write and on read."""

import pyarrow as pa
import pytest

from gc_ray import tables
from gc_ray.errors import TableError

ROW = {
    "scan_id": "s",
    "reader": "R1",
    "repeat": 0,
    "roi": "",
    "feature_set": "f",
    "patient_id": "p",
    "site": "a",
    "generation": 1,
    "x": 1.5,
}


def build(*rows: dict) -> pa.Table:
    """A radiomics table with one feature, x."""
    return tables.build(tables.RADIOMICS, list(rows), ("x",))


def test_a_sound_table_keeps_types_and_column_order():
    """Rows come back as they went in, features as float64 after the fixed columns."""
    table = build(ROW)
    assert table.to_pylist() == [ROW]
    assert table.schema.field("x").type == pa.float64()
    assert tables.check(tables.RADIOMICS, table) is table


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({k: v for k, v in ROW.items() if k != "x"}, r"lacks \['x'\]"),
        (ROW | {"y": 1.0}, r"unknown \['y'\]"),
        (ROW | {"repeat": "first"}, "does not fit"),
        (ROW | {"patient_id": None}, "patient_id has 1 empty values"),
    ],
)
def test_a_row_that_does_not_fit_is_refused(row, message):
    """A missing, unknown, wrongly typed or empty value names the table and the column."""
    with pytest.raises(TableError, match=f"table radiomics: .*{message}"):
        build(row)


def test_a_key_stands_once_per_generation():
    """Two rows of one key and generation are an error; two generations are a history."""
    with pytest.raises(TableError, match=r"1 keys stand more than once, the first is .*'scan_id': 's'"):
        build(ROW, ROW)
    assert build(ROW, ROW | {"generation": 2}).num_rows == 2


def test_a_table_read_from_elsewhere_is_checked():
    """A column of another type, a missing one, or an unknown one where none may be added is named."""
    table = build(ROW)
    with pytest.raises(TableError, match="column repeat is int64, wanted int32"):
        tables.check(tables.RADIOMICS, table.set_column(2, "repeat", pa.array([0])))
    with pytest.raises(TableError, match=r"column site \(string\) is missing"):
        tables.check(tables.RADIOMICS, table.drop_columns("site"))
    with pytest.raises(TableError, match="table scans: unknown columns"):
        tables.check(tables.SCANS, table)


def test_equal_content_compares_equal_after_sorting():
    """Order and chunks are no content."""
    a, b = build(ROW), build(ROW | {"scan_id": "t"})
    one, two = (tables.sort_by_key(tables.RADIOMICS, pa.concat_tables(t)) for t in ([a, b], [b, a]))
    assert one.equals(two)


def test_every_column_says_what_it_means():
    """The schemas are the documentation: no column without words, no key that is no column."""
    for table in tables.TABLES.values():
        names = [c.name for c in table.columns]
        assert len(names) == len(set(names))
        assert set(table.key) <= set(names)
        assert all(len(c.meaning) > 5 for c in table.columns)
