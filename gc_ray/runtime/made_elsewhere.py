"""Features made elsewhere, as the store holds them: committed row by row, and known as such ever after."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from gc_ray import ledger, sealed
from gc_ray.errors import TableError
from gc_ray.models.provenance import made_elsewhere_text
from gc_ray.store import Store
from gc_ray.study import digest
from gc_ray.tables import SCAN_KEY

CODE = "elsewhere"  # the version of the code that computed: not ours
THREADS = 16  # rows committed side by side; writing them through to the disk is what they cost
NOTE = "values made elsewhere, brought in from a table"


@dataclass(frozen=True)
class MadeElsewhere:
    """What is known of a set of features that this software did not compute.

    Attributes
    ----------
    name : str
        The feature set in the store.
    features : int
        How many features it has.
    settings : str
        Digest of their names in order: all that there is to tell one such set from another.
    """

    name: str
    features: int
    settings: str

    @property
    def statement(self) -> str:
        """The sentence that cards and reports carry."""
        return made_elsewhere_text(self.name, self.features, self.settings)

    def to_dict(self) -> dict:
        """As JSON types, for a card."""
        return {"made": "elsewhere", **asdict(self)}


def made_elsewhere(store: Store, folder: str) -> MadeElsewhere | None:
    """What the store says of a folder of features (``ledger.settings_folder``); None for features computed here."""
    said = sealed.read(store, f"{folder}/settings.json")
    if not isinstance(said.get("settings"), dict) or said["settings"].get("made") != "elsewhere":
        return None
    _, name, settings_hash = folder.rsplit("/", 2)
    return MadeElsewhere(name, len(said["names"]), settings_hash)


@dataclass(frozen=True)
class Committed:
    """How many rows of a table are new in the store, and how many have other values than before."""

    new: int
    changed: int


def held_rows(store: Store, feature_set: str) -> dict[tuple, dict]:
    """The ledger rows of a feature set, by scan key."""
    rows = ledger.read_ledger(store)
    rows = rows.filter(pc.equal(rows["feature_set"], feature_set)).to_pylist()
    return {key_of(row): row for row in rows}


def key_of(row: dict) -> tuple:
    """The scan key of a row."""
    return tuple(row[name] for name in SCAN_KEY)


def commit_table(
    store: Store,
    feature_set: str,
    keys: pd.DataFrame,
    values: pd.DataFrame,
    held: dict[tuple, dict],
    table: str,
    *,
    tell: Callable[[str, str], None] = lambda site, status: None,
) -> Committed:
    """Commit each row of a features table as an outline's result; one whose values the store has already is not.

    Parameters
    ----------
    store : Store
    feature_set : str
        Name of the features in the store.
    keys : DataFrame
        scan_id, reader, repeat, roi, patient_id, site and phase of each row.
    values : DataFrame
        The features of the same rows, float64, NaN for a gap.
    held : dict
        What the store has of the feature set (``held_rows``).
    table : str
        Name of the table's file, for messages.
    tell : callable, optional
        Called with site and status of each row, as it comes.

    Raises
    ------
    TableError
        When the store holds the feature set with other features or from extraction, or a row would replace that of
        another patient.
    """
    names = tuple(values.columns)
    settings = {"made": "elsewhere", "names": names}
    settings_hash = digest(settings)
    _check_same_patients(keys.to_dict("records"), held, table)
    if any((row["settings_hash"], row["code_version"]) != (settings_hash, CODE) for row in held.values()):
        raise TableError(f"{table}: the store has {feature_set} with other features or from extraction; name another")
    folder = ledger.settings_folder(feature_set, settings_hash)
    sealed.put(store, f"{folder}/settings.json", {"settings": settings, "names": list(names)})

    def place(key: dict, row: np.ndarray) -> bool:
        return _commit(store, key | {"feature_set": feature_set}, settings_hash, (names, row), held.get(key_of(key)))

    rows = keys.to_dict("records")
    with ThreadPoolExecutor(THREADS) as pool:
        committed = []
        for key, done in zip(rows, pool.map(place, rows, values.to_numpy()), strict=True):
            committed.append(done)
            tell(key["site"], "ok" if done else "unchanged")
    changed = sum(done and key_of(key) in held for key, done in zip(rows, committed, strict=True))
    return Committed(sum(committed) - changed, changed)


def _check_same_patients(keys: list[dict], held: dict[tuple, dict], table: str) -> None:
    """Raises TableError when a row would replace that of another patient."""
    for key in keys:
        before = held.get(key_of(key))
        if before is not None and before["patient_id"] != key["patient_id"]:
            raise TableError(
                f"{table}: scan {key['scan_id']} is of patient {key['patient_id']}, in the store it is of patient "
                f"{before['patient_id']}; scan ids must be unique, rename one"
            )


def _commit(
    store: Store, identity: dict, settings_hash: str, features: tuple[tuple[str, ...], np.ndarray], old: dict | None
) -> bool:
    """Stage and commit one row; False when the store has it, as the ledger row ``old``, with these values."""
    names, values = features
    content = digest(values.tolist())
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
