"""Tables that users bring are bounded before a parser takes memory for what they claim."""

import gzip
import io
import zipfile

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gc_ray.cohort.clinical import parse_clinical
from gc_ray.cohort.features_table import parse_features
from gc_ray.cohort.manifest import parse_manifest
from gc_ray.cohort.scores_table import parse_scores
from gc_ray.cohort.table_files import limits, workbook, workbook_size
from gc_ray.cohort.table_files.limits import MAX_CELLS, MAX_COLUMNS, MAX_ROWS
from gc_ray.cohort.table_files.read import read_table
from gc_ray.errors import TableError


def parquet(table: pa.Table) -> bytes:
    """The table as a file."""
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def saved(book: openpyxl.Workbook) -> bytes:
    """The workbook as a file."""
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def manifest(data: bytes, name: str):
    """As a scans table beside its scans."""
    return parse_manifest(data, name, "/cohort")


def scores(data: bytes, name: str):
    """As a table of scores."""
    return parse_scores(data, name, ())


ALL = pytest.mark.parametrize("parse", [manifest, parse_clinical, parse_features, scores])


@ALL
def test_too_many_columns_are_refused(parse):
    """In the first line of a CSV, and in the footer of a Parquet file."""
    names = [f"c{i}" for i in range(MAX_COLUMNS + 1)]
    with pytest.raises(TableError, match=r"^a\.csv: 10001 columns, wanted at most 10000; is it the right table"):
        parse(",".join(names).encode() + b"\n", "a.csv")
    with pytest.raises(TableError, match=r"^a\.parquet: 10001 columns, wanted at most 10000"):
        parse(parquet(pa.table({name: pa.array([1]) for name in names})), "a.parquet")


@ALL
def test_too_many_rows_of_a_small_file_are_refused(parse):
    """A column of one repeated value takes kilobytes for millions of rows."""
    data = parquet(pa.table({"patient_id": pa.nulls(MAX_ROWS + 1, pa.int8())}))
    assert len(data) < 100_000
    with pytest.raises(TableError, match=r"^a\.parquet: 2000001 rows, wanted at most 2000000"):
        parse(data, "a.parquet")


def test_a_parquet_file_of_too_many_cells_is_refused():
    """Neither rows nor columns alone are too many."""
    rows = MAX_CELLS // 100 + 1
    data = parquet(pa.table({f"c{i}": pa.nulls(rows, pa.int8()) for i in range(100)}))
    with pytest.raises(TableError, match=r"^a\.parquet: 50000100 cells, wanted at most 50000000"):
        parse_clinical(data, "a.parquet")


@pytest.fixture
def two_mib(monkeypatch):
    """The limit on unpacked text as 2 MiB, so that a test unpacks little."""
    monkeypatch.setattr(limits, "MAX_TEXT", 2 << 20)


def test_words_repeated_in_parquet_are_counted_before_they_are_written_out(two_mib):
    """One word of 100 kB, repeated a thousand times, would take 100 MB out of a file of kilobytes."""
    word = pa.DictionaryArray.from_arrays(np.zeros(1000, np.int32), ["x" * 100_000])
    data = parquet(pa.table({"patient_id": pa.array(range(1000)), "site": word}))
    assert len(data) < 20_000
    pool, own = pa.proxy_memory_pool(pa.default_memory_pool()), pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        with pytest.raises(TableError, match=r"^a\.parquet: the file unpacks to more than 2 MiB of text"):
            parse_clinical(data, "a.parquet")
    finally:
        pa.set_memory_pool(own)
    assert pool.max_memory() < 10 << 20


@ALL
def test_gzip_that_unpacks_to_too_much_is_refused(parse, two_mib):
    """A few kilobytes of gzip hold more than the limit; no more than that is unpacked."""
    data = gzip.compress(b"1,2,3,4\n" * (1 << 18) + b"\n", 9)
    assert len(data) < 20_000
    with pytest.raises(TableError, match=r"^a\.csv\.gz: the file unpacks to more than 2 MiB of text"):
        parse(data, "a.csv.gz")


