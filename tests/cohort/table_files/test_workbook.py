"""Excel workbooks: values as a sheet shows them, and what a sheet hides is said."""

import datetime
import io
import re
import zipfile

import openpyxl
import pandas as pd
import pytest
from openpyxl.utils.dataframe import dataframe_to_rows

from gc_ray.cohort.features_table import parse_features
from gc_ray.cohort.table_files.read import InputTable, read_table
from gc_ray.errors import TableError

HEAD = ["patient_id", "site", "age"]
ROWS = [HEAD, ["P1", "A", 61.5], ["P2", "B", 55]]


def book_of(rows: list[list], title: str = "Data") -> openpyxl.Workbook:
    """A workbook of one sheet."""
    book = openpyxl.Workbook()
    book.active.title = title
    for row in rows:
        book.active.append(row)
    return book


def saved(book: openpyxl.Workbook) -> bytes:
    """The workbook as a file."""
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def changed(data: bytes, member: str, old: str, new: str) -> bytes:
    """The workbook with text of one of its parts replaced."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            text = source.read(name)
            if name == member:
                assert re.search(old.encode(), text)
                text = re.sub(old.encode(), new.encode(), text)
            target.writestr(name, text)
    return out.getvalue()


SHEET = "xl/worksheets/sheet1.xml"


def read(data: bytes, name: str = "t.xlsx") -> InputTable:
    """The table as a clinical one."""
    return read_table(data, name, "clinical")


@pytest.mark.parametrize("name", ["t.xlsx", "t.xlsm", "t.csv", "clinical", "t.xls"])
def test_a_workbook_is_read_under_whatever_name(name):
    """Its bytes decide; a note names the sheet."""
    table = read(saved(book_of(ROWS)), name)
    assert table.cells.to_dict("list") == {"patient_id": ["P1", "P2"], "site": ["A", "B"], "age": ["61.5", "55"]}
    assert table.cells.index.tolist() == [2, 3]
    assert table.notes == (f"{name}: read from the Excel sheet Data",)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"),
        (7.0, "7"),
        (0.1, "0.1"),
        (1e-5, "1e-05"),
        (True, "1"),
        (False, "0"),
        (None, ""),
        ("007", "007"),
        ("\u3000I\xa0", "I"),
        ("3,14", "3,14"),
        (datetime.date(2017, 1, 31), "2017-01-31"),
        (datetime.datetime(2017, 1, 31, 8, 30), "2017-01-31"),
        ("#N/A", "#N/A"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_a_value_is_the_text_of_a_csv(value, text):
    """Whole numbers without a point, dates as the clinical table wants them, yes as 1."""
    assert read(saved(book_of([HEAD, ["P1", "A", value]]))).cells["age"].tolist() == [text]


def test_numbers_of_a_workbook_are_those_that_pandas_reads():
    """To the last bit, compared with pandas' own reading of the same file; Excel writes 17 digits."""
    frame = pd.DataFrame({"patient_id": ["a", "b"], "x": [0.3, 1e300], "y": [-1.5e-300, 12345678901.25]})
    data = saved(book_of([list(row) for row in dataframe_to_rows(frame, index=False)]))
    data = changed(data, SHEET, "<v>0.3</v>", "<v>0.30000000000000004</v>")
    cells = read(data).cells
    expected = pd.read_excel(io.BytesIO(data))
    assert [float(x) for x in cells["x"]] == expected["x"].tolist() == [0.1 + 0.2, 1e300]
    assert [float(y) for y in cells["y"]] == expected["y"].tolist()


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("0000", "0007"), ("0000;-0000", "0007"), ("[Red]0000", "0007"), ("0000_ ", "0007"), ('"P"000', "P007"),
        ('000"A"', "007A"), (r"\P000", "P007"), ("000-000", "000-007"), ("General", "7"), ("@", "7"), ("0.00", "7"),
        ("#,##0", "7"), ("0.0E+00", "7"),
    ],
)  # fmt: skip
def test_a_number_that_is_an_id_is_read_as_its_format_shows_it(kind, shown):
    """With a note where that is not the number itself."""
    book = book_of([HEAD, [7, "A", 61]])
    book.active["A2"].number_format = kind
    table = read(saved(book))
    assert table.cells["patient_id"].tolist() == [shown]
    note = f"t.xlsx: column patient_id: numbers are read as the sheet shows them ({shown})"
    assert (note in table.notes) == (shown != "7")


