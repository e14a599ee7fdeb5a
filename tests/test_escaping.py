"""Text of users in CSV files and figures: spreadsheets read no formula in it, figures no mathematics."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gc_ray.errors import printable
from gc_ray.escaping import FORMULA, csv_bytes, csv_cell, from_csv_cell

PACKAGE = Path(__file__).resolve().parents[1] / "gc_ray"
HOSTILE = json.loads((Path(__file__).parent / "data" / "hostile.json").read_text(encoding="utf-8"))
hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
DIGESTS = {"report/inputs.py", "models/cohort_data.py"}  # text of a table that is hashed, never a file


@hostile
def test_a_cell_never_begins_as_a_formula_and_keeps_its_text(text):
    """In values and in names of columns; what the reader of CSV gives back is the text, printable."""
    rows = list(csv.reader(io.StringIO(csv_bytes(pd.DataFrame({text: [text], "n": [1.5]})).decode(), newline="")))
    assert len(rows) == 2
    for cell in (rows[0][0], rows[1][0]):
        assert not cell.startswith((*FORMULA, "\t", "\r", "\n"))
        assert printable(cell) == cell
        assert from_csv_cell(cell) == printable(text)
    assert rows[1][1] == "1.5"


@pytest.mark.parametrize(
    "text", ["=1", "+a", "-a", "@a", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff20a", "--1"]
)
def test_whatever_a_spreadsheet_may_read_as_a_formula_is_quoted(text):
    """Signs of full width too: Excel takes them for the plain ones in some languages."""
    assert csv_cell(text) == f"'{printable(text)}"


@pytest.mark.parametrize("text", ["-1", "+1", "-1.5e-07", "-.5", "-inf", "1", "0.5 (0.4 to 0.6)", "", "a-b", "'x"])
def test_numbers_and_plain_text_stay(text):
    """A negative number is no formula, also where a column holds it as text."""
    assert csv_cell(text) == text


def test_numbers_keep_every_bit_and_lists_are_words():
    """As pandas writes them; the columns of a table of numbers are untouched."""
    values = np.array([-1.5, 1 / 3, np.nan, -np.inf, 5e-324])
    table = pd.DataFrame({"x": values, "n": [-1, 0, 1, 2, 3], "yes": [True, False] * 2 + [True]})
    assert csv_bytes(table) == table.to_csv(index=False, lineterminator="\n").encode()
    lists = csv_bytes(pd.DataFrame({"kept": [["=a", "b"], np.array(["c"]), []]}))
    assert lists == b'kept\n\'=a b\nc\n""\n'


def test_every_csv_is_written_by_one_function():
    """Who adds a file for people finds the rule here."""
    users = [p for p in PACKAGE.rglob("*.py") if ".to_csv(" in p.read_text() or "csv.writer" in p.read_text()]
    assert {str(p.relative_to(PACKAGE)) for p in users} == {"escaping.py", *DIGESTS}
