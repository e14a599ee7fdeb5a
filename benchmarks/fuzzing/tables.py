"""Mutations that know tables (CSV, Excel, Parquet) and study files (TOML)."""

from __future__ import annotations

import datetime
import gzip
import io
import zipfile

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
from fuzzing.mutate import LONG, NUMBERS, TEXT, WORDS, Files, Rng, pick, spoil

COLUMNS = 1_000_000  # in the widest header; a table of this project has at most a few thousand
SEPARATORS = (b",", b",", b";", b"\t", b"|", b", ", "\N{FULLWIDTH COMMA}".encode(), b",,", b"")
ENCODINGS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "utf-8-sig", "utf-7", "gb18030", "cp1252")
XML = (  # what a sheet may hold in the place of a cell, a row or a value
    *(
        b"<f>A1</f><v></v>",
        b'<c r="ZZZ9999999"><v>1</v></c>',
        b'<row r="99999999999">',
        b'<c t="s"><v>999999999</v></c>',
    ),
    *(b'<c r="A1" t="d"><v>2017-99-99</v></c>', b'<c s="99999"><v>1e999</v></c>', b'<c t="n"><v>NaN</v></c>', b"<v>"),
    *(b'<c r="A1048577" t="e"><v>#REF!</v></c>', b'<c t="inlineStr"><is><t>x</t></is></c>', b"<v>1e2147483648</v>"),
    *(b'</sheetData><mergeCells><mergeCell ref="A1:B9"/></mergeCells>', b'<row hidden="1" r="2">', b"&#0;", b"&x;"),
    *(b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>', b"_x0000_", b"_xD800_", b'<c r="-1">'),
)
VALUES = (
    None,
    "",
    " ",
    "NA",
    "#N/A",
    "#REF!",
    "=A1",
    "=1/0",
    True,
    7,
    7.5,
    -1e300,
    1e17,
    2**60,
    "1e999",
    "0,5",
    "1.234,5",
)
VALUES += (
    datetime.datetime(2017, 1, 31),
    datetime.time(8),
    datetime.timedelta(1),
    "x" * 32_000,
    "a\nb",
    "\u200b",
    "007",
)
DEPTHS = (10, 200, 5_000, 100_000)  # of nested brackets and dotted keys
TYPES = (pa.string(), pa.large_string(), pa.int64(), pa.float64(), pa.bool_(), pa.binary(), pa.null())
TYPES += (pa.date32(), pa.timestamp("ns"), pa.decimal128(30, 2), pa.list_(pa.string()), pa.duration("s"))
TYPES += (pa.struct([("a", pa.int8())]), pa.dictionary(pa.int8(), pa.string()), pa.time64("us"))


def spoil_table(files: Files, rng: Rng) -> Files:
    """The one table with its bytes, cells, columns or types damaged."""
    (name,) = files
    data = files[name]
    if name.endswith(".parquet"):
        return {name: spoil(data, rng) if rng.random() < 0.5 else _retyped(data, rng)}
    if name.endswith(".xlsx"):
        return {name: pick(rng, (spoil, _part_spoilt, _cells_changed, _cells_changed))(data, rng)}
    if rng.random() < 0.3:
        return {name: spoil(data, rng, TEXT)}
    cells = [line.split(b",") for line in data.rstrip(b"\n").split(b"\n")]
    for _ in range(int(rng.integers(1, 4))):
        row = pick(rng, cells) if rng.random() < 0.8 else cells[0]
        _spoil_row(row, cells, rng)
    out = b"\n".join(pick(rng, SEPARATORS).join(row) for row in cells) + b"\n"
    if rng.random() < 0.9:
        out = b"\n".join(b",".join(row) for row in cells).replace(b",", pick(rng, SEPARATORS)) + b"\n"
    ends = rng.random()
    if ends < 0.05:
        out = _encoded(out, rng)
    elif ends < 0.1:
        out = out.replace(b"\n", pick(rng, (b"\r", b"\r\n", b"\n\n", b"\x0b", b"\n\0")))
    elif ends < 0.105:
        out = b",".join(b"c%d" % i for i in range(COLUMNS)) + b"\n" + out
    return {name: gzip.compress(out, 1, mtime=0) if rng.random() < 0.05 else out}


def _encoded(data: bytes, rng: Rng) -> bytes:
    """The text in another encoding, in one of ten with its last byte lost."""
    out = data.decode("utf-8", "replace").encode(pick(rng, ENCODINGS), "replace")
    return out[:-1] if rng.random() < 0.1 else out


def _cells_changed(data: bytes, rng: Rng) -> bytes:
    """The workbook with cells of other kinds, merged, hidden, moved, or with a second sheet."""
    book = openpyxl.load_workbook(io.BytesIO(data))
    sheet = book.active
    for _ in range(int(rng.integers(1, 4))):
        row, column = (int(rng.integers(1, size + 2)) for size in (sheet.max_row, sheet.max_column))
        way = int(rng.integers(10))
        if way < 5:
            sheet.cell(row, column).value = pick(rng, VALUES)
        elif way == 5:
            sheet.merge_cells(start_row=row, end_row=row + 1, start_column=column, end_column=column)
        elif way == 6:
            sheet.row_dimensions[row].hidden = True
        elif way == 7:
            sheet.insert_rows(row)
        elif way == 8:
            sheet.cell(row, column).number_format = pick(rng, ("0000", "0%", "yyyy-mm-dd", "@", "[h]:mm"))
        else:
            another = book.create_sheet()
            another.append(pick(rng, ([], ["x"])))
            another.sheet_state = pick(rng, ("visible", "hidden"))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _part_spoilt(data: bytes, rng: Rng) -> bytes:
    """The workbook with one of its parts damaged, and a sound checksum again."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        names = source.namelist()
        sheets = [name for name in names if "sheet1" in name or "sharedStrings" in name]
        chosen = pick(rng, sheets if rng.random() < 0.7 else names)
        for name in names:
            part = source.read(name)
            target.writestr(name, _xml_spoilt(part, rng) if name == chosen else part)
    return out.getvalue()


def _xml_spoilt(part: bytes, rng: Rng) -> bytes:
    way = rng.random()
    if way < 0.4:
        return spoil(part, rng, TEXT)
    if way < 0.7:  # a value or an attribute that is one no more
        pieces = part.split(pick(rng, (b'"', b">")))
        at = int(rng.integers(len(pieces)))
        pieces[at] = pick(rng, (*NUMBERS, *WORDS, *XML)) + (b"" if rng.random() < 0.5 else pieces[at])
        return b'"'.join(pieces) if b">" in pieces[0] else b">".join(pieces)
    return part.replace(pick(rng, (b"<v>", b"</row>", b"</sheetData>", b"<c ", b"<row ")), pick(rng, XML), 1)


def _spoil_row(row: list[bytes], cells: list[list[bytes]], rng: Rng) -> None:
    at = int(rng.integers(len(row))) if row else 0
    way = int(rng.integers(7))
    if way < 3 and row:
        row[at] = pick(rng, (*NUMBERS, *WORDS))
    elif way == 3 and row:
        row[at] = b'"' + pick(rng, WORDS).replace(b'"', b'""') + pick(rng, (b'"', b'"x"', b""))
    elif way == 4:
        row.insert(at, pick(rng, (*NUMBERS, *WORDS)))
    elif way == 5 and row:
        row.pop(at)
    elif len(cells) < 100:
        cells.insert(int(rng.integers(len(cells))), list(row) * int(pick(rng, (1, 2, 50))))


def _retyped(data: bytes, rng: Rng) -> bytes:
    """The Parquet table with columns of other types, doubled, dropped, or with missing values."""
    table = pq.read_table(io.BytesIO(data))
    at = int(rng.integers(table.num_columns))
    name, rows = table.column_names[at], table.num_rows
    kind, way = pick(rng, TYPES), int(rng.integers(4))
    if way == 0:
        table = table.drop_columns([name])
    elif way == 1:
        table = table.append_column(pick(rng, (name, "", "x" * LONG, "\0")), pa.nulls(rows))
    elif way == 2:
        table = table.set_column(at, name, pa.nulls(rows, kind))
    else:
        table = table.set_column(at, name, pa.array([_value(kind)] * rows, kind))
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def _value(kind: pa.DataType):
    if pa.types.is_list(kind):
        return ["a", None]
    if pa.types.is_struct(kind):
        return {"a": 1}
    if pa.types.is_floating(kind):
        return float("nan")
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
    return "\ud7ff../../etc/passwd" if text else b"\xff" if pa.types.is_binary(kind) else None


def spoil_toml(files: Files, rng: Rng) -> Files:
    """The study file with its bytes, values, keys or nesting damaged."""
    (name,) = files
    data = files[name]
    way = rng.random()
    if way < 0.5:
        return {name: spoil(data, rng, TEXT)}
    if way < 0.8:
        lines = data.split(b"\n")
        keyed = [i for i, line in enumerate(lines) if b"=" in line]
        for _ in range(int(rng.integers(1, 4))):
            at = pick(rng, keyed)
            lines[at] = lines[at].split(b"=")[0] + b"= " + _toml_value(rng)
        return {name: b"\n".join(lines)}
    return {name: b"x.y = 1\n" + data + b"\n" + _toml_nested(rng) if rng.random() < 0.3 else _toml_nested(rng) + data}


def _toml_value(rng: Rng) -> bytes:
    plain = (b"true", b"nan", b"inf", b"-inf", b"1979-05-27", b"1979-05-27T07:32:00Z", b"07:32:00", b"{}", b"[]")
    odd = (b'""', b"'''", b"[[]]", b"[1, 'a']", b"{a = 1, a = 2}", b"0x" + b"f" * 5000, b"1" * 5000, b"1e999", b"-1")
    depth = int(pick(rng, DEPTHS))
    deep = (b"[" * depth + b"]" * depth, b"{a=" * depth + b"1" + b"}" * depth, b'"' + b"\\u0000" * 20 + b'"')
    return pick(rng, (*plain, *odd, *deep))


def _toml_nested(rng: Rng) -> bytes:
    depth = int(pick(rng, DEPTHS))
    dotted = b".".join([b"a"] * depth)
    return pick(
        rng,
        (dotted + b" = 1\n", b"[" + dotted + b"]\n", b"[[" + dotted + b"]]\n", b"x = " + _toml_value(rng) + b"\n"),
    )
