"""The scans table as a user writes it: read, checked row by row, and addressed relative to its own place."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from typing import overload

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gc_ray.cohort.table_files.ids import empty_text, with_gaps
from gc_ray.cohort.table_files.read import InputTable, read_table, reading
from gc_ray.errors import TableError
from gc_ray.tables import SCANS

STRETCH = 10_000  # rows turned into Python objects at a time
REQUIRED = ("scan_id", "patient_id", "site", "phase", "image", "mask")
SCHEMES = ("s3://", "file://")
DEFAULTS = {"reader": "R1", "repeat": "0", "roi": "", "series_uid": ""}


@dataclass(frozen=True)
class ScanRow:
    """One row of the scans table: one region of one scan, outlined once.

    image, mask: as the manifest writes them (what messages may show); image_uri, mask_uri: where they are.
    """

    scan_id: str
    reader: str
    repeat: int
    roi: str
    patient_id: str
    site: str
    phase: str
    image: str
    mask: str
    series_uid: str
    image_uri: str
    mask_uri: str

    @property
    def key(self) -> tuple[str, str, int, str]:
        """The scan key: scan_id, reader, repeat, roi."""
        return (self.scan_id, self.reader, self.repeat, self.roi)

    @property
    def key_id(self) -> str:
        """A short digest of the scan key, safe as a part of an object name."""
        return hashlib.sha256("\x1f".join(map(str, self.key)).encode()).hexdigest()[:24]


COLUMNS = pa.schema([(f.name, pa.int32() if f.name == "repeat" else pa.string()) for f in fields(ScanRow)])


@dataclass(frozen=True, eq=False)
class Scans(Sequence[ScanRow]):
    """Rows of the scans table in file order, kept as columns: a million take 200 MB, objects are made when asked for.

    table: the columns of ``COLUMNS``. notes: what the reader of the table decided or left out, for the user.
    """

    table: pa.Table
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, rows: Iterable[ScanRow]) -> Scans:
        """These rows."""
        columns = list(zip(*map(astuple, rows), strict=True)) or [()] * len(COLUMNS)
        return cls(pa.table([pa.array(c, f.type) for c, f in zip(columns, COLUMNS, strict=True)], schema=COLUMNS))

    def __len__(self) -> int:
        return self.table.num_rows

    @overload
    def __getitem__(self, place: int) -> ScanRow: ...

    @overload
    def __getitem__(self, place: slice) -> Scans: ...

    def __getitem__(self, place: int | slice) -> ScanRow | Scans:
        if isinstance(place, slice):
            first, last, _ = place.indices(len(self))
            return Scans(self.table.slice(first, max(last - first, 0)), self.notes)
        return ScanRow(**self.table.slice(range(len(self))[place], 1).to_pylist()[0])

    def __iter__(self) -> Iterator[ScanRow]:
        for part in self.stretches():
            yield from map(ScanRow, *(column.to_pylist() for column in part.table.columns))

    def stretches(self) -> Iterator[Scans]:
        """The rows, so many at a time that their objects are few."""
        return (self[start : start + STRETCH] for start in range(0, len(self), STRETCH))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scans) and self.table.equals(other.table)

    def count(self, column: str) -> dict[str, int]:
        """How many rows there are for each value of a column."""
        return {found["values"]: found["counts"] for found in pc.value_counts(self.table[column]).to_pylist()}


def parse_manifest(data: bytes, name: str, folder: str, encoding: str | None = None) -> Scans:
    """The rows of one manifest, in file order.

    data: the file's bytes, read as ``read_table`` does. folder: the address that relative paths start from. encoding:
    of a table that is neither UTF-8 nor UTF-16. TableError when a column is missing or misspelt, a value is empty or
    of the wrong kind, or a key is doubled.
    """
    table = read_table(data, name, "scans", encoding)
    _check_columns(table)
    frame = table.cells
    for column, default in DEFAULTS.items():
        if column not in frame:
            frame[column] = default
        else:
            frame[column] = with_gaps(frame[column], default)
    frame["repeat"] = frame["repeat"].str.removesuffix(".0")
    if frame.empty:
        raise TableError(f"{name}: wanted at least one scan, the table has no rows")
    _check_values(frame, name)
    with reading(name, "scans"):
        columns = {c.name: pa.array(frame.pop(c.name), pa.string()) for c in SCANS.columns}
    columns |= {"repeat": columns["repeat"].cast(pa.int32())}
    columns |= {f"{name}_uri": _resolve(columns[name], folder) for name in ("image", "mask")}
    return _checked(Scans(pa.table(columns).select(COLUMNS.names).cast(COLUMNS), table.notes), name)


def join_manifests(manifests: list[Scans]) -> Scans:
    """The rows of several manifests (one per site) as one cohort; TableError when two of them share a scan key."""
    if len(manifests) == 1:
        return manifests[0]
    notes = tuple(note for scans in manifests for note in scans.notes)
    return _checked(Scans(pa.concat_tables([scans.table for scans in manifests]), notes), "the manifests together")


def _check_columns(table: InputTable) -> None:
    known, found = [c.name for c in SCANS.columns], list(table.cells.columns)
    for column in found:
        near = difflib.get_close_matches(column.lower(), known, n=1, cutoff=0.75)
        if column not in known and near and near[0] not in found:
            raise TableError(f"{table.name}: unknown column '{column}', did you mean '{near[0]}'? rename it")
    table.require(REQUIRED)


def _check_values(frame: pd.DataFrame, name: str) -> None:
    for column in (*REQUIRED, "reader"):
        if empty := empty_text(frame[column]):
            raise TableError(f"{name}: {empty}; fill it in")
        broken = frame.index[frame[column].str.contains(r"[\x00-\x1f]", regex=True)]
        if len(broken):
            raise TableError(f"{name}: {column} holds a control character in row {broken[0]}; remove it")
    for column in ("image", "mask"):
        _check_places(frame[column], name)
    wrong = frame.index[~frame["repeat"].str.fullmatch(r"\d{1,4}")]
    if len(wrong):
        value = frame["repeat"][wrong[0]]
        raise TableError(f"{name}: repeat must be 0, 1, 2, .., row {wrong[0]} has '{value}'")


def _resolve(text: pa.Array, folder: str) -> pa.Array:
    """Where files are: absolute paths and addresses as they stand, all others below the manifest's folder."""
    placed = pc.or_(pc.match_substring(text, "://"), pc.starts_with(text, "/"))
    here = pc.binary_join_element_wise(folder.rstrip("/"), text, "/") if folder else text
    return pc.if_else(placed, pc.replace_substring_regex(text, "^file://", ""), here)


