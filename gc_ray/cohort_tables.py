"""A study's clinical table, splits and flow in the store: written once, whole, and never replaced.

Each part lies under a name that holds the digest of its content; the card, created last, names the parts and commits
them. Whoever reads checks the parts against the card.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, replace

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gc_ray import sealed, tables
from gc_ray.errors import DamagedError, TableError
from gc_ray.shards import parquet
from gc_ray.store import Store

PARTS = ("clinical", "splits", "flow", "coding")


@dataclass(frozen=True)
class CohortTables:
    """One study's split: the tables, and how each clinical column is coded (JSON types, by column name)."""

    clinical: pa.Table
    splits: pa.Table
    flow: pa.Table
    coding: dict


def clinical_table(types: dict[str, pa.DataType], units: dict[str, str]) -> tables.Table:
    """The contract of a clinical table whose columns a study file declares."""
    declared = tuple(tables.Column(name, kind, units.get(name, ""), null=True) for name, kind in types.items())
    return replace(tables.CLINICAL, columns=(*tables.CLINICAL.columns, *declared))


def store_cohort(store: Store, study_id: str, cohort: CohortTables) -> tuple[str, bool]:
    """Store a split under a study's name: (its hash, whether it is new there).

    TableError that names the first difference when the store holds another split under that name.
    """
    card = {"study_id": study_id, "parts": {part: _digest(getattr(cohort, part)) for part in PARTS}}
    card["hash"] = _digest(card["parts"])
    try:
        held = _card(store, study_id)
    except FileNotFoundError:
        for part in PARTS:
            content = getattr(cohort, part)
            store.create(part_name(card, part), _bytes(content))
        names = [part_name(card, part) for part in PARTS]
        card["objects"] = {name: sealed.sha256(store.get(name)) for name in names}
        if sealed.create(store, _card_name(study_id), card):
            return card["hash"], True
        held = _card(store, study_id)
    if held["hash"] != card["hash"]:
        raise TableError(
            f"store {store.uri}: study {study_id} is split already, and not like this: "
            f"{_difference(_read(store, held), cohort)}; a split is never replaced, so set another name "
            "(--set name=..) or another store"
        )
    return card["hash"], False


def split_hash(store: Store, study_id: str) -> str:
    """The hash of a study's split; TableError when there is none."""
    return _committed(store, study_id)["hash"]


def read_splits(store: Store, study_id: str) -> pa.Table:
    """The splits table of a study, sorted by patient; TableError when there is none or it was changed."""
    return _part(store, _committed(store, study_id), "splits")


def read_flow(store: Store, study_id: str) -> pa.Table:
    """The flow table of a study in its order; TableError as for ``read_splits``."""
    return _part(store, _committed(store, study_id), "flow")


def read_coding(store: Store, study_id: str) -> dict:
    """How each clinical column enters a model, by column name; TableError as for ``read_splits``."""
    return _part(store, _committed(store, study_id), "coding")


def read_clinical(store: Store, study_id: str) -> pd.DataFrame:
    """The checked clinical table of a study, sorted by patient_id; TableError as for ``read_splits``.

    0/1 columns and numbers are float64 with NaN, levels are text with None, dates are datetime64.
    """
    found = _part(store, _committed(store, study_id), "clinical")
    return pd.DataFrame({name: _to_pandas(found.column(name)) for name in found.column_names})


def _to_pandas(column: pa.ChunkedArray) -> pd.Series:
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return column.cast(pa.float64()).to_pandas()
    return column.to_pandas(date_as_object=False)


def _committed(store: Store, study_id: str) -> dict:
    try:
        return _card(store, study_id)
    except FileNotFoundError as error:
        raise TableError(
            f"store {store.uri}: study {study_id} has no split; run gc-ray split for it first"
        ) from error


def _card(store: Store, study_id: str) -> dict:
    return sealed.read(store, _card_name(study_id))


def _card_name(study_id: str) -> str:
    return f"splits/{study_id}/card.json"


def part_name(card: dict, part: str) -> str:
    """The object of one of ``PARTS`` of a split."""
    table, ending = ("clinical", "json") if part == "coding" else (part, "parquet")
    return f"{table}/{card['study_id']}/{part}-{card['parts'][part]}.{ending}"


def _read(store: Store, card: dict) -> CohortTables:
    return CohortTables(**{part: _part(store, card, part) for part in PARTS})


def _part(store: Store, card: dict, part: str) -> pa.Table | dict:
    name = part_name(card, part)
    try:
        data = sealed.get_listed(store, name, card.get("objects"))
    except FileNotFoundError as error:
        raise TableError(f"store {store.uri}: {name} is gone; restore it, or split into another store") from error
    except DamagedError as error:
        raise TableError(f"store {store.uri}: {name} was changed after it was stored; restore it") from error
    try:
        content = json.loads(data) if part == "coding" else pq.read_table(io.BytesIO(data))
    except (ValueError, OSError) as error:
        raise TableError(f"store {store.uri}: {name} cannot be read; restore it") from error
    if _digest(content) != card["parts"][part]:
        raise TableError(f"store {store.uri}: {name} was changed after it was stored; restore it")
    return content


def _digest(content: pa.Table | dict) -> str:
    """A digest of what is said, whatever wrote the bytes: Parquet files differ between versions of pyarrow."""
    if isinstance(content, pa.Table):
        types = {field.name: str(field.type) for field in content.schema}
        content = {"types": types, "rows": content.to_pylist()}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _bytes(content: pa.Table | dict) -> bytes:
    if isinstance(content, dict):
        return json.dumps(content, indent=1).encode()
    return parquet(content)


def _difference(held: CohortTables, asked: CohortTables) -> str:
    """The first thing that differs, clinical values before what follows from them; names columns, never values."""
    if held.coding != asked.coding:
        return f"coding of column {_first_different(held.coding, asked.coding)}"
    for part, key in (("clinical", "patient_id"), ("splits", "patient_id"), ("flow", "step")):
        before, now = getattr(held, part).to_pylist(), getattr(asked, part).to_pylist()
        rows, new = {row[key]: row for row in before}, {row[key]: row for row in now}
        if (name := _first_different(rows, new)) is not None:
            if name not in rows or name not in new:
                return f"{part}: {name} is {'missing there' if name not in rows else 'there and not in this table'}"
            return f"{part}: {name} differs in {_first_different(rows[name], new[name])}"
    return "order of rows"


def _first_different(a: dict, b: dict) -> str | None:
    return next((name for name in sorted({*a, *b}) if a.get(name, a) != b.get(name, b)), None)
