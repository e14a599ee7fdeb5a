"""Tables that users bring are bounded before a parser takes memory for what they claim."""

import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gc_ray.cohort.clinical import parse_clinical
from gc_ray.cohort.manifest import parse_manifest
from gc_ray.cohort.table_bytes import MAX_COLUMNS, MAX_ROWS
from gc_ray.errors import TableError


def parquet(table: pa.Table) -> bytes:
    """The table as a file."""
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def manifest(data: bytes, name: str):
    """As a scans table beside its scans."""
    return parse_manifest(data, name, "/cohort")


BOTH = pytest.mark.parametrize("parse", [manifest, parse_clinical])


@BOTH
def test_too_many_columns_are_refused(parse):
    """In the first line of a CSV, and in the footer of a Parquet file."""
    names = [f"c{i}" for i in range(MAX_COLUMNS + 1)]
    with pytest.raises(TableError, match=r"^a\.csv: 10001 columns, wanted at most 10000; is it the right table"):
        parse(",".join(names).encode() + b"\n", "a.csv")
    with pytest.raises(TableError, match=r"^a\.parquet: 10001 columns, wanted at most 10000"):
        parse(parquet(pa.table({name: pa.array([1]) for name in names})), "a.parquet")


@BOTH
def test_too_many_rows_of_a_small_file_are_refused(parse):
    """A column of one repeated value takes kilobytes for millions of rows."""
    data = parquet(pa.table({"patient_id": pa.nulls(MAX_ROWS + 1, pa.int8())}))
    assert len(data) < 100_000
    with pytest.raises(TableError, match=r"^a\.parquet: 2000001 rows, wanted at most 2000000"):
        parse(data, "a.parquet")


@BOTH
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_doubled_column_is_refused(parse, ending):
    """Which of the two is meant is not guessed."""
    table = pa.table([["P1"], ["a"], ["b"]], names=["patient_id", "site", "site"])
    data = parquet(table) if ending == "parquet" else b"patient_id,site, site \nP1,a,b\n"
    with pytest.raises(TableError, match=rf"^a\.{ending}: .*site.* (stand twice|cannot be read)"):
        parse(data, f"a.{ending}")


@BOTH
def test_a_row_longer_than_the_first_is_refused(parse):
    """No cell is taken for the name of its row."""
    with pytest.raises(TableError, match=r"^a\.csv: wanted a CSV or Parquet .* table, it cannot be read"):
        parse(b"patient_id,site\nP1,a,b\n", "a.csv")


@BOTH
@pytest.mark.parametrize("data", [b"patient_id,site\n\xff\xfe,\x80\n", b'patient_id,site\n"P1,a\n', b"\0" * 1000])
def test_bytes_that_are_no_table_are_refused_in_one_line(parse, data):
    """Another encoding, a quote that never ends, zeros."""
    with pytest.raises(TableError) as refusal:
        parse(data, "a.csv")
    assert str(refusal.value).isprintable()


def test_text_ids_survive_a_file_with_a_mark_at_its_beginning():
    """Spreadsheets write one before UTF-8."""
    frame = parse_clinical(b"\xef\xbb\xbfpatient_id,age\n007,3\n", "a.csv")
    assert isinstance(frame, pd.DataFrame)
    assert "007" in frame.to_csv()