@pytest.mark.parametrize("value", [1234567890123450, 1234567890123450.0, 110101199001010000])
def test_a_number_longer_than_a_workbook_keeps_is_no_id(value):
    """Excel keeps 15 digits: the last ones of a 16-digit or 18-digit number are lost."""
    with pytest.raises(TableError, match=r"row 2, .*[eE]\+1\d' is a long number that a spreadsheet"):
        read(saved(book_of([HEAD, [value, "A", 61]])))
    exact = read(saved(book_of([HEAD, [1234567890123456, "A", 61], [1234567890123450, "A", 61]])))
    assert exact.cells["patient_id"].tolist() == ["1234567890123456", "1234567890123450"]


def test_control_characters_that_a_workbook_writes_in_words_are_those_characters():
    """A carriage return at the end of a cell is _x000D_ in the file."""
    assert read(saved(book_of([HEAD, ["P1_x000D_", "A", 61]]))).cells["patient_id"].tolist() == ["P1"]


def test_ids_that_a_sheet_shows_with_zeros_are_read_as_shown():
    """The format 0000 makes 0007 of 7; other formats leave a number as it is."""
    book = book_of([HEAD, [7, "A", 61], [12, "A", 62], ["P3", "A", 63]])
    book.active["A2"].number_format = "0000"
    book.active["A3"].number_format = "#,##0"
    book.active["C2"].number_format = "0000"
    cells = read(saved(book)).cells
    assert cells["patient_id"].tolist() == ["0007", "12", "P3"]
    assert cells["age"].tolist() == ["61", "62", "63"]


def test_a_label_that_excel_made_a_date_is_refused():
    """1-2 becomes the second of January: which label it was is lost."""
    for column in ("A2", "B2"):
        book = book_of(ROWS)
        book.active[column] = datetime.date(2024, 1, 2)
        with pytest.raises(TableError, match=rf"row 2, column \w+ \({column[0]}\) is a date in the workbook"):
            read(saved(book))


@pytest.mark.parametrize("value", ["1.2345678901234568E+17", "123456789012345678901"])
def test_an_id_that_excel_has_cut_is_refused(value):
    """Fifteen digits are kept; the others were lost when the workbook was saved."""
    data = changed(saved(book_of([HEAD, [111, "A", 61]])), SHEET, "<v>111</v>", f"<v>{value}</v>")
    if "E" in value:
        with pytest.raises(TableError, match=r"row 2, column patient_id \(A\): '1.23\S+e\+17' is a long number"):
            read(data)
    else:
        assert read(data).cells["patient_id"].tolist() == [value]  # written by a program that keeps all digits


@pytest.mark.parametrize("error", ["#N/A", "#REF!", "#VALUE!", "#NAME?"])
def test_an_id_that_is_an_error_of_excel_is_refused(error):
    """A lookup that found nobody is no patient."""
    book = book_of(ROWS)
    book.active["A3"] = error
    with pytest.raises(
        TableError, match=rf"row 3, column patient_id \(A\): '{re.escape(error)}' is an error of Excel"
    ):
        read(saved(book))


def test_a_formula_is_its_value_and_one_without_a_value_is_refused():
    """Programs write formulas that nobody has computed yet; an empty text is a value."""
    book = book_of(ROWS)
    book.active["C2"] = "=1+1"
    with pytest.raises(
        TableError, match="cells C2 hold formulas without a value; open the workbook in Excel and save"
    ):
        read(saved(book))
    computed = changed(saved(book), SHEET, "<v ?/>|<v></v>", "<v>2</v>")
    assert read(computed).cells["age"].tolist() == ["2", "55"]
    empty = changed(saved(book), SHEET, '<c r="C2">(.*?)(<v ?/>|<v></v>)', r'<c r="C2" t="str">\1<v></v>')
    assert read(empty).cells["age"].tolist() == ["", "55"]


@pytest.mark.parametrize("where", ["A2:A3", "B1:C1", "C3:C9"])
def test_merged_cells_of_the_table_are_refused(where):
    """Only the first of them has a value: the others would be gaps."""
    book = book_of(ROWS)
    book.active.merge_cells(where)
    with pytest.raises(
        TableError, match=rf"cells {where} are merged, only the first of them has a value; unmerge them"
    ):
        read(saved(book))


def test_merged_cells_beside_the_table_are_nobodys_business():
    """A remark to the right of the last column."""
    book = book_of(ROWS)
    book.active.merge_cells("H1:K9")
    assert read(saved(book)).cells.shape == (2, 3)


def test_hidden_rows_are_read_with_a_note():
    """A filter hides patients, it does not leave them out."""
    book = book_of(ROWS)
    book.active.row_dimensions[3].hidden = True
    table = read(saved(book))
    assert len(table.cells) == 2
    assert "t.xlsx: 1 hidden row(s) of the sheet are read (row 3)" in table.notes


