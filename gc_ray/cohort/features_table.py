"""A table of features made elsewhere: whose row it is, numbers, and what of its columns is no feature."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gc_ray.cohort.findings import some
from gc_ray.cohort.table_files.cells import number
from gc_ray.cohort.table_files.columns import counts_rows
from gc_ray.cohort.table_files.ids import empty_text, with_gaps
from gc_ray.cohort.table_files.read import ID_NAMES, InputTable, plain, read_table
from gc_ray.errors import TableError, one_line
from gc_ray.patients import several_sites, several_sites_text
from gc_ray.tables import SCAN_KEY

DEFAULTS = {"site": "", "phase": "", "reader": "R1", "repeat": "0", "roi": ""}  # scan_id: the patient_id
KEYS = ("patient_id", *SCAN_KEY, "site", "phase")
# what PyRadiomics' batch table says of the run, not of the image; Label is the number of the mask's region
NO_FEATURES = ("image", "mask", "label", "label_channel")
DIAGNOSTICS = ("diagnostics_", "general_info_")
OTHER_IDS = (*ID_NAMES, "name", "patientname", "accession", "accessionnumber", "seriesuid", "seriesinstanceuid")
OTHER_IDS += ("studyuid", "studyinstanceuid", "sopinstanceuid", "姓名")
AGAIN = re.compile(r"(patient|scan|case|subject|series|study)_?(id|uid)[._ ]*(\d+|[xy])", re.IGNORECASE)
ROW_NUMBERS = ("n", "num", "number")  # when they rise, or each stands once from the first to the last
CASE_NUMBERS = ("no", "nr", "obs", "observation", "column1", "")  # when all differ; the last: signs alone, as #
INDEX = ("index", "idx", "row", "rowid", "rownumber", "rowno", "serial", "serialno", "serialnumber", "序号")
INDEX += ("sno", "srno", "slno", "lfdnr", "caseno", "casenumber")
COUNTED = 10  # rows from which a column that counts them is a row number, whatever its name
R_ROW_NUMBERS = re.compile(r"X(\.\d+)?")  # what R calls the column of row names when it reads its own table again


@dataclass(frozen=True, eq=False)
class FeaturesTable:
    """A table of features, a row for each outline.

    Attributes
    ----------
    keys : pd.DataFrame
        patient_id, scan_id, reader, repeat (int), roi, site and phase.
    values : pd.DataFrame
        The features, float64, NaN for a gap.
    set_aside : tuple of str
        Columns that are no features.
    notes : tuple of str
        What the reader decided or left out, for the user.
    """

    keys: pd.DataFrame
    values: pd.DataFrame
    set_aside: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def parse_features(data: bytes, name: str, encoding: str | None = None) -> FeaturesTable:
    """The rows of a features table, in file order.

    Parameters
    ----------
    data : bytes
        The file, read as ``read_table`` does: patient_id, where they are known scan_id, site, phase, reader, repeat
        and roi, and a number in every other column.
    name : str
        The file's name, for messages.
    encoding : str, optional
        Of a table that is neither UTF-8 nor UTF-16.

    Raises
    ------
    TableError
        The table cannot be read, a cell is no number, an id is missing, an outline has two rows, or a row is short.
    """
    table = read_table(data, name, "features", encoding, lambda column: column not in KEYS)
    table.require(("patient_id",))
    _check_spelling(table)
    if table.short:
        raise TableError(
            f"{name}: row {table.short[0]} has fewer cells than the header ({len(table.short)} row(s) have); give "
            "each feature a cell in every row, empty where there is no value"
        )
    frame = table.cells
    aside = tuple(column for column in frame if column not in KEYS and _is_no_feature(column, frame[column]))
    names = [column for column in frame if column not in KEYS and column not in aside]
    if frame.empty or not names:
        raise TableError(f"{name}: wanted rows and at least one feature, got {len(frame)} and {len(names)}")
    keys = _keys(frame, name)
    values = pd.DataFrame({column: _numbers(frame[column], table) for column in names})
    notes = [one_line(f"{name}: {note}") for note in _notes(aside, frame, names)]
    return FeaturesTable(keys, values, aside, (*table.notes, *notes))


def _check_spelling(table: InputTable) -> None:
    """Raise TableError for a column of the scan key that is spelt otherwise: it would be taken for a feature."""
    wanted = {plain(key): key for key in KEYS}
    for column in table.cells:
        key = wanted.get(plain(column))
        if key is not None and key not in table.cells:
            raise TableError(f"{table.name}: unknown column '{column}', did you mean '{key}'? rename it")


def _is_no_feature(column: str, cells: pd.Series) -> bool:
    lower, letters = column.casefold(), plain(column)
    if (
        lower in NO_FEATURES
        or any(word in lower for word in DIAGNOSTICS)
        or letters in OTHER_IDS
        or AGAIN.fullmatch(column)
    ):
        return True
    if letters in map(plain, KEYS):  # a second column of the scan key, spelt otherwise
        return True
    if letters in INDEX:  # in any order, and doubled where tables were put together
        return _are_whole(cells)
    if letters in CASE_NUMBERS and not cells.duplicated().any():
        return _are_whole(cells)
    if len(cells) >= COUNTED and counts_rows(_whole(cells)):
        return True
    return bool(letters in ROW_NUMBERS or R_ROW_NUMBERS.fullmatch(column)) and _numbers_rows(cells)


def _are_whole(cells: pd.Series) -> bool:
    return bool(cells.str.fullmatch(r"\d{1,9}(\.0*)?").all())


def _whole(cells: pd.Series) -> pa.ChunkedArray:
    """The cells with whole numbers written without a decimal point."""
    return pc.cast(cells.str.replace(r"^(\d+)\.0*$", r"\1", regex=True).array._pa_array, "string")


def _numbers_rows(cells: pd.Series) -> bool:
    """Whether a column holds whole numbers that rise, or each of 0..n-1 or 1..n once."""
    if not cells.str.fullmatch(r"\d{1,9}").all():
        return False
    numbers = cells.astype("int64").to_numpy()
    if len(numbers) < 2:
        return bool((numbers <= 1).all())
    ordered = np.sort(numbers)
    return bool((np.diff(numbers) > 0).all() or (ordered[0] in (0, 1) and (np.diff(ordered) == 1).all()))


def _keys(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    keys = pd.DataFrame({"patient_id": frame["patient_id"], "scan_id": frame.get("scan_id", frame["patient_id"])})
    for column, default in DEFAULTS.items():
        cells = frame[column] if column in frame else pd.Series(default, index=frame.index)
        keys[column] = with_gaps(cells, default)
    keys["repeat"] = keys["repeat"].str.removesuffix(".0")
    for column in ("patient_id", "scan_id"):
        if empty := empty_text(keys[column]):
            raise TableError(f"{name}: {empty}; fill it in")
    if (odd := keys.index[~keys["repeat"].str.fullmatch(r"\d{1,4}")]).size:
        raise TableError(f"{name}: repeat must be 0, 1, 2, .., row {odd[0]} has '{keys['repeat'][odd[0]]}'")
    keys = keys[list(KEYS)].astype(object).astype({"repeat": int})
    doubled = keys[keys.duplicated(list(SCAN_KEY), keep=False)]
    if len(doubled):
        if sites := several_sites({name: zip(doubled["patient_id"], doubled["site"], strict=True)}):
            raise TableError(several_sites_text(sites))  # another reader or repeat would make two patients one
        first = doubled.iloc[0]
        rows = doubled.index[(doubled[list(SCAN_KEY)] == first[list(SCAN_KEY)]).all(axis="columns")]
        raise TableError(
            f"{name}: scan {first['scan_id']} occurs twice (rows {rows[0]} and {rows[1]}); give each outline its own "
            "reader, repeat or roi"
        )
    return keys.reset_index(drop=True)


def _numbers(cells: pd.Series, table: InputTable) -> np.ndarray:
    """The cells as float64, NaN for a gap; TableError names the first that is neither."""
    values = np.empty(len(cells))
    for i, text in enumerate(cells.array._pa_array.to_pylist()):
        try:
            values[i] = number(text)
        except ValueError as error:
            raise TableError(
                f"{table.name}: {table.place(cells.index[i], cells.name)}: wanted a number, got '{some([text])}'; "
                f"{_advice(text)}"
            ) from error
    return values


def _advice(text: str) -> str:
    if re.search(r"\d,\d", text):
        return "write a decimal point, and no sign between thousands"
    return "leave the cell empty where there is no value, or drop a column that is no feature"


def _notes(aside: tuple[str, ...], frame: pd.DataFrame, names: list[str]) -> list[str]:
    notes = [f"{len(aside)} column(s) are no features and are set aside: {', '.join(aside)}"] if aside else []
    counting = [c for c in names if len(frame) > 2 and counts_rows(_whole(frame[c]))]
    return notes + [
        f"column {column} counts the rows; if it is a row number and no feature, drop it" for column in counting
    ]
