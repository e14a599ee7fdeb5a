"""A report written to a store so that a reader sees all of it or nothing: create-only, read back, the page last."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from gc_ray import sealed
from gc_ray.errors import DamagedError, StoreError
from gc_ray.store import Store

PAGE, INDEX = "index.html", "report.json"
LAST = (INDEX, PAGE)  # what names the others, in this order; who finds the page finds everything


@dataclass(frozen=True, eq=False)
class Report:
    """A report's files by name, and its own name."""

    report_id: str
    files: dict[str, bytes]


def publish(report: Report, store: Store, folder: str) -> bool:
    """Write a report below ``folder``; True when this call completed it, False when it was there.

    Running it again after a fault goes on where it stopped; two writers at once write the same bytes. StoreError when
    the store refuses, when what was written reads back changed, or when other content lies under a name.
    """
    top = _top(folder, report.report_id)
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


def whole_index(store: Store, folder: str, report_id: str) -> bytes | None:
    """The index of a report that lies whole below ``folder``: its page as written, every file of its length."""
    top = _top(folder, report_id)
    try:
        index, page = (store.get(f"{top}/{name}") for name in LAST)
    except FileNotFoundError:
        return None
    there = {entry.key.removeprefix(f"{top}/"): entry.size for entry in store.list(top)}
    try:
        files = sealed.unseal(store, f"{top}/{INDEX}", index)["files"]
        whole = all(there.get(name) == file["bytes"] for name, file in files.items())
        return index if whole and files[PAGE]["sha256"] == _sha256(page) else None
    except (
        DamagedError,
        LookupError,
        TypeError,
    ):  # damaged: publishing the report again says so
        return None


def read_report(store: Store, folder: str, report_id: str) -> Report:
    """A report that lies whole below ``folder``; StoreError when a file is not as its index says."""
    top = _top(folder, report_id)
    index = store.get(f"{top}/{INDEX}")
    files = {INDEX: index}
    for name, file in sealed.unseal(store, f"{top}/{INDEX}", index)["files"].items():
        files[name] = store.get(f"{top}/{name}")
        if _sha256(files[name]) != file["sha256"]:
            raise StoreError(f"store {store.uri}: {top}/{name} was changed; delete that report and make it again")
    return Report(report_id, files)


def _top(folder: str, report_id: str) -> str:
    return f"{folder}/{report_id}".strip("/")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _verify(store: Store, key: str, data: bytes) -> None:
    if not _holds(store, key, data):
        raise StoreError(f"store {store.uri}: {key} was written and is gone; run the same command again")


def _holds(store: Store, key: str, data: bytes) -> bool:
    """Whether the store has exactly these bytes; False when it has nothing there."""
    try:
        found = store.get(key)
    except FileNotFoundError:
        return False
    if found != data:
        raise StoreError(f"store {store.uri}: {key} holds other content; delete that report, or publish elsewhere")
    return True
