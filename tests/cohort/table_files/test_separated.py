"""Text tables: the separator, quotes, ends of lines, blank rows, rows of another length, titles above the header."""

import io

import pandas as pd
import pytest

from gc_ray.cohort.table_files.read import read_table
from gc_ray.errors import TableError

ROWS = [
    ["patient_id", "site", "note", "age"],
    ["007", "A", "one, two; three\tfour|five", "61"],
    ["P2", "B", 'says "no"', "55"],
    ["P3", "B", "two\nlines", "48"],
]


def written(rows: list[list[str]], separator: str = ",", end: str = "\n", quoting: int = 0) -> bytes:
    """The rows as pandas writes them; where lines end with CR it leaves LF unquoted unless it is told."""
    quoting = 1 if end == "\r" else quoting
    frame = pd.DataFrame(rows[1:], columns=rows[0])
    return frame.to_csv(index=False, sep=separator, lineterminator=end, quoting=quoting).encode()


def read(data: bytes, name: str = "t.csv"):
    """The table as a clinical one."""
    return read_table(data, name, "clinical")


@pytest.mark.parametrize("quoting", [0, 1])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_every_separator_and_end_of_line_gives_the_same_cells(separator, end, quoting):
    """Separators and line breaks inside quotes are text; a note says when it is not the comma."""
    table = read(written(ROWS, separator, end, quoting))
    assert [list(table.cells), *table.cells.to_numpy().tolist()] == ROWS
    assert table.cells.index.tolist() == [2, 3, 4]
    assert (table.notes == ()) == (separator == ",")


def test_the_separator_is_the_one_that_sets_off_a_known_name():
    """Commas in names and in every row do not make a table of semicolons one of commas, nor the other way round."""
    assert list(read(b"patient_id;a,b;c,d\nP1;1,2;3,4\n").cells) == ["patient_id", "a,b", "c,d"]
    assert list(read(b"patient_id,a;b,c;d\nP1,1;2,3;4\n").cells) == ["patient_id", "a;b", "c;d"]
    assert list(read(b"a;b|c;patient_id\n1;2|3;P1\n").cells) == ["a", "b|c", "patient_id"]
    assert list(read(b"id;age;x\nP1;1,5;2,5\n").cells) == ["id", "age", "x"]


@pytest.mark.parametrize("first", [b"sep=;\r\n", b'"sep=;"\n', b"\xef\xbb\xbfsep=;\n", b"SEP=;\n"])
def test_excels_line_that_names_the_separator_is_followed_and_no_row(first):
    """A spreadsheet does not show it: the header stays row 1."""
    table = read(first + b"patient_id;a\nP1;3\n")
    assert table.cells.to_dict("index") == {2: {"patient_id": "P1", "a": "3"}}
    odd = read(b"sep=#\npatient_id#a\nP1#3\n")
    assert odd.cells.to_dict("index") == {2: {"patient_id": "P1", "a": "3"}}


def test_empty_rows_are_left_out_and_counted_and_rows_keep_their_numbers():
    """Blank lines, rows of separators and blanks, also above the header; blank lines at the end are no rows."""
    data = "\n ,,\npatient_id,a\n\nP1,1\n,\n\u3000, \nP2,2\n,,,,,\n\n\n"
    table = read(data.encode())
    assert table.cells.index.tolist() == [5, 8]
    assert table.notes == ("t.csv: 6 empty row(s) are left out (row 1, 2, 4, 6, 7, ..)",)
    assert read(b"patient_id,a\nP1,1\n\n\n").notes == ()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b"patient_id,a,b\nP1,1,2,\nP2,3,4,\n",
            "row 2 has 4 cells, the header has 3, .* remove the comma at the end",
        ),
        (b"patient_id;a\nP1;1;\n", "row 2 has 3 cells, the header has 2, .* remove the semicolon at the end"),
        (b"patient_id,a\nP1,1\nP2,1,5\n", "row 3 has 3 cells, .* write numbers with a decimal point"),
        (
            b'"patient_id","a"\n"1","P1",5\n',
            "row 2 has 3 cells, the header has 2, so cells would move to wrong columns",
        ),
        (b"patient_id,a\n\nP1,1\nP2,1,\n", "row 4 has 3 cells"),
    ],
)
def test_a_row_longer_than_the_header_is_refused_with_its_number(data, message):
    """Which cell is the one too many cannot be known: nothing is moved to another column."""
    with pytest.raises(TableError, match=rf"^t\.csv: {message}"):
        read(data)


def test_a_row_shorter_than_the_header_is_empty_where_it_ends_and_counted():
    """Excel leaves out separators behind the last cell of a row; columns without a name do not count."""
    table = read(b"patient_id,a,b\nP1,1\nP2,1,2\n")
    assert table.cells["b"].tolist() == ["", "2"]
    assert table.short == (2,)
    assert "1 row(s) have fewer cells than the header" in table.notes[0]
    assert read(b"patient_id,a,,\nP1,1\n").short == ()


def test_a_last_row_that_is_cut_short_is_refused():
    """A copy that broke off: its last number may be cut in the middle."""
    with pytest.raises(TableError, match=r"^t\.csv: row 3, the last, is cut short; copy or write the table again"):
        read(b"patient_id,a,b\nP1,1,2\nP2,0.1")
    assert read(b"patient_id,a,b\nP1,1,2\nP2,3,4").cells.shape == (2, 3)