@pytest.mark.parametrize("how", ["hidden", "grouped", "of no width"])
def test_hidden_columns_are_read_with_a_note(how):
    """So are those that were drawn together to nothing."""
    book = book_of(ROWS)
    columns = book.active.column_dimensions
    if how == "grouped":
        columns.group("B", "C", hidden=True)
    elif how == "hidden":
        columns["B"].hidden = True
    data = saved(book)
    if how == "of no width":
        data = changed(data, SHEET, "<sheetData>", '<cols><col width="0" min="2" max="2"/></cols><sheetData>')
    table = read(data)
    assert table.cells.columns.tolist() == HEAD
    many, named = (2, "site, age") if how == "grouped" else (1, "site")
    assert f"t.xlsx: {many} hidden column(s) of the sheet are read ({named})" in table.notes


def test_rows_of_no_height_are_hidden_rows():
    """Drawn together to nothing, as a hidden row is."""
    data = changed(saved(book_of(ROWS)), SHEET, '<row r="3"', '<row ht="0" customHeight="1" r="3"')
    assert "t.xlsx: 1 hidden row(s) of the sheet are read (row 3)" in read(data).notes


def test_one_sheet_is_read_and_several_are_named():
    """Empty sheets do not count, hidden ones are said."""
    book = book_of(ROWS, "Patients")
    book.create_sheet("Sheet2")
    assert len(read(saved(book)).cells) == 2
    book["Sheet2"].append([" "])
    assert len(read(saved(book)).cells) == 2
    book["Sheet2"].append(["legend"])
    with pytest.raises(
        TableError, match="wanted one sheet that is not empty, the workbook has Patients, Sheet2; save"
    ):
        read(saved(book))
    book["Sheet2"].sheet_state = "hidden"
    assert "t.xlsx: hidden sheet(s) of the workbook are not read: Sheet2" in read(saved(book)).notes
    book["Patients"].delete_rows(1, 9)
    with pytest.raises(TableError, match="the workbook has no visible sheet that is not empty"):
        read(saved(book))


def test_what_lies_right_of_the_last_name_and_empty_rows_are_left_out_with_a_note():
    """Remarks without a column name, and rows that were cleared."""
    book = book_of([HEAD, ["P1", "A", 61, "checked by X"], [None, None, None], ["P2", "B", 55], [None, " ", None]])
    table = read(saved(book))
    assert table.cells.index.tolist() == [2, 4]
    assert table.cells.shape == (2, 3)
    assert "t.xlsx: cells right of the last column name are left out in 1 row(s) (row 2)" in table.notes
    assert "t.xlsx: 2 empty row(s) are left out (row 3, 5)" in table.notes


def test_a_size_that_a_sheet_claims_is_not_believed():
    """Some programs write a dimension of one cell."""
    data = changed(saved(book_of(ROWS)), SHEET, '<dimension ref="[^"]*"', '<dimension ref="A1"')
    assert read(data).cells.shape == (2, 3)


def test_an_empty_cell_at_the_end_of_a_row_is_no_cell_lost():
    """Cells of a sheet have an address: a table of features may end with a gap."""
    data = saved(book_of([["patient_id", "a", "b"], ["P1", 1.5, None], ["P2", None, 2]]))
    assert parse_features(data, "f.xlsx").values.fillna(-1).to_dict("list") == {"a": [1.5, -1], "b": [-1, 2]}
    assert read(data).short == ()


def test_the_strict_variant_of_the_format_is_named():
    """Which openpyxl does not read: a sheet would be missing without a word."""
    data = changed(
        saved(book_of(ROWS)), "xl/workbook.xml", "http://schemas.openxmlformats.org", "http://purl.oclc.org/ooxml"
    )
    with pytest.raises(TableError, match=r"the workbook is a Strict Open XML one; save it as Excel workbook"):
        read(data)


@pytest.mark.parametrize("keep", [200, 2000, -60])
def test_a_damaged_workbook_is_refused_with_the_fix(keep):
    """Cut short, or with a part that cannot be parsed."""
    with pytest.raises(TableError, match=r"^t\.xlsx: .*(damaged|cannot be read).*CSV UTF-8"):
        read(saved(book_of(ROWS))[:keep])


@pytest.mark.parametrize("member", [SHEET, "xl/workbook.xml", "xl/styles.xml", "[Content_Types].xml"])
def test_a_workbook_with_a_broken_part_is_refused_with_the_fix(member):
    """Any of the parts that are parsed."""
    data = changed(saved(book_of(ROWS)), re.sub(r"^\[", "[", member), "</[^>]*>$", "<broken")
    with pytest.raises(TableError, match=r"^t\.xlsx: the Excel workbook cannot be read, it is damaged"):
        read(data)
