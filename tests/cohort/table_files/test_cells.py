"""What one cell says: blanks, words for a gap, and numbers to the last bit."""

import math
import sys

import pandas as pd
import pytest

from gc_ray.cohort.table_files.cells import BLANKS, GAP_WORDS, cleaned, gaps_in, is_gap, number, number_or_nan

ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff"


def test_every_white_space_of_unicode_is_a_blank():
    """Those that Python strips, and those that are invisible: zero-width, direction, soft hyphen."""
    white = {chr(c) for c in range(sys.maxunicode + 1) if chr(c).isspace()}
    assert white | set(ZERO_WIDTH) | set("\u00ad\u200e\u200f\u202a\u2069") <= set(BLANKS)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (" P1 ", "P1"),
        ("\u3000P1\xa0", "P1"),
        ("\ufeffP1\u200b", "P1"),
        ("\tP1\r\n", "P1"),
        ("\u202fP 1\u200d", "P 1"),
        ('="007"', "007"),
        ('=" 007\u3000"', "007"),
        ("Mu\u0308ller", "M\xfcller"),
        ("", ""),
        ("\u200b", ""),
        ("P\xa01", "P\xa01"),
    ],
)
def test_blanks_around_a_text_go_and_those_inside_stay(written, meant):
    """An id is compared with another table's, where it may have no blank, or be composed otherwise."""
    assert cleaned(written) == meant


@pytest.mark.parametrize("word", [*GAP_WORDS, "None", "", "n/a", "na", "nan", "null", "#n/a", "UNKNOWN", "Missing"])
def test_a_word_for_a_gap_is_a_gap_in_any_case_and_is_no_number(word):
    """As pandas, R, SAS, MySQL, C and Excel write a missing value, and as people do."""
    assert is_gap(word)
    assert math.isnan(number(word))


@pytest.mark.parametrize("word", ["none", "NONE", "no", "0", "x", "无", "nil", "high", "ND", "#REF!"])
def test_what_may_be_a_value_is_no_gap(word):
    """No lymph node is a level: none, and its Chinese word; #REF! is a fault, not a missing value."""
    assert not is_gap(word)


def test_a_level_of_a_gaps_name_is_a_level_in_any_case():
    """A study that names 'unknown' as a level keeps it; 'Unknown' is then misspelt, not a gap."""
    cells = pd.Series(["unknown", "Unknown", "NA", "", "I", None], dtype=object)
    assert gaps_in(cells, ("I", "unknown")).tolist() == [False, False, True, True, False, False]
    assert gaps_in(cells).tolist() == [True, True, True, True, False, False]


def test_none_is_a_gap_among_numbers_alone():
    """A count of none is no number; a chemotherapy of none is a level that the study forgot."""
    cells = pd.Series(["none", "None", "3"], dtype=object)
    assert gaps_in(cells, of_numbers=True).tolist() == [True, True, False]
    assert gaps_in(cells).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", 0.1),
        ("-1e-3", -1e-3),
        ("+5", 5.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1E5", 1e5),
        ("007", 7.0),
        ("0.30000000000000004", 0.1 + 0.2),
        ("1e-400", 0.0),
        ("\u22125", -5.0),
        ("\uff11\uff12\uff0e\uff15", 12.5),
        ("\uff0d\uff13", -3.0),
        ("9" * 300, float("9" * 300)),
    ],
)
def test_a_number_is_read_to_the_last_bit(text, value):
    """Python's own reading, also of full-width digits and of Unicode's minus sign."""
    assert number(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *("1e400", "-1e400", "1e2147483648", "9" * 5000, "inf", "-Infinity", "\uff11e999"),
        *("0x10", "1_000", "\uff11_0", "1,5", "1,234", "1.234,5", "1 000", "1\u2019000", "5%", "<0.1", ">5", "5 mm"),
        *(
            "2017-01-31",
            "1/2",
            "1d5",
            "TRUE",
            "yes",
            "high",
            "#DIV/0!",
            "#REF!",
            "10\xb2",
            "\xbd",
            "\u2460",
            "\u2013x",
        ),
    ],
)
def test_what_is_no_number_or_beyond_the_range_is_refused(text):
    """Neither guessed nor rounded to infinity; superscripts and fractions are no digits."""
    with pytest.raises(ValueError, match=r"."):
        number(text)
    assert math.isnan(number_or_nan(text))
