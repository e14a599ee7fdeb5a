"""Text of users as cells of CSV files: shown as it is, never read as a formula."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from gc_ray.errors import printable

# what makes a spreadsheet read a cell as a formula, in full width too, and what stands for a tab or a line break
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\N{REPLACEMENT CHARACTER}")
QUOTE = "'"  # a spreadsheet takes the rest of the cell for text
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?inf", re.IGNORECASE)


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """Return a table as CSV in UTF-8, the same bytes for the same table; every CSV for people is written by this.

    Parameters
    ----------
    frame : pd.DataFrame
        Columns of numbers, of text and of lists; the index is left out.

    Returns
    -------
    bytes
        Numbers to the last bit, lists as words with blanks between them, text and names of columns as ``csv_cell``.
    """
    shown = frame.copy()
    for name in [name for name in shown if not pd.api.types.is_numeric_dtype(shown[name])]:
        shown[name] = shown[name].map(_cell)
    shown.columns = [_cell(name) for name in shown.columns]
    return shown.to_csv(index=False, lineterminator="\n").encode()


def csv_cell(text: str) -> str:
    """Return a text that a spreadsheet takes for text: quoted by ' where it begins as a formula and is no number."""
    text = printable(text)
    return QUOTE + text if text.startswith(FORMULA) and not NUMBER.fullmatch(text) else text


def from_csv_cell(text: str) -> str:
    """Return the text that ``csv_cell`` quoted."""
    return text[1:] if text.startswith(tuple(QUOTE + sign for sign in FORMULA)) else text


def _cell(value: object) -> object:
    if isinstance(value, np.ndarray | list | tuple):
        value = " ".join(map(str, value))
    return csv_cell(value) if isinstance(value, str) else value
