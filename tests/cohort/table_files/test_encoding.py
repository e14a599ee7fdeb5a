"""The text of a table in any encoding: UTF-8 and UTF-16 recognised, others read where they are named."""

import codecs

import pandas as pd
import pytest

from gc_ray.cohort.table_files.encoding import encoding_of
from gc_ray.cohort.table_files.read import read_table
from gc_ray.errors import TableError

TEXT = "patient_id,年龄,site\nP1,61,北京\nP2,55,上海\n"
EUROPE = "patient_id,\xe2ge,site\nP1,61,K\xf6ln\nP2,55,Z\xfcrich\n"
ASCII = "patient_id,age,site\nP1,61,A\nP2,55,B\n"


def cells(data: bytes, encoding: str | None = None) -> pd.DataFrame:
    """The table's cells."""
    return read_table(data, "t.csv", "clinical", encoding).cells


@pytest.mark.parametrize("text", [TEXT, EUROPE, ASCII])
@pytest.mark.parametrize(
    ("mark", "codec"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
        (b"", "utf-16-le"),
        (b"", "utf-16-be"),
        (b"", "utf-32-le"),
        (b"", "utf-32-be"),
        (b"\x84\x31\x95\x33", "gb18030"),
    ],
)
def test_unicode_is_read_with_and_without_a_mark(text, mark, codec):
    """Without a mark by its zero bytes; the table is that of plain UTF-8, and a note says what it was."""
    data = mark + text.encode(codec)
    pd.testing.assert_frame_equal(cells(data), cells(text.encode()))
    notes = read_table(data, "t.csv", "clinical").notes
    assert bool(notes) == (codec != "utf-8")


@pytest.mark.parametrize(
    ("text", "codec", "asked"),
    [
        (TEXT, "gbk", "gb18030"),
        (TEXT, "gbk", "GBK"),
        (TEXT, "gb2312", "gb2312"),
        (TEXT.replace("龄", "齡"), "big5", "big5"),
        ("patient_id,site\nP1,東京\n", "shift_jis", "shift_jis"),
        ("patient_id,site\nP1,東京\n", "shift_jis", "sjis"),
        ("patient_id,site\nP1,東京\n", "euc_jp", "euc-jp"),
        ("patient_id,site\nP1,서울\n", "cp949", "euc-kr"),
        (EUROPE, "latin-1", "latin-1"),
        (EUROPE, "cp1252", "windows-1252"),
        ("patient_id,price\nP1,5 \u20ac\n", "cp1252", "iso-8859-1"),
        ("patient_id,site\nP1,\u0141\xf3d\u017a\n", "cp1250", "windows-1250"),
        ("patient_id,site\nP1,\u041c\u043e\u0441\u043a\u0432\u0430\n", "koi8-r", "koi8-r"),
        ("patient_id,site\nP1,\u0391\u03b8\u03ae\u03bd\u03b1\n", "iso8859-7", "iso-8859-7"),
    ],
)
def test_any_other_encoding_is_refused_unless_it_is_named(text, codec, asked):
    """Nothing is guessed: the refusal says how to save the table or which name would fit; a note, what was read."""
    data = text.encode(codec)
    with pytest.raises(TableError, match=r"^t\.csv: wanted UTF-8, row \d is in another .*CSV UTF-8.*--encoding \w"):
        cells(data)
    pd.testing.assert_frame_equal(cells(data, asked), cells(text.encode()))
    assert "read as" in read_table(data, "t.csv", "clinical", asked).notes[0]


def test_the_likelier_encoding_is_suggested_first():
    """Two bytes a letter speak of East Asia, one between ASCII letters of Europe."""
    with pytest.raises(TableError, match="name the encoding: --encoding gb18030 "):
        cells(TEXT.encode("gbk"))
    with pytest.raises(TableError, match="name the encoding: --encoding windows-1252"):
        cells(EUROPE.encode("latin-1"))


def test_a_table_in_utf8_stays_so_whatever_is_named():
    """One option serves all tables of a command: only those that are not UTF-8 are read in it."""
    table = read_table(TEXT.encode(), "t.csv", "clinical", "gb18030")
    pd.testing.assert_frame_equal(table.cells, cells(TEXT.encode()))
    assert table.notes == ("t.csv: read as UTF-8, not as gb18030: every byte of it is UTF-8",)
    assert read_table(ASCII.encode(), "t.csv", "clinical", "gb18030").notes == ()
    assert read_table(TEXT.encode("utf-8-sig"), "t.csv", "clinical", "utf-8-sig").notes == ()


def test_the_row_that_does_not_fit_is_named():
    """Also after a megabyte, and whatever ends a line."""
    rows = [f"P{i},{'x' * 100}" for i in range(30_000)]
    for end in ("\n", "\r\n", "\r"):
        data = end.join(["patient_id,a", *rows]).encode() + end.encode() + b"P,\xc4\n"
        with pytest.raises(TableError, match="wanted UTF-8, row 30002 is in"):
            encoding_of(data, "t.csv", None)


@pytest.mark.parametrize("data", [("\ufeff" + ASCII).encode("utf-16-le")[:-1], TEXT.encode("gbk") + b"\xff"])
def test_text_that_does_not_fit_its_encoding_is_refused(data):
    """Cut in the middle of a letter, or of another encoding from some row on."""
    with pytest.raises(TableError, match=r"^t\.csv: it is not (UTF-16|gb18030) throughout, row \d has other bytes"):
        cells(data, "gb18030")


@pytest.mark.parametrize(
    "name", ["gibberish", "utf-7", "idna", "base64", "rot13", "punycode", "", " ", "unicode_escape"]
)
def test_what_is_no_encoding_of_tables_is_refused(name):
    """With the names that are usual."""
    with pytest.raises(TableError, match=r"^--encoding .*: wanted the name of an encoding, such as gb18030"):
        encoding_of(TEXT.encode("gbk"), "t.csv", name or "x y")
