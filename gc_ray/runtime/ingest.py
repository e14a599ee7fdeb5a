"""A table of features made elsewhere, brought into a store: from there on it is as if it had been extracted."""

from __future__ import annotations

import io
import json
import re
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from gc_ray import ledger, sealed
from gc_ray.errors import TableError
from gc_ray.run_records import write_record
from gc_ray.source import parent_of, read_bytes
from gc_ray.store import Store
from gc_ray.store_format import prepare
from gc_ray.study import digest
from gc_ray.tables import SCAN_KEY

CODE = "elsewhere"  # the version of the code that computed: not ours
NOTE = "values made elsewhere, brought in from a table"
GAPS = ("", "NA", "NaN", "nan")  # how tables write that there is no value
NAME = re.compile(r"[A-Za-z0-9_.-]+")
DEFAULTS = {"site": "", "phase": "", "reader": "R1", "repeat": "0", "roi": ""}  # scan_id: the patient_id


@dataclass(frozen=True)
class Ingested:
    """What was brought in. added: rows that are new or whose values changed."""

    feature_set: str
    rows: int
    features: tuple[str, ...]
    added: int
    gaps: int


def ingest(features: str, feature_set: str, store: Store, run: str) -> Ingested:
    """Commit every row of a features table as an outline's result; the same table again adds nothing.

    features: address of a CSV or Parquet table with patient_id, where they are known scan_id, site, phase, reader,
    repeat and roi, and a number in every other column. run: the run's id; its record is written last. TableError for
    a table that cannot be read, a column that holds no numbers, an infinite value, a row that stands twice, and a
    feature set that the store has from another list of features or from extraction.
    """
    name = parent_of(features)[1]
    keys, values = read_features_table(features, name)
    if not NAME.fullmatch(feature_set):
        raise TableError(f"feature set {feature_set}: wanted letters, digits, _ . and - only; take another name")
    prepare(store)
    names = tuple(values.columns)
    settings = {"made": "elsewhere", "names": names}
    settings_hash = digest(settings)
    before = {_key(row): row for row in ledger.read_ledger(store).to_pylist() if row["feature_set"] == feature_set}
    if any((row["settings_hash"], row["code_version"]) != (settings_hash, CODE) for row in before.values()):
        raise TableError(f"{name}: the store has {feature_set} with other features or from extraction; name another")
    folder = ledger.settings_folder(feature_set, settings_hash)
    sealed.put(store, f"{folder}/settings.json", {"settings": settings, "names": names})
    added = 0
    for key, row in zip(keys.to_dict("records"), values.to_numpy(), strict=True):
        added += _commit(store, key | {"feature_set": feature_set}, settings_hash, row, names, before)
    ledger.compact(store)
    done = Ingested(feature_set, len(keys), names, added, int(np.isnan(values.to_numpy()).sum()))
    record = {"run": run, "command": "ingest", "exit_code": 0, "table": name, **asdict(done)}
    write_record(store, run, record)
    return done


def read_features_table(uri: str, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(scan keys with patient_id, site and phase; features as float64, NaN for a gap), a row an outline."""
    frame = _read(uri, name)
    if "patient_id" not in frame:
        raise TableError(f"{name}: wanted a column patient_id, found {', '.join(frame.columns[:5])}, ..; rename one")
    frame["scan_id"] = frame.get("scan_id", frame["patient_id"])
    for column, value in DEFAULTS.items():
        frame[column] = frame.get(column, value)
    fixed = ["patient_id", *SCAN_KEY, "site", "phase"]
    keys, rest = frame[fixed].copy(), frame.drop(columns=fixed)
    if frame.empty or rest.shape[1] == 0:
        raise TableError(f"{name}: wanted rows and at least one feature, got {len(frame)} and {rest.shape[1]}")
    if not keys["repeat"].str.fullmatch(r"\d{1,4}").all() or (keys[["patient_id", "scan_id"]] == "").any(axis=None):
        raise TableError(f"{name}: wanted patient_id and scan_id in every row, and repeat as 0, 1, 2, ..")
    keys["repeat"] = keys["repeat"].astype(int)
    doubled = keys[keys.duplicated(list(SCAN_KEY))]
    if len(doubled):
        raise TableError(
            f"{name}: scan {doubled['scan_id'].iloc[0]} stands twice; give each outline a reader or repeat"
        )
    return keys, pd.DataFrame({column: _numbers(rest[column], name) for column in rest})


def _read(uri: str, name: str) -> pd.DataFrame:
    try:
        data = read_bytes(uri)
        if name.lower().endswith(".parquet"):
            frame = pd.read_parquet(io.BytesIO(data))
            return frame.astype(object).where(frame.notna(), "").astype(str)
        kind = "gzip" if name.lower().endswith(".gz") else None
        # text throughout: a patient 007 keeps the zeros, and float() below rounds each number as it is written
        return pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False, encoding="utf-8-sig", compression=kind)
    except FileNotFoundError as error:
        raise TableError(f"{name}: wanted a features table, there is no such file; mend --features") from error
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise TableError(f"{name}: wanted a CSV or Parquet features table, it cannot be read: {reason}") from error


def _numbers(column: pd.Series, name: str) -> np.ndarray:
    text = column.str.strip()
    try:
        values = text.where(~text.isin(GAPS), "nan").to_numpy(object).astype(float)
    except ValueError as error:
        raise TableError(
            f"{name}: column {column.name} holds text; a feature is a number, drop the column"
        ) from error
    if np.isinf(values).any():
        raise TableError(f"{name}: column {column.name} holds an infinite value; leave the cell empty")
    return values


def _commit(
    store: Store, identity: dict, settings_hash: str, values: np.ndarray, names: tuple[str, ...], before: dict
) -> bool:
    """Stage and commit one row; False when the store has it with these values."""
    content, old = digest(values.tolist()), before.get(_key(identity))
    if old is not None and old["source_sha256"] == content and old["status"] in ledger.USABLE:
        return False
    row = identity | {"generation": old["generation"] + 1 if old else 1}
    gaps = {names[i]: "no value in the table" for i in np.flatnonzero(np.isnan(values))}
    phase = row.pop("phase")
    staged = ledger.stage_features(store, row, settings_hash, values.tolist())
    row |= {"phase": phase, "status": "ok", "stage": "done", "reason": "", "notes": [NOTE], "object": staged}
    row |= {"missing": json.dumps(gaps), "geometry": "{}", "mask_voxels": None, "source_stamp": content}
    row |= {"source_sha256": content, "settings_hash": settings_hash, "code_version": CODE}
    return ledger.commit(store, row | {"seconds": 0.0, "peak_mb": 0.0})


def _key(row: dict) -> tuple:
    return tuple(row[name] for name in SCAN_KEY)
