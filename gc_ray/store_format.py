"""The version of a store's layout: set by the first command that writes; a store of version 0.1.0 is taken over.

Format 2 has lists of shards, and a digest for every object. A store without ``format.json`` that holds objects is of
format 1: it is read as version 0.1.0 did, and the first command that writes adds what is missing. Nothing that is
there is changed, and whoever is cut off begins again.
"""

from __future__ import annotations

import json

from gc_ray import sealed, shards
from gc_ray.errors import StoreError
from gc_ray.probe import PROBES, probe
from gc_ray.store import Store

FORMAT = 2
TAKEN_OVER = "taken-over"


def refuse_newer(store: Store) -> int | None:
    """The format of a store, None where it has no ``format.json``.

    Raises
    ------
    StoreError
        The store is of a newer format than this version knows.
    DamagedError
        ``format.json`` does not hold what was written.
    """
    try:
        data = store.get(sealed.FORMAT_NAME)
    except FileNotFoundError:
        return None
    try:
        found = json.loads(data)["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise sealed.damaged(store, sealed.FORMAT_NAME) from error
    if found not in range(1, FORMAT + 1):
        raise StoreError(
            f"store {store.uri}: it is of format {str(found)[:20]}, this version knows up to {FORMAT}; install the "
            "version of gc-ray that wrote it"
        )
    if not sealed.is_sealed(sealed.FORMAT_NAME, data):
        raise sealed.damaged(store, sealed.FORMAT_NAME)
    sealed.taken_over(store)
    return FORMAT


def prepare(store: Store) -> None:
    """Make a store ready to be written: prove what it does, give it its format.

    Every command that writes calls it first. Raises as ``probe`` and ``refuse_newer``.
    """
    probe(store)
    set_format(store)


def set_format(store: Store) -> None:
    """Give a new store its format, and take over one of version 0.1.0. Raises as ``refuse_newer``."""
    if refuse_newer(store) is not None:
        return
    digests = _take_over(store)
    content: dict = {"format": FORMAT}
    if digests:
        content["taken_over"] = f"{TAKEN_OVER}/{sealed.sha256(json.dumps(digests).encode())[:16]}.json"
        sealed.create(store, content["taken_over"], {"digests": digests})
    sealed.create(store, sealed.FORMAT_NAME, content)


def _take_over(store: Store) -> dict[str, str]:
    """SHA-256 by name of every object that holds no digest; a list is made for every folder with shards."""
    names = [entry.key for entry in store.list("") if entry.size]
    for folder in sorted({name.rpartition("/")[0] for name in names if name.rpartition("/")[2].startswith("shard-")}):
        held = shards.listed(store, folder)
        if not held.number:
            shards.advance(store, folder, held, held.rows)
    plain = [name for name in names if sealed.digest_in_name(name) is None and not name.startswith(PROBES)]
    digests = shards.side_by_side(lambda name: _digest(store, name), plain)
    return {name: digest for name, digest in zip(plain, digests, strict=True) if digest}


def _digest(store: Store, name: str) -> str:
    """The SHA-256 of an object without a seal; empty where it has one, is gone, or is JSON that cannot be read."""
    try:
        data = store.get(name)
        if name.endswith(".json"):
            json.loads(data)
    except (FileNotFoundError, ValueError):
        return ""
    return "" if sealed.is_sealed(name, data) else sealed.sha256(data)
