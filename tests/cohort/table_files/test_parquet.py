"""Parquet of every column type as the text that a CSV would have."""

import datetime
import io
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gc_ray.cohort.table_files.read import InputTable, read_table
from gc_ray.errors import TableError

DAY = datetime.datetime(2017, 1, 31, 23, 30)


def parquet(table: pa.Table) -> bytes:
    """The table as a file."""
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def from_pandas(frame: pd.DataFrame, **options) -> bytes:
    """The frame as pandas writes it."""
    out = io.BytesIO()
    frame.to_parquet(out, **options)
    return out.getvalue()


def read(data: bytes, name: str = "t.parquet") -> InputTable:
    """The table as a clinical one."""
    return read_table(data, name, "clinical")


@pytest.mark.parametrize(
    ("values", "kind", "texts"),
    [
        (["007", None, " a "], pa.string(), ["007", "", "a"]),
        (["007", None, "a"], pa.large_string(), ["007", "", "a"]),
        (["007", None, "a"], pa.string_view(), ["007", "", "a"]),
        (["007", None, "a"], pa.dictionary(pa.int8(), pa.string()), ["007", "", "a"]),
        ([7, None, 8], pa.dictionary(pa.int8(), pa.int64()), ["7", "", "8"]),
        ([b"007", None, "ö".encode()], pa.binary(), ["007", "", "ö"]),
        ([b"007", None, b"008"], pa.binary(3), ["007", "", "008"]),
        ([100000, None, -3], pa.int64(), ["100000", "", "-3"]),
        ([2**64 - 1, None, 0], pa.uint64(), ["18446744073709551615", "", "0"]),
        ([100000.0, None, 0.1], pa.float64(), ["100000", "", "0.1"]),
        ([0.1, float("nan"), 2.0], pa.float32(), ["0.10000000149011612", "", "2"]),
        ([1.5, None, 2.0], pa.float16(), ["1.5", "", "2"]),
        ([True, None, False], pa.bool_(), ["1", "", "0"]),
        ([Decimal("1.50"), None, Decimal("100000.00")], pa.decimal128(12, 2), ["1.5", "", "100000"]),
        ([Decimal("100000"), None, Decimal("10")], pa.decimal128(38, 0), ["100000", "", "10"]),
        ([Decimal("0.05"), None, Decimal("-2.00")], pa.decimal256(50, 2), ["0.05", "", "-2"]),
        ([DAY.date(), None, datetime.date(1900, 1, 1)], pa.date32(), ["2017-01-31", "", "1900-01-01"]),
        ([DAY, None, DAY], pa.timestamp("us"), ["2017-01-31", "", "2017-01-31"]),
        ([DAY, None, DAY], pa.timestamp("ns"), ["2017-01-31", "", "2017-01-31"]),
        ([None, None, None], pa.null(), ["", "", ""]),
        ([datetime.time(8, 30), None, datetime.time(9)], pa.time64("us"), ["08:30:00", "", "09:00:00"]),
    ],
)
def test_a_column_of_any_type_is_the_text_of_a_csv(values, kind, texts):
    """Missing values are empty; whole numbers have no point, whatever type they were stored in."""
    table = pa.table({"patient_id": ["a", "b", "c"], "x": pa.array(values, kind)})
    assert read(parquet(table)).cells["x"].tolist() == texts


def test_a_timestamp_of_a_time_zone_is_its_own_days_date():
    """Half past eleven in the evening in Beijing is not yet the next day, nor the day in London."""
    zoned = (
        pa.array([DAY], pa.timestamp("us")).cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us", "Asia/Shanghai"))
    )
    assert read(parquet(pa.table({"patient_id": ["a"], "x": zoned}))).cells["x"].tolist() == ["2017-02-01"]


def test_ids_of_a_column_with_gaps_stay_whole_numbers():
    """pandas makes decimals of whole numbers beside a missing one."""
    frame = pd.DataFrame({"patient_id": [100000, 100001, None], "x": [1, 2, 3]})
    assert frame["patient_id"].dtype == "float64"
    assert read(from_pandas(frame)).cells["patient_id"].tolist() == ["100000", "100001", ""]


@pytest.mark.parametrize("name", [None, "patient_id"])
def test_the_index_of_a_frame_is_no_column_unless_it_has_a_name(name):
    """pandas stores one that is no range as __index_level_0__, and a named one by its name."""
    frame = pd.DataFrame({"x": [1, 2]}, index=pd.Index(["P1", "P2"], name=name))
    if name is None:
        frame["patient_id"] = ["P1", "P2"]
    table = read(from_pandas(frame))
    assert sorted(table.cells) == ["patient_id", "x"]
    assert table.cells["patient_id"].tolist() == ["P1", "P2"]
    assert any("__index_level_0__" in note for note in table.notes) == (name is None)


def test_categories_of_pandas_are_their_words():
    """Not their numbers."""
    frame = pd.DataFrame({"patient_id": ["a", "b"], "stage": pd.Categorical(["II", None], ["I", "II"])})
    assert read(from_pandas(frame)).cells["stage"].tolist() == ["II", ""]


def test_columns_of_lists_are_left_out_with_a_note():
    """A cell is one value; what is nested is not even decoded."""
    table = pa.table({"patient_id": ["a"], "x": [[1, 2]], "y": [{"k": 1}], "z": ["1"], "dotted.name": ["2"]})
    found = read(parquet(table))
    assert found.cells.to_dict("list") == {"patient_id": ["a"], "z": ["1"], "dotted.name": ["2"]}
    assert found.notes == ("t.parquet: column(s) x, y hold lists, not values, and are left out",)


def test_several_row_groups_are_one_table():
    """Rows keep their order and their numbers, the header counting as row 1."""
    out = io.BytesIO()
    pq.write_table(pa.table({"patient_id": [f"P{i}" for i in range(10)]}), out, row_group_size=3)
    cells = read(out.getvalue()).cells
    assert cells["patient_id"].tolist() == [f"P{i}" for i in range(10)]
    assert cells.index.tolist() == list(range(2, 12))


def test_text_that_is_not_utf8_is_refused_with_its_column():
    """Bytes of another encoding, which Parquet does not look at."""
    table = pa.table({"patient_id": ["a"], "site": pa.array([b"\xb1\xb1"])})
    with pytest.raises(
        TableError, match=r"^t\.parquet: column site holds text that is not UTF-8; write the table again"
    ):
        read(parquet(table))


def test_a_column_that_occurs_twice_is_refused():
    """Which of the two is meant is not guessed."""
    table = pa.table([["P1"], ["a"], ["b"]], names=["patient_id", "site", "site"])
    with pytest.raises(TableError, match=r"^t\.parquet: column\(s\) site occur twice"):
        read(parquet(table))


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "features"])
def test_parquet_is_read_under_whatever_name(name):
    """Its bytes decide."""
    assert read(parquet(pa.table({"patient_id": ["a"]})), name).cells.to_dict("list") == {"patient_id": ["a"]}


@pytest.mark.parametrize("damage", [slice(0, 40), slice(0, -10), slice(4, None)])
def test_a_damaged_file_is_refused(damage):
    """Cut at either end."""
    with pytest.raises(TableError, match=r"^t\.parquet: wanted a .*Parquet clinical table, it .*; (copy|give)"):
        read(parquet(pa.table({"patient_id": ["a"], "x": [1.5]}))[damage])