def _check_places(column: pd.Series, name: str) -> None:
    """Raises TableError for a relative path that climbs out of the manifest's folder, and for other schemes."""
    climbs = column.index[column.str.contains(r"(?:^|[/\\])\.\.(?:[/\\]|$)", regex=True)]
    if len(climbs):
        raise TableError(
            f"{name}: {column.name} of row {climbs[0]} leaves its folder by '..'; write the whole path, or put "
            "the manifest above its scans"
        )
    strange = column.index[column.str.contains("://", regex=False) & ~column.str.startswith(SCHEMES)]
    if len(strange):
        raise TableError(f"{name}: {column.name} of row {strange[0]}: wanted a path, s3:// or file://, no other")


def _checked(scans: Scans, name: str) -> Scans:
    """The rows themselves; TableError when a key occurs twice or the rows of one scan disagree."""
    rows = scans.table
    keys = rows.group_by(list(SCANS.key), use_threads=False).aggregate([([], "count_all")])
    if keys.num_rows < rows.num_rows:
        first = keys.filter(pc.greater(keys["count_all"], 1)).slice(0, 1).to_pylist()[0]
        raise TableError(
            f"{name}: scan {first['scan_id']} reader {first['reader']} repeat {first['repeat']} roi '{first['roi']}' "
            "occurs twice; give each outline its own reader, repeat or roi"
        )
    ids = len(pc.unique(rows["scan_id"]))
    for field in ("patient_id", "site", "phase", "image_uri", "series_uid") if ids < rows.num_rows else ():
        pairs = rows.group_by(["scan_id", field], use_threads=False).aggregate([])
        if pairs.num_rows > ids:
            named = pairs["scan_id"].to_numpy()
            _, places = np.unique(named.astype(str), return_index=True)
            raise TableError(
                f"{name}: rows of scan {np.delete(named, places)[0]} disagree on {field.removesuffix('_uri')}; "
                "one scan is one image of one patient"
            )
    return scans
