"""How large a table may be: checked before memory is taken for what a small file claims to hold."""

from __future__ import annotations

from gc_ray.errors import TableError

MAX_COLUMNS = 10_000  # a clinical table with every image feature beside it has 3,000
MAX_ROWS = 2_000_000  # twice the largest manifest that is planned for; a Parquet file of kilobytes may claim any
MAX_LINES = 20 * MAX_ROWS  # with empty ones, and those inside cells
MAX_ROW_TEXT = 1 << 24  # characters of a row; 10,000 columns of long words have a million
MAX_CELLS = 50_000_000  # 25,000 scans of 2,000 features
MAX_SHEET_CELLS = 10_000_000  # openpyxl takes a minute for 5 million
MAX_TEXT = 512 << 20  # bytes of text out of a compressed file; 3 MB of gzip may hold 3 GB


def check_size(name: str, rows: int, columns: int, cells: int = MAX_CELLS) -> None:
    """Raise TableError when a table has too many columns, rows or cells (at most ``cells``)."""
    for what, found, most in (
        ("columns", columns, MAX_COLUMNS),
        ("rows", rows, MAX_ROWS),
        ("cells", rows * columns, cells),
    ):
        if found > most:
            raise TableError(f"{name}: {found} {what}, wanted at most {most}; is it the right table?")


def check_lines(name: str, lines: int) -> None:
    """Raise TableError when a file has so many lines that most of them hold nothing."""
    if lines > MAX_LINES:
        raise TableError(f"{name}: {lines} lines, wanted at most {MAX_LINES}; take the empty ones away")


def check_row(name: str, size: int) -> None:
    """Raise TableError when a row has too many characters, before its cells are taken apart."""
    if size > MAX_ROW_TEXT:
        raise TableError(
            f"{name}: a row has more than {MAX_ROW_TEXT} characters; is it the right table? If it is, look for a "
            "quotation mark that is not closed"
        )


def check_text(name: str, size: int) -> None:
    """Raise TableError when unpacking would give more than ``MAX_TEXT`` bytes of text."""
    if size > MAX_TEXT:
        raise TableError(
            f"{name}: the file unpacks to more than {MAX_TEXT >> 20} MiB of text; is it the right table? If it is, "
            "save it as a CSV that is not compressed"
        )
