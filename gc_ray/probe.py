"""What a store must be able to do is tried before any work: a run on one that cannot would lose results."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from dataclasses import replace
from pathlib import Path

from gc_ray.errors import StoreError
from gc_ray.store import FIRST_S, LocalStore, S3Store, Store

PROBES = "runs/probe-"  # the objects that are written and deleted again
FREE_BYTES = 100_000_000  # below this a run is not begun on a local disk


def probe(store: Store) -> None:
    """Prove that the store keeps what it is given, creates an object once, lists it and deletes it.

    Raises
    ------
    StoreError
        In one line with the fix: no right to write, too little free space, no hard links, a server that replaces an
        object that was to be created once, a listing that does not show what was written, a delete without effect.
    """
    if isinstance(store, S3Store):
        store = replace(store, patience_s=FIRST_S)
    key = f"{PROBES}{secrets.token_hex(8)}"
    try:
        _try_out(store, key)
    except BaseException:
        with contextlib.suppress(StoreError):  # what went wrong before is what the user has to know
            store.delete(key)
        raise
    store.delete(key)
    with contextlib.suppress(FileNotFoundError):
        store.get(key)
        raise _unfit(store, "an object that was deleted is still there", "deletes; check for a retention rule")


def store_time(store: Store) -> float:
    """The present time by the clock that gives the store's objects their times, seconds since 1970.

    Raises
    ------
    StoreError
        The store cannot be written, or does not list what was written.
    """
    key = f"{PROBES}{secrets.token_hex(8)}"
    store.create(key, b"probe")
    try:
        (entry,) = store.list(key)
    except ValueError as error:
        raise _unfit(store, "an object that was written is not listed", "listings that show every write") from error
    finally:
        store.delete(key)
    return entry.modified


def _try_out(store: Store, key: str) -> None:
    """Create an object twice, read and list it."""
    store.create(key, b"probe")
    if isinstance(store, LocalStore):
        _check_space(store.root)
    if store.create(key, b"again") or store.get(key) != b"probe":
        raise _unfit(store, "an object that was created once was replaced", "If-None-Match, and every write of it")
    if store.head(key, 1) != b"p" or [entry.key for entry in store.list(key)] != [key]:
        raise _unfit(store, "an object that was written is not listed", "listings that show every write")


def _check_space(root: str) -> None:
    free = shutil.disk_usage(Path(root)).free
    if free < FREE_BYTES:
        raise StoreError(
            f"store {root}: {free / 1e6:.0f} MB are free on its disk, wanted at least {FREE_BYTES / 1e6:.0f} MB; "
            "free some, or use another disk"
        )


def _unfit(store: Store, what: str, wanted: str) -> StoreError:
    return StoreError(f"store {store.uri}: {what}; results would be lost: use a server or disk that honours {wanted}")
