"""What one cell says: the blanks around its text, the words that mean 'no value', and numbers."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable

import pandas as pd

# white space of Unicode, and what is invisible: zero-width characters, soft hyphen, marks of the writing direction,
# the sign with which DOS ends a file
BLANKS = "".join(
    chr(letter)
    for first, last in (
        *((0x09, 0x0D), (0x1A, 0x1A), (0x1C, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0xAD, 0xAD), (0x61C, 0x61C)),
        *((0x1680, 0x1680), (0x180E, 0x180E), (0x2000, 0x200F), (0x2028, 0x202F), (0x205F, 0x2069)),
        *((0x3000, 0x3000), (0xFEFF, 0xFEFF)),
    )
    for letter in range(first, last + 1)
)

# in any case, for every table; as pandas, R, SAS, MySQL, C and Excel write it, and as people do
GAP_WORDS = (
    *("NA", "N/A", "n.a.", "<NA>", "#N/A", "#N/A N/A", "#NA", "NaN", "-NaN", "-nan(ind)", "1.#IND", "-1.#IND"),
    *("1.#QNAN", "-1.#QNAN", "NaT", "NULL", "\\N", "-", "--", "---", "\N{EN DASH}", "\N{EM DASH}"),
    *("\N{FULLWIDTH HYPHEN-MINUS}", "/", ".", "..", "?", "\N{FULLWIDTH QUESTION MARK}"),
    *("unknown", "missing", "not available", "not recorded", "not known", "no data"),
    *("未知", "不详", "不詳", "不明", "缺失", "无数据", "未记录", "未查", "未测", "未检", "미상"),
)
NONE = "None"  # Python's word; in another case it may be a level: no lymph node, no chemotherapy
EXCEL_ERRORS = ("#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!", "#SPILL!", "#CALC!", "#GETTING_DATA")

_GAPS = frozenset(word.casefold() for word in GAP_WORDS) | {""}
_FULLWIDTH = {chr(0xFEE0 + ord(sign)): sign for sign in "0123456789.+-Ee"}
_PLAIN = str.maketrans(_FULLWIDTH | {"\N{MINUS SIGN}": "-"})
_NUMBER_START = frozenset("0123456789+-.")
_AS_TEXT = re.compile(r'="([^"]*)"')  # how a spreadsheet is made to keep 007: ="007"


def cleaned(text: str) -> str:
    """The text without blanks around it, in Unicode's composed form (NFC); ``="007"`` is 007."""
    text = text.strip(BLANKS)
    if quoted := _AS_TEXT.fullmatch(text):
        text = quoted[1].strip(BLANKS)
    return unicodedata.normalize("NFC", text)


def is_gap(text: str) -> bool:
    """Whether a cleaned cell says that there is no value."""
    return text == NONE or text.casefold() in _GAPS


def is_number_gap(text: str) -> bool:
    """As ``is_gap`` in a column of numbers or dates, where none, in any case, cannot be a level."""
    return is_gap(text) or text.casefold() == "none"


def gaps_in(cells: pd.Series, levels: Iterable[str] = (), of_numbers: bool = False) -> pd.Series:
    """Where a column says nothing; a word that the study names as a level (in any case) is a value."""
    named = {level.casefold() for level in levels}
    says_nothing = is_number_gap if of_numbers else is_gap
    words = [w for w in cells.dropna().unique() if says_nothing(w) and w.casefold() not in named]
    return cells.isin(words)


def number(text: str) -> float:
    """The number in a cleaned cell, to the last bit; NaN for a gap.

    Digits, signs and points of full width and the minus sign of Unicode are read. ValueError for any other text and
    for a number beyond the range of a float64.
    """
    # Python's own float: exact, and safe where pandas' parser ends the process (1e2147483648)
    if text[:1] in _NUMBER_START and "_" not in text:
        try:
            value = float(text)
        except ValueError:
            value = math.nan  # decided below
        if math.isfinite(value):
            return value
    if is_number_gap(text):
        return math.nan
    if "_" in text:
        raise ValueError(text)
    value = float(text.translate(_PLAIN))
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def number_or_nan(text: object) -> float:
    """As ``number``, with NaN for whatever is no number."""
    try:
        return number(text) if isinstance(text, str) else math.nan
    except ValueError:
        return math.nan
