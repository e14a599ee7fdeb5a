"""A table of features made elsewhere, brought into a store: from there on it is as if it had been extracted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import pandas as pd

from gc_ray import ledger
from gc_ray.cohort.features_table import FeaturesTable, parse_features
from gc_ray.errors import TableError
from gc_ray.names import check_name
from gc_ray.patients import several_sites, several_sites_text
from gc_ray.run_records import write_record
from gc_ray.runtime.features_facts import features_facts
from gc_ray.runtime.made_elsewhere import commit_table, held_rows, key_of
from gc_ray.source import parent_of, read_bytes
from gc_ray.store import Store
from gc_ray.store_format import prepare, refuse_newer
from gc_ray.watch import Watch, unwatched


@dataclass(frozen=True)
class Ingested:
    """What was brought in.

    added: rows that are new or whose values changed; changed: the latter alone. gaps: missing values. set_aside:
    columns that are no features. notes: what the reader of the table decided or left out, and what is worth knowing
    of the values.
    """

    feature_set: str
    rows: int
    features: tuple[str, ...]
    added: int
    gaps: int
    set_aside: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    changed: int = 0


def ingest(
    features: str, feature_set: str, store: Store, run: str, encoding: str | None = None, watch: Watch = unwatched
) -> Ingested:
    """Commit every row of a features table as an outline's result; the same table again adds nothing.

    features: address of a table with patient_id, where they are known scan_id, site, phase, reader, repeat and roi,
    and a number in every other column. run: the run's id; its record is written last. encoding: of a table that is
    neither UTF-8 nor UTF-16. watch: as for ``extract``. TableError for a table that cannot be read (see
    ``parse_features``), and for a feature set that the store has from another list of features or from extraction.
    """
    name = parent_of(features)[1]
    table = read_features_table(features, encoding)
    check_name(feature_set, "feature set")
    refuse_newer(store)
    _check_other_names(feature_set, store, name)
    held = held_rows(store, feature_set)
    _check_same_sites(table.keys, held, name)
    prepare(store)
    before = ledger.read_ledger(store, ())
    tell = watch(Counter(table.keys["site"]))
    done = commit_table(store, feature_set, table.keys, table.values, held, name, tell=tell)
    ledger.compact(store)
    facts = features_facts(table.keys, table.values)
    counts = (facts.rows, facts.features, done.new + done.changed, sum(facts.gaps.values()))
    ingested = Ingested(feature_set, *counts, table.set_aside, (*table.notes, *facts.notes()), done.changed)
    record = {"run": run, "command": "ingest", "exit_code": 0, "table": name, **asdict(ingested)}
    write_record(store, run, record, ledger.commits_since(store, before))
    return ingested


def _check_other_names(feature_set: str, store: Store, name: str) -> None:
    """Raises TableError when a set of that name in another case is there: some disks do not tell them apart."""
    there = set(ledger.read_ledger(store, ())["feature_set"].to_pylist()) - {feature_set}
    other = next((held for held in sorted(there) if held.casefold() == feature_set.casefold()), None)
    if other is not None:
        raise TableError(
            f"{name}: the store has {other}, which differs from {feature_set} only in case; name another"
        )


def _check_same_sites(keys: pd.DataFrame, held: Mapping[tuple, dict], name: str) -> None:
    """Raises TableError when a row would replace that of another site's patient of the same number."""
    sites: dict[str, dict[str, str]] = {}
    for key in keys.to_dict("records"):
        patient, before = key["patient_id"], held.get(key_of(key))
        if before is not None and before["patient_id"] == patient:
            sites |= several_sites({"the store": [(patient, before["site"])], name: [(patient, key["site"])]})
    if sites:
        raise TableError(f"{several_sites_text(sites)}; these rows would replace those of the store")


def read_features_table(uri: str, encoding: str | None = None) -> FeaturesTable:
    """The features table at an address, a row an outline; TableError as for ``parse_features``."""
    name = parent_of(uri)[1]
    try:
        return parse_features(read_bytes(uri), name, encoding)
    except FileNotFoundError as error:
        raise TableError(f"{name}: wanted a features table, there is no such file; correct --features") from error
