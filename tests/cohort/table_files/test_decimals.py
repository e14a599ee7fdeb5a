"""Decimal commas are read where a table says so beyond doubt, and refused by row and column where it does not."""

import io

import pandas as pd
import pytest

from gc_ray.cohort.table_files.read import read_table
from gc_ray.errors import TableError


def read(text: str, numbers=("x", "y")):
    """The table, in which these columns are to hold numbers."""
    return read_table(text.encode(), "t.csv", "features", None, lambda column: column in numbers)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_decimal_commas_are_read_as_pandas_reads_them(separator):
    """Compared with pandas told of the decimal comma; signs, exponents and whole numbers beside them."""
    rows = ["patient_id;x;y", "P1;0,5;1", "P2;-12,25;3e-2", "P3;1,5e-3;", "P4;,5;+2,0"]
    text = "\n".join(rows).replace(";", separator) + "\n"
    table = read(text)
    expected = pd.read_csv(io.StringIO(text), sep=separator, decimal=",")
    assert pd.to_numeric(table.cells["x"].astype(object)).tolist() == expected["x"].tolist()
    assert table.cells["y"].tolist() == ["1", "3e-2", "", "+2.0"]
    assert "t.csv: decimal commas are read as decimal points" in table.notes


def test_only_columns_of_numbers_are_changed():
    """Ids, levels and places keep their commas."""
    table = read("patient_id;x;stage\n1,5;0,5;1,2\n")
    assert table.cells.to_numpy().tolist() == [["1,5", "0.5", "1,2"]]


@pytest.mark.parametrize("other", ["1.5", ".5", "2.", "1.5e3", "-0.25", "1.234"])
def test_a_table_with_both_signs_is_refused_with_both_places(other):
    """1.234 is a decimal to one and a thousand to the other."""
    message = rf"'0,5' in row 2, column x, has a decimal comma and '{other}' in row 3, column y, a decimal point"
    with pytest.raises(TableError, match=message.replace("+", r"\+")):
        read(f"patient_id;x;y\nP1;0,5;1\nP2;1;{other}\n")


def test_decimal_points_beside_semicolons_are_left_as_they_are():
    """As pandas writes them."""
    assert read("patient_id;x\nP1;0.5\nP2;1.234\n").cells["x"].tolist() == ["0.5", "1.234"]


def test_a_comma_beside_semicolons_is_a_decimal_and_beside_tabs_must_show_it():
    """Excel separates by semicolons where the comma is the decimal sign; tabs it writes everywhere."""
    assert read("patient_id;x\nP1;1,234\n").cells["x"].tolist() == ["1.234"]
    with pytest.raises(TableError, match="'1,234' in row 2, column x, may be a decimal number or thousands"):
        read("patient_id\tx\nP1\t1,234\nP2\t12,500\n")
    assert read("patient_id\tx\ty\nP1\t1,234\t0,5\n").cells["x"].tolist() == ["1.234"]
    assert read("patient_id\tx\nP1\t1,234\nP2\t0,234\n").cells["x"].tolist() == ["1.234", "0.234"]


@pytest.mark.parametrize("text", ["1.234,5", "1,234.5", "1,234,567", "1'000,5", "1 000,5", "0,5,"])
def test_signs_between_thousands_are_never_read(text):
    """They stay as they are, and are refused where a number is wanted."""
    assert read(f'patient_id;x;y\nP1;"{text}";2\n').cells["x"].tolist() == [text]


def test_a_quoted_comma_in_a_table_of_commas_is_left_as_it_is():
    """Nothing tells a decimal from a thousand there."""
    assert read('patient_id,x\nP1,"0,5"\n').cells["x"].tolist() == ["0,5"]
