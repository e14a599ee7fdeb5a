"""The scans table as a user writes it: read, checked row by row, and addressed relative to its own place."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from gc_ray.cohort.table_bytes import check_doubled, open_parquet, read_csv, reading
from gc_ray.errors import TableError
from gc_ray.tables import SCANS

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


def parse_manifest(data: bytes, name: str, folder: str) -> list[ScanRow]:
    """The rows of one manifest, in file order.

    data: the file's bytes, CSV or Parquet by the ending of ``name``. folder: the address that relative paths start
    from. TableError when a column is missing or misspelt, a value is empty or of the wrong kind, or a key is doubled.
    """
    frame = _read_frame(data, name)
    _check_columns(list(frame.columns), name)
    for column, default in DEFAULTS.items():
        if column not in frame:
            frame[column] = default
        elif column in {"reader", "repeat"}:
            frame[column] = frame[column].where(frame[column] != "", default)
    if frame.empty:
        raise TableError(f"{name}: wanted at least one scan, the table has no rows")
    _check_values(frame, name)
    rows = [_row(record, folder) for record in frame[[c.name for c in SCANS.columns]].to_dict("records")]
    _check_keys(rows, name)
    return rows


def join_manifests(manifests: list[list[ScanRow]]) -> list[ScanRow]:
    """The rows of several manifests (one per site) as one cohort; TableError when two of them share a scan key."""
    rows = [row for manifest in manifests for row in manifest]
    _check_keys(rows, "the manifests together" if len(manifests) > 1 else "the manifest")
    return rows


def _read_frame(data: bytes, name: str) -> pd.DataFrame:
    with reading(name, "scans"):
        if name.lower().endswith(".parquet"):
            frame = open_parquet(data, name).read().to_pandas()
            frame = frame.astype(object).where(frame.notna(), "").astype(str)
        else:
            frame = read_csv(data, name)
    check_doubled(frame.columns, name)
    return frame.apply(lambda column: column.str.strip())


def _check_columns(found: list[str], name: str) -> None:
    known = [c.name for c in SCANS.columns]
    for column in found:
        near = difflib.get_close_matches(column.lower(), known, n=1, cutoff=0.75)
        if column not in known and near and near[0] not in found:
            raise TableError(f"{name}: unknown column '{column}', did you mean '{near[0]}'? rename it")
    lost = [c for c in REQUIRED if c not in found]
    if lost:
        raise TableError(f"{name}: column(s) {', '.join(lost)} missing, found {', '.join(map(str, found))}; add them")


def _check_values(frame: pd.DataFrame, name: str) -> None:
    for column in (*REQUIRED, "reader"):
        empty = frame.index[frame[column] == ""]
        if len(empty):
            raise TableError(f"{name}: {column} is empty in {len(empty)} row(s), the first is row {empty[0] + 2}")
        broken = frame.index[frame[column].str.contains(r"[\x00-\x1f]", regex=True)]
        if len(broken):
            raise TableError(f"{name}: {column} holds a control character in row {broken[0] + 2}; remove it")
    for column in ("image", "mask"):
        _check_places(frame[column], name)
    wrong = frame.index[~frame["repeat"].str.fullmatch(r"\d{1,4}")]
    if len(wrong):
        value = frame["repeat"][wrong[0]]
        raise TableError(f"{name}: repeat must be 0, 1, 2, .., row {wrong[0] + 2} has '{value}'")


def _check_places(column: pd.Series, name: str) -> None:
    """Raises TableError for a relative path that climbs out of the manifest's folder, and for other schemes."""
    climbs = column.index[column.str.contains(r"(?:^|[/\\])\.\.(?:[/\\]|$)", regex=True)]
    if len(climbs):
        raise TableError(
            f"{name}: {column.name} of row {climbs[0] + 2} leaves its folder by '..'; write the whole path, or put "
            "the manifest above its scans"
        )
    strange = column.index[column.str.contains("://", regex=False) & ~column.str.startswith(SCHEMES)]
    if len(strange):
        raise TableError(f"{name}: {column.name} of row {strange[0] + 2}: wanted a path, s3:// or file://, no other")


def _row(record: dict, folder: str) -> ScanRow:
    record["repeat"] = int(record["repeat"])
    return ScanRow(**record, image_uri=_resolve(record["image"], folder), mask_uri=_resolve(record["mask"], folder))


def _resolve(text: str, folder: str) -> str:
    if "://" in text or PurePosixPath(text).is_absolute():
        return text.removeprefix("file://")
    return f"{folder.rstrip('/')}/{text}" if folder else text


def _check_keys(rows: list[ScanRow], name: str) -> None:
    seen: dict[tuple, ScanRow] = {}
    scans: dict[str, ScanRow] = {}
    for row in rows:
        if row.key in seen:
            raise TableError(
                f"{name}: scan {row.scan_id} reader {row.reader} repeat {row.repeat} roi '{row.roi}' stands twice; "
                "give each outline its own reader, repeat or roi"
            )
        seen[row.key] = row
        first = scans.setdefault(row.scan_id, row)
        for field in ("patient_id", "site", "phase", "image_uri", "series_uid"):
            if getattr(first, field) != getattr(row, field):
                raise TableError(
                    f"{name}: rows of scan {row.scan_id} disagree on {field.removesuffix('_uri')}; "
                    "one scan is one image of one patient"
                )
