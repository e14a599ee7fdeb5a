"""The folder of a fitted model: weights, tables and, written last, the card that makes it whole."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from gc_ray import sealed
from gc_ray.errors import BundleError
from gc_ray.models.tensors import pack, unpack
from gc_ray.shards import parquet
from gc_ray.store import Store
from gc_ray.study import digest

SCHEMA = 1  # raised when a card or a part changes its form
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Model:
    """What a program hands back, to be kept as ``models/<model_id>/``.

    weights: in CPU memory. facts: what the card says of the model, as JSON types. tables: by file name.
    """

    weights: dict[str, Tensor]
    facts: dict
    tables: dict[str, pa.Table] = field(default_factory=dict)


def model_id(kind: str, identity: dict) -> str:
    """``<kind>-<digest>`` of all that decides a model: settings, data and code version, as JSON types."""
    return f"{kind}-{digest(identity)}"


def read_card(store: Store, name: str) -> dict | None:
    """The card of a model; None when there is no whole model of that name."""
    try:
        return sealed.read(store, f"models/{name}/card.json")
    except FileNotFoundError:
        return None


def write_model(store: Store, name: str, model: Model, card: dict) -> bool:
    """Keep a model under ``name``; False when a whole one is there already, which stays as it is.

    ``card`` is what is known beside the model's own facts. Parts carry a digest in their names, so that two
    runs which train the same model at once cannot mix theirs.
    """
    if read_card(store, name) is not None:
        return False
    parts = {WEIGHTS: pack({"weights": model.weights}, {})}
    parts |= {f"{table}.parquet": parquet(rows) for table, rows in model.tables.items()}
    named = {}
    for part, data in parts.items():
        sha256 = hashlib.sha256(data).hexdigest()
        stem, _, ending = part.rpartition(".")
        named[part] = {"object": f"{stem}-{sha256[:12]}.{ending}", "sha256": sha256}
        store.put(f"models/{name}/{named[part]['object']}", data)
    whole = {"schema": SCHEMA, "model_id": name, **card, "facts": model.facts, "parts": named}
    return sealed.create(store, f"models/{name}/card.json", whole)


def read_model(store: Store, name: str) -> tuple[Model, dict]:
    """(model, card); BundleError when it is not there, of another schema, or a part is missing or changed."""
    card = read_card(store, name)
    if card is None:
        raise BundleError(f"model {name}: wanted models/{name}/card.json in the store, there is none; train it first")
    if card["schema"] != SCHEMA:
        raise BundleError(f"model {name}: wanted schema {SCHEMA}, its card has {card['schema']}; train it again")
    parts = {part: _verified(store, name, part, entry) for part, entry in card["parts"].items()}
    groups, _ = unpack(parts.pop(WEIGHTS))
    tables = {part.removesuffix(".parquet"): pq.read_table(io.BytesIO(data)) for part, data in parts.items()}
    return Model(groups["weights"], card["facts"], tables), card


def _verified(store: Store, name: str, part: str, entry: dict) -> bytes:
    try:
        data = store.get(f"models/{name}/{entry['object']}")
    except FileNotFoundError as error:
        raise BundleError(
            f"model {name}: its part {part} is missing; copy the whole folder, or train again"
        ) from error
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise BundleError(f"model {name}: its part {part} has changed since it was written; train it again")
    return data
