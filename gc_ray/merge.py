"""Stores of several sites joined into one: ledger, features and volumes of the last generation of every outline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass

from gc_ray import ledger, sealed, tables
from gc_ray.errors import StoreError
from gc_ray.feature_rows import names_its_own
from gc_ray.patients import several_sites, several_sites_text
from gc_ray.run_records import write_record
from gc_ray.store import Store
from gc_ray.store_format import prepare, refuse_newer
from gc_ray.untrusted import UntrustedStore, reading
from gc_ray.watch import Watch, unwatched

SAME = ("status", "settings_hash", "code_version", "source_sha256")  # what makes two rows of one key the same result
WHOSE = ("patient_id", "phase")  # what two manifests must say alike of one scan, beside its site


@dataclass(frozen=True)
class Merged:
    """How many ledger rows a merge added, and how many were there before."""

    added: int
    present: int


def merge(
    sources: list[Store], into: Store, shared: bool = False, run: str | None = None, watch: Watch = unwatched
) -> Merged:
    """Copy what ``into`` lacks from ``sources``; running it again adds nothing.

    shared: patients were referred, so that one patient id may be at several sites. run: the run's id; its record is
    written last. watch: as for ``extract``, of the rows that are copied. StoreError, before anything is
    written, when two stores hold different results for one outline, or say different things of whose it is, when they
    computed one feature set with different settings or library versions, or when a patient id is at two sites.
    """
    refuse_newer(into)
    sources = [UntrustedStore(source) for source in sources]
    present = {_key(row): row for row in ledger.read_ledger(into).to_pylist()}
    incoming = [(source, row) for source in sources for row in _rows(source)]
    every = [*((into, row) for row in present.values()), *incoming]
    _check_agreement(every)
    if not shared:
        _check_sites(every)
    fresh = {_key(row): (source, row) for source, row in incoming if _key(row) not in present}
    prepare(into)
    tell = watch(Counter(row["site"] for _, row in fresh.values()))
    for source in sources:
        with reading(source):
            _copy(source, [row for where, row in fresh.values() if where is source], into, tell)
    ledger.compact(into)
    done = Merged(len(fresh), len(present))
    if run:
        commits = [ledger.commit_name(row) for _, row in fresh.values()]
        stores = [source.uri.rstrip("/").rpartition("/")[2] for source in sources]
        write_record(
            into, run, {"run": run, "command": "merge", "exit_code": 0, "stores": stores, **asdict(done)}, commits
        )
    return done


def _rows(source: UntrustedStore) -> list[dict]:
    """The last generation of every ledger row of a store of others."""
    with reading(source):
        known = refuse_newer(source)
        rows = ledger.read_ledger(source).to_pylist()
    if known is None and not rows:  # a typing error would leave out a site without a word
        raise StoreError(f"store {source.uri}: wanted a site's store, nothing is there; correct the address")
    return rows


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


def _copy(source: UntrustedStore, rows: list[dict], into: Store, tell: Callable[[str, str], None]) -> None:
    """Stage the values of some rows under names of their own, then commit the rows: as a worker does."""
    usable = [row for row in rows if row["status"] in ledger.USABLE]
    for row in usable:
        if not names_its_own(row):
            raise StoreError(
                f"store {source.uri}: scan {row['scan_id']} ({row['feature_set']}) names an object outside its own "
                "folder; that store was changed by hand, leave it out"
            )
    for feature_set, settings_hash in sorted({(r["feature_set"], r["settings_hash"]) for r in usable}):
        name = f"{ledger.settings_folder(feature_set, settings_hash)}/settings.json"
        sealed.put(into, name, sealed.read(source, name))
        mine = [row for row in usable if row["feature_set"] == feature_set]
        staged = _volumes(source, mine, into) if feature_set.startswith("volumes/") else _features(source, mine, into)
        for row, name in zip(mine, staged, strict=True):
            row["object"] = name
    for row in rows:  # last, since it is the ledger row that commits
        ledger.commit(into, row if row["status"] in ledger.USABLE else row | {"object": ""})
        tell(row["site"], row["status"])


def _volumes(source: UntrustedStore, rows: list[dict], into: Store) -> list[str]:
    for row in rows:
        into.put(row["object"], sealed.get_whole(source, row["object"]))
    return [row["object"] for row in rows]


def _features(source: UntrustedStore, rows: list[dict], into: Store) -> list[str]:
    found = ledger.read_features_of(source, rows).to_pylist()
    if len(found) < len(rows):
        raise StoreError(
            f"store {source.uri}: the values of {len(rows) - len(found)} {rows[0]['feature_set']} rows are gone or "
            f"damaged; run gc-ray repair {source.uri}, or leave that store out"
        )
    fixed = [column.name for column in tables.RADIOMICS.columns]
    names = []
    for held in found:
        whose = {name: held.pop(name) for name in fixed}
        names.append(ledger.stage_features(into, whose, rows[0]["settings_hash"], held.values()))
    return names


def _key(row: dict) -> tuple:
    return tuple(row[name] for name in ledger.KEY)
