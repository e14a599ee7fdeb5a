"""A table of features made elsewhere, brought into a store: from there on it is as if it had been extracted."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from gc_ray import ledger
from gc_ray.cohort.features_table import FeaturesTable, parse_features
from gc_ray.errors import TableError
from gc_ray.patients import several_sites, several_sites_text
from gc_ray.source import parent_of, read_bytes
from gc_ray.store import Store
from gc_ray.study import digest
from gc_ray.tables import SCAN_KEY

CODE = "elsewhere"  # the version of the code that computed: not ours
NOTE = "values made elsewhere, brought in from a table"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Ingested:
    """What was brought in.

    added: rows that are new or whose values changed; changed: the latter alone. gaps: missing values. set_aside:
    columns that are no features. notes: what the reader of the table decided or left out.
    """

    feature_set: str
    rows: int
    features: tuple[str, ...]
    added: int
    gaps: int
    set_aside: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    changed: int = 0


def ingest(features: str, feature_set: str, store: Store, run: str, encoding: str | None = None) -> Ingested:
    """Commit every row of a features table as an outline's result; the same table again adds nothing.

    features: address of a table with patient_id, where they are known scan_id, site, phase, reader, repeat and roi,
    and a number in every other column. run: the run's id; its record is written last. encoding: of a table that is
    neither UTF-8 nor UTF-16. TableError for a table that cannot be read (see ``parse_features``), and for a feature
    set that the store has from another list of features or from extraction.
    """
    name = parent_of(features)[1]
    table = read_features_table(features, encoding)
    keys, values = table.keys, table.values
    if not NAME.fullmatch(feature_set):
        raise TableError(f"feature set {feature_set}: wanted letters, digits, _ . and - only; take another name")
    names = tuple(values.columns)
    settings = {"made": "elsewhere", "names": names}
    settings_hash = digest(settings)
    held = ledger.read_ledger(store).to_pylist()
    _check_other_names(feature_set, {row["feature_set"] for row in held}, name)
    before = {_key(row): row for row in held if row["feature_set"] == feature_set}
    _check_same_patients(keys.to_dict("records"), before, name)
    if any((row["settings_hash"], row["code_version"]) != (settings_hash, CODE) for row in before.values()):
        raise TableError(f"{name}: the store has {feature_set} with other features or from extraction; name another")
    folder = ledger.settings_folder(feature_set, settings_hash)
    store.put(f"{folder}/settings.json", json.dumps({"settings": settings, "names": names}, indent=1).encode())
    added, fresh = 0, sum(_key(key) not in before for key in keys.to_dict("records"))
    for key, row in zip(keys.to_dict("records"), values.to_numpy(), strict=True):
        added += _commit(store, key | {"feature_set": feature_set}, settings_hash, row, names, before)
    ledger.compact(store)
    gaps = int(np.isnan(values.to_numpy()).sum())
    done = Ingested(feature_set, len(keys), names, added, gaps, table.set_aside, table.notes, added - fresh)
    record = {"run": run, "command": "ingest", "exit_code": 0, "table": name, **asdict(done)}
    store.put(f"runs/{run}.json", json.dumps(record, indent=1).encode())
    return done


def _check_other_names(feature_set: str, there: set[str], name: str) -> None:
    """Raises TableError when a set of that name in another case is there: some disks do not tell them apart."""
    other = next((held for held in sorted(there - {feature_set}) if held.casefold() == feature_set.casefold()), None)
    if other is not None:
        raise TableError(
            f"{name}: the store has {other}, which differs from {feature_set} only in case; name another"
        )


def _check_same_patients(keys: list[dict], before: Mapping[tuple, dict], name: str) -> None:
    """Raises TableError when a row would replace that of another patient, or of another site's patient."""
    sites: dict[str, dict[str, str]] = {}
    for key in keys:
        held = before.get(_key(key))
        if held is None:
            continue
        patient = key["patient_id"]
        if held["patient_id"] != patient:
            raise TableError(
                f"{name}: scan {key['scan_id']} is of patient {patient}, in the store it is of patient "
                f"{held['patient_id']}; scan ids must be unique, rename one"
            )
        sites |= several_sites({"the store": [(patient, held["site"])], name: [(patient, key["site"])]})
    if sites:
        raise TableError(f"{several_sites_text(sites)}; these rows would replace those of the store")


def read_features_table(uri: str, encoding: str | None = None) -> FeaturesTable:
    """The features table at an address, a row an outline; TableError as for ``parse_features``."""
    name = parent_of(uri)[1]
    try:
        return parse_features(read_bytes(uri), name, encoding)
    except FileNotFoundError as error:
        raise TableError(f"{name}: wanted a features table, there is no such file; correct --features") from error


def _commit(
    store: Store, identity: dict, settings_hash: str, values: np.ndarray, names: tuple[str, ...], before: dict
) -> bool:
    """Stage and commit one row; False when the store has it with these values."""
    content, old = digest(values.tolist()), before.get(_key(identity))
    if old is not None and old["source_sha256"] == content:
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