@pytest.mark.parametrize(
    "data",
    [b'patient_id,a\n"P1,1\nP2,2\n', b'patient_id,a\n"P1"x,1\n', b'patient_id,a\nP1,"' + b"x" * 140_000 + b'"\n'],
)
def test_a_quotation_mark_that_does_not_close_its_cell_is_refused_with_the_row(data):
    """Else the rest of the table would be one cell."""
    with pytest.raises(TableError, match=r"^t\.csv: row [23] cannot be read .*quotation mark"):
        read(data)


def test_a_title_above_the_column_names_is_refused_with_their_row():
    """Rather than taken for the header."""
    with pytest.raises(
        TableError, match="the column names are in row 3, wanted them in row 1; delete the rows above"
    ):
        read(b"Table 1,,\n,,\npatient_id,a,b\nP1,1,2\n")


def test_a_header_that_is_repeated_is_left_out_with_a_note():
    """Tables that were joined end to end."""
    table = read(b"patient_id,a\nP1,1\npatient_id,a\nP2,2\n")
    assert table.cells["patient_id"].tolist() == ["P1", "P2"]
    assert table.notes == ("t.csv: 1 row(s) repeat the column names and are left out (row 3)",)


@pytest.mark.parametrize("data", [b"", b"\n\n", b",,\n,,\n", b"\xef\xbb\xbf", "\u3000\n".encode()])
def test_an_empty_table_is_refused(data):
    """In words, whatever emptiness it has."""
    with pytest.raises(TableError, match=r"^t\.csv: wanted column names in the first row, the table is empty"):
        read(data)


@pytest.mark.parametrize(
    "data", [b'"patient_id" "f"\n"P1" 0.5\n', b'"f" "patient_id"\n"1" 0.5 "P1"\n', b"patient_id f\nP1 0.5\n"]
)
def test_columns_separated_by_blanks_are_refused_with_rs_fix(data):
    """As R's write.table writes them when it is told nothing."""
    with pytest.raises(TableError, match=r"columns are separated by blanks, wanted commas; .* in R by write\.csv"):
        read(data)


def test_a_row_in_one_pair_of_quotation_marks_is_refused():
    """As Excel writes a column that holds whole lines."""
    with pytest.raises(
        TableError, match="found patient_id,a; each row is in one pair of quotation marks; remove them"
    ):
        read(b'"patient_id,a"\n"P1,1"\n').require(("patient_id",))


def test_marks_before_and_after_the_text_are_no_text():
    """Two byte order marks before a quoted name, and the sign with which DOS ends a file."""
    table = read(b'\xef\xbb\xbf\xef\xbb\xbf"patient_id",a\r\nP1,1\r\n\x1a')
    assert table.cells.to_dict("list") == {"patient_id": ["P1"], "a": ["1"]}


def test_blanks_after_a_separator_may_stand_before_a_quotation_mark():
    """As people write a table by hand."""
    assert read(b'patient_id, note\nP1, "a, b"\n').cells["note"].tolist() == ["a, b"]


def test_a_zero_byte_inside_text_is_refused():
    """It ends a word for half of all programs."""
    with pytest.raises(TableError, match=r"^t\.csv: line 2 holds a zero byte"):
        read(b"patient_id,a\nP1,1\x002\nP2,3\nP3,4\nP4,5\nP5,6\n")


def test_ten_thousand_rows_are_read_as_pandas_reads_them():
    """Chunks join without loss: compared with pandas on the same bytes."""
    frame = pd.DataFrame({"patient_id": [f"P{i}" for i in range(10_000)]})
    frame = frame.assign(**{f"c{k}": [f"{i}/{k}" for i in range(10_000)] for k in range(30)})
    data = frame.to_csv(index=False).encode()
    expected = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False)
    assert (read(data).cells.to_numpy() == expected.to_numpy()).all()


@pytest.mark.parametrize(
    ("separator", "blanks"), [*((s, b) for s in ",;|" for b in (" ", "  ", "\t", "\N{NO-BREAK SPACE}")), ("\t", " ")]
)
def test_blanks_beside_a_quotation_mark_belong_to_no_cell(separator, blanks):
    """As pandas has it; marks, separators and line breaks inside a cell in quotation marks stay."""
    inside = f'a ""b"" {separator} c\nd'
    rows = [["patient_id", "x"], ["P1", inside], ["P2", ""]]
    text = "".join(separator.join(f'{blanks}"{cell}"{blanks}' for cell in row) + "\r\n" for row in rows)
    found = read_table(text.encode(), "t.csv", "clinical").cells
    assert found["patient_id"].tolist() == ["P1", "P2"]
    assert found["x"].tolist() == [inside.replace('""', '"'), ""]
    if blanks == " ":
        expected = pd.read_csv(
            io.StringIO(text), sep=separator, skipinitialspace=True, keep_default_na=False, dtype=str
        )
        assert found["x"].tolist() == expected.iloc[:, 1].str.strip().tolist()


@pytest.mark.parametrize("cell", ['"P1"x', '"P1" x', '"P1""', '"P1 ", "x'])
def test_text_after_a_closing_quotation_mark_is_refused(cell):
    """Blanks alone may follow it."""
    with pytest.raises(TableError, match=r"row 2 (cannot be read|has)"):
        read_table(f"patient_id,x\n{cell},1\n".encode(), "t.csv", "clinical")
