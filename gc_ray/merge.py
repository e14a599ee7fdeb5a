"""Stores of several sites joined into one: ledger, features and volumes of the last generation of every outline."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from gc_ray import ledger
from gc_ray.errors import StoreError
from gc_ray.patients import several_sites, several_sites_text
from gc_ray.store import Store

SAME = ("status", "settings_hash", "code_version", "source_sha256")  # what makes two rows of one key the same result
WHOSE = ("patient_id", "phase")  # what two manifests must say alike of one scan, beside its site


@dataclass(frozen=True)
class Merged:
    """How many ledger rows a merge added, and how many were there before."""

    added: int
    present: int


def merge(sources: list[Store], into: Store, shared: bool = False) -> Merged:
    """Copy what ``into`` lacks from ``sources``; running it again adds nothing.

    shared: patients were referred, so that one patient id may be at several sites. StoreError, before anything is
    written, when two stores hold different results for one outline, or say different things of whose it is, when they
    computed one feature set with different settings or library versions, or when a patient id is at two sites.
    """
    present = {_key(row): row for row in ledger.read_ledger(into).to_pylist()}
    incoming = [(source, row) for source in sources for row in ledger.read_ledger(source).to_pylist()]
    every = [*((into, row) for row in present.values()), *incoming]
    _check_agreement(every)
    if not shared:
        _check_sites(every)
    fresh = {_key(row): (source, row) for source, row in incoming if _key(row) not in present}
    for source in sources:
        _copy(source, [row for where, row in fresh.values() if where is source], into)
    ledger.compact(into)
    return Merged(len(fresh), len(present))


def _check_agreement(rows: list[tuple[Store, dict]]) -> None:
    results: dict[tuple, tuple[Store, dict]] = {}
    recipes: dict[str, tuple[Store, dict]] = {}
    for store, row in rows:
        other, before = results.setdefault(_key(row), (store, row))
        if any(row[name] != before[name] for name in SAME):
            raise StoreError(
                f"scan {row['scan_id']} reader {row['reader']} ({row['feature_set']}) has different results in "
                f"{other.uri} and {store.uri}; scan ids must be unique over sites"
            )
        for name in WHOSE:
            if row[name] != before[name]:
                raise StoreError(
                    f"scan {row['scan_id']} reader {row['reader']} ({row['feature_set']}) has {name} "
                    f"'{before[name]}' in {other.uri} and '{row[name]}' in {store.uri}; correct one manifest, and "
                    "extract it again"
                )
        other, before = recipes.setdefault(row["feature_set"], (store, row))
        if any(row[name] != before[name] for name in ("settings_hash", "code_version")):
            raise StoreError(
                f"feature set {row['feature_set']} was computed with different settings or library versions in "
                f"{other.uri} and {store.uri}; extract one of them again"
            )


def _check_sites(rows: list[tuple[Store, dict]]) -> None:
    pairs: dict[str, set[tuple[str, str]]] = {}
    for store, row in rows:
        pairs.setdefault(f"store {store.uri}", set()).add((row["patient_id"], row["site"]))
    if text := several_sites_text(several_sites({name: sorted(of) for name, of in pairs.items()})):
        raise StoreError(f"{text} in a study file and name it by --study")


def _copy(source: Store, rows: list[dict], into: Store) -> None:
    usable = [row for row in rows if row["status"] in ledger.USABLE]
    for feature_set, settings_hash in sorted({(r["feature_set"], r["settings_hash"]) for r in usable}):
        folder = ledger.settings_folder(feature_set, settings_hash)
        into.put(f"{folder}/settings.json", source.get(f"{folder}/settings.json"))
        mine = [row for row in usable if row["feature_set"] == feature_set]
        if feature_set.startswith("volumes/"):
            for row in mine:
                into.put(row["object"], source.get(row["object"]))
        else:
            ledger.add_features(
                into, folder, _rows_of(ledger.read_features(source, feature_set, settings_hash), mine)
            )
    for row in rows:  # last, since it is the ledger row that commits
        ledger.commit(into, row)


def _rows_of(features: pa.Table, rows: list[dict]) -> pa.Table:
    wanted = {_key(row) for row in rows}
    keep = [_key(r) in wanted for r in features.select([*ledger.KEY]).to_pylist()]
    return features.filter(pa.array(keep, pa.bool_()))


def _key(row: dict) -> tuple:
    return tuple(row[name] for name in ledger.KEY)