def test_a_workbook_that_unpacks_to_too_much_is_refused(two_mib):
    """A sheet of zeros compresses a thousandfold; its size is known before it is unpacked."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", bytes(3 << 20))
    assert len(out.getvalue()) < 10_000
    with pytest.raises(TableError, match=r"^a\.xlsx: the file unpacks to more than 2 MiB of text"):
        parse_clinical(out.getvalue(), "a.xlsx")


def test_a_word_that_a_workbook_repeats_is_counted_as_often_as_it_is_shown(two_mib):
    """Excel keeps a word once, however many cells show it."""
    book = openpyxl.Workbook()
    for _ in range(10):
        book.active.append(["x" * 32_000] * 10)
    with pytest.raises(TableError, match=r"^a\.xlsx: the file unpacks to more than 2 MiB of text"):
        parse_clinical(saved(book), "a.xlsx")


def test_a_sheet_with_more_rows_than_excel_has_is_refused(monkeypatch):
    """A row far below costs a step for each that is missing above it."""
    monkeypatch.setattr(workbook, "LAST_ROW", 1000)
    book = openpyxl.Workbook()
    book.active["A1"], book.active["A1001"] = "patient_id", "P1"
    with pytest.raises(TableError, match="more rows than a sheet can have"):
        parse_clinical(saved(book), "a.xlsx")


@ALL
@pytest.mark.parametrize("data", [b"patient_id,site\n\xff\xfe,\x80\n", b'patient_id,site\n"P1,a\n', b"\0" * 1000])
def test_bytes_that_are_no_table_are_refused_in_one_line(parse, data):
    """Another encoding, a quote that never ends, zeros."""
    with pytest.raises(TableError) as refusal:
        parse(data, "a.csv")
    assert str(refusal.value).isprintable()


def workbook_of(part: str, content: bytes) -> bytes:
    """A workbook in which one part has this content."""
    book, out = openpyxl.Workbook(), io.BytesIO()
    book.active.append(["scan_id", "site"])
    book.active.append(["a", "b"])
    book.save(out)
    changed = io.BytesIO()
    with zipfile.ZipFile(out) as old, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in {*old.namelist(), part}:
            new.writestr(name, content if name == part else old.read(name))
    return changed.getvalue()


@pytest.mark.parametrize("part", ["worksheets/sheet1.xml", "sharedStrings.xml", "styles.xml", "workbook.xml"])
@pytest.mark.parametrize(
    "content",
    [b"<a>" * 1000, b"<a>" + b"<b/>" * 10_000 + b"</a>", b"<worksheet><a><row>" + b"<c/>" * 10_000],
    ids=["deep", "many", "in one row"],
)
def test_a_workbook_of_too_many_elements_is_refused(monkeypatch, part, content):
    """60 kB of opening tags would take 5 GB as a tree; no part is parsed before it is counted."""
    monkeypatch.setattr(workbook_size, "MAX_ELEMENTS", 5000)
    with pytest.raises(TableError, match=r"^a\.xlsx: the workbook holds too many XML elements to be read; is it"):
        read_table(workbook_of(f"xl/{part}", content), "a.xlsx", "scans")


def test_rows_of_a_sheet_are_not_counted_together(monkeypatch):
    """A long table is no tree."""
    monkeypatch.setattr(workbook_size, "MAX_ELEMENTS", 400)
    rows = b"".join(b'<row r="%d"><c r="A%d"><v>%d</v></c></row>' % (i, i, i) for i in range(1, 1000))
    content = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>' + rows
    data = workbook_of("xl/worksheets/sheet1.xml", content + b"</sheetData></worksheet>")
    table = read_table(data, "a.xlsx", "scans")
    assert len(table.cells) == 998


@ALL
def test_a_file_of_empty_lines_is_refused_before_it_is_read(parse, monkeypatch):
    """A gzip file of 500 kB holds 500 million, which take minutes."""
    monkeypatch.setattr(limits, "MAX_LINES", 1000)
    with pytest.raises(TableError, match=r"^a\.csv: 1002 lines, wanted at most 1000; take the empty ones away"):
        parse(gzip.compress(b"scan_id,site\na,b\n" + b"\n" * 1000), "a.csv")


@ALL
@pytest.mark.parametrize("row", ["," * 2000, '"a\n",' * 500], ids=["one line", "many lines"])
def test_a_row_without_an_end_is_refused_before_its_cells_are_taken_apart(parse, row, monkeypatch):
    """Each cell of one character takes sixty bytes."""
    monkeypatch.setattr(limits, "MAX_ROW_TEXT", 1000)
    with pytest.raises(TableError, match=r"^a\.csv: a row has more than 1000 characters; is it the right table"):
        parse(b"scan_id,site\n" + row.encode(), "a.csv")
