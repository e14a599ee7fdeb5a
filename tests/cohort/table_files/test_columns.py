"""Names of columns: cleaned, left out where there is none, refused where one occurs twice."""

import re

import pandas as pd
import pytest

from gc_ray.cohort.table_files.columns import letter
from gc_ray.cohort.table_files.read import InputTable, read_table
from gc_ray.errors import TableError


def read(text: str) -> InputTable:
    """The table as a clinical one."""
    return read_table(text.encode(), "t.csv", "clinical")


@pytest.mark.parametrize(
    "name", [" age ", "\u3000age\xa0", "\ufeffage\u200b", "\tage", '" age\n"', '"\u200eage"', '="age"']
)
def test_a_name_has_no_blanks_around_it(name):
    """Of any kind, as cells have none."""
    assert list(read(f"patient_id,{name}\nP1,3\n").cells) == ["patient_id", "age"]


def test_a_line_break_inside_a_name_is_one_blank():
    """Excel's wrapped names are one line in messages and in a study file."""
    assert list(read('patient_id,"CEA\r\n(ng/ml)"\nP1,3\n').cells) == ["patient_id", "CEA (ng/ml)"]


@pytest.mark.parametrize(
    "names", ["age,age", "age, age", "age,\u3000age", "\xe9ge,e\u0301ge", "age,age\u200b", "age,age,age"]
)
def test_a_name_that_occurs_twice_is_refused(names):
    """Also where the two differ in blanks, or in how an accent is composed."""
    with pytest.raises(TableError, match=r"^t\.csv: column\(s\) .ge occur twice; keep one of each"):
        read(f"patient_id,{names}\nP1,3,4{',5' * (names.count(',') - 1)}\n")


@pytest.mark.parametrize("column", ["patient_id", "scan_id", "site", "reader", "score", "outcome"])
def test_a_column_of_the_study_that_pandas_has_renamed_is_refused(column):
    """pandas reads a doubled patient_id as patient_id and patient_id.1, whatever the second holds."""
    head = ["patient_id"] + [column] * (column != "patient_id") + [f"{column}.1"]
    with pytest.raises(TableError, match=rf"column {column}\.1 is a second column {column} \(pandas renames it so\)"):
        read(",".join(head) + "\n" + ",".join("123"[: len(head)]) + "\n")


def test_a_column_that_readr_has_renamed_is_refused():
    """Its ...1 and ...3 are two columns of one name; one alone is named as the one that may be meant."""
    for names in ("patient_id...1,patient_id...3,f", "f...1,patient_id,f...3"):
        with pytest.raises(TableError, match=r"is a second column \w+ \(readr renames it so\)"):
            read_table(f"{names}\n1,1,1\n2,2,2\n".encode(), "t.csv", "features")
    with pytest.raises(TableError, match=r"missing.*did you mean 'patient_id\.\.\.1'"):
        read_table(b"patient_id...1,f\n1,1\n", "t.csv", "features").require(("patient_id",))


def test_another_column_is_refused_only_where_it_repeats_the_values():
    """A feature may be called f.1 beside f; two equal ones are one feature read twice."""
    with pytest.raises(TableError, match=r"column f\.2 is a second column f "):
        read("patient_id,f,f.1,f.2\nP1,1,2,1\nP2,3,4,3\n")
    assert list(read("patient_id,f,f.1,g.1\nP1,1,2,1\nP2,3,3,3\n").cells) == ["patient_id", "f", "f.1", "g.1"]


@pytest.mark.parametrize(
    "name",
    [
        *("", '""', " ", "\u200b", "Unnamed: 0", "Unnamed: 3", "Unnamed: 0.1", "Unnamed: 0_level_0", "...1"),
        *("level_0", "level_1", "row.names", "rownames", "row_names", "__index_level_0__", "Row Names"),
    ],
)
@pytest.mark.parametrize("values", [("0", "1", "2"), ("1", "2", "3"), ("5", "9", "7"), ("a", "b", "c")])
def test_a_column_of_row_names_or_numbers_is_left_out_with_a_note(name, values):
    """What pandas, R and readr write for a row's name is nobody's value."""
    table = read(f"{name},patient_id,x\n" + "".join(f"{v},P{v},{v}\n" for v in values))
    assert list(table.cells) == ["patient_id", "x"]
    assert len(table.notes) == 1
    assert table.notes[0].startswith("t.csv: column A")
    assert ("row numbers" in table.notes[0]) == (values[0] in "01")


def test_empty_columns_without_a_name_are_left_out_and_counted():
    """Excel writes them right of a table, and between its parts."""
    table = read("patient_id,,age,Unnamed: 3,\nP1,,3,,\nP2, ,4,,\u3000\n")
    assert list(table.cells) == ["patient_id", "age"]
    assert table.letters == {"patient_id": "A", "age": "C"}
    assert table.notes == ("t.csv: 3 empty column(s) without a name are left out (B, D, E)",)


def test_an_empty_column_with_a_name_stays():
    """Nothing was recorded yet, or a feature has no value: that is for the study to know."""
    assert list(read("patient_id,her2,age\nP1,,3\n").cells) == ["patient_id", "her2", "age"]


@pytest.mark.parametrize(
    "written", ["PatientID", "Patient ID", "patient id", "PATIENT_ID", "ID", "Case", "mrn", "patient-id"]
)
def test_a_missing_patient_id_is_refused_with_the_column_that_may_be_meant(written):
    """It is not taken for it: an ID may be anybody's."""
    with pytest.raises(TableError, match=rf"patient_id missing, found {written}, x; did you mean '{written}' for"):
        read(f"{written},x\nP1,2\n").require(("patient_id",))


def test_a_missing_column_is_refused_with_a_hint_where_the_first_has_no_name():
    """R's row names are often the patients."""
    table = read(",x,y\nP1,2,3\n")
    with pytest.raises(
        TableError, match="patient_id missing, found x, y; add them, or give column A, which has no name"
    ):
        table.require(("patient_id",))


@pytest.mark.parametrize("sign", ["\N{FULLWIDTH COMMA}", "\N{FULLWIDTH SEMICOLON}", ":", "^", "~", "\u3001"])
def test_a_sign_that_is_no_separator_is_named(sign):
    """The commas of a Chinese keyboard, and others."""
    with pytest.raises(
        TableError, match=rf"columns are separated by '{re.escape(sign)}'; save the table as CSV UTF-8"
    ):
        read(f"patient_id{sign}x\nP1{sign}2\n").require(("patient_id",))


def test_letters_are_those_of_a_spreadsheet():
    """A to Z, then AA; compared with openpyxl's."""
    from openpyxl.utils import get_column_letter

    assert [letter(i) for i in (0, 25, 26, 701, 702, 16383)] == ["A", "Z", "AA", "ZZ", "AAA", "XFD"]
    assert all(letter(i) == get_column_letter(i + 1) for i in range(1000))


def test_a_place_is_said_as_a_spreadsheet_shows_it():
    """Row, column and letter."""
    table = read(",patient_id,x\n0,P1,3\n")
    assert table.place(2, "x") == "row 2, column x (C)"
    assert isinstance(table.cells, pd.DataFrame)
