"""A report written to a store so that a reader sees all of it or nothing: create-only, read back, the page last."""

from __future__ import annotations

import hashlib

from gc_ray.errors import StoreError
from gc_ray.report.files import INDEX, PAGE, Report
from gc_ray.store import Store

LAST = (INDEX, PAGE)  # what names the others, in this order; who finds the page finds everything


def publish(report: Report, store: Store, folder: str) -> bool:
    """Write a report below ``folder``; True when this call completed it, False when it was there.

    Running it again after a fault goes on where it stopped; two writers at once write the same bytes. StoreError when
    the store refuses, when what was written reads back changed, or when other content lies under a name.
    """
    top = f"{folder}/{report.report_id}".strip("/")
    if _holds(store, f"{top}/{PAGE}", report.files[PAGE]):
        return False
    parts = sorted(set(report.files) - set(LAST))
    for name in parts:
        store.create(f"{top}/{name}", report.files[name])
    for name in parts:
        _verify(store, f"{top}/{name}", report.files[name])
    new = False
    for name in LAST:
        new = store.create(f"{top}/{name}", report.files[name])
        _verify(store, f"{top}/{name}", report.files[name])
    return new


def _verify(store: Store, key: str, data: bytes) -> None:
    if not _holds(store, key, data):
        raise StoreError(f"store {store.uri}: {key} was written and is gone; run the same command again")


def _holds(store: Store, key: str, data: bytes) -> bool:
    """Whether the store has exactly these bytes; False when it has nothing there."""
    try:
        found = store.get(key)
    except FileNotFoundError:
        return False
    if hashlib.sha256(found).digest() != hashlib.sha256(data).digest():
        raise StoreError(f"store {store.uri}: {key} holds other content; delete that report, or publish elsewhere")
    return True
