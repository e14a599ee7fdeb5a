"""One scan's work from its files to its ledger rows, as a plain function that needs no cluster."""

from __future__ import annotations

import functools
import json
import math
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gc_ray import ledger
from gc_ray.cohort.manifest import ScanRow
from gc_ray.errors import MaskError, ScanError, StoreError
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.read import open_ct, read_mask
from gc_ray.imaging.scan import Notes
from gc_ray.imaging.volume import Mask, Slab, Volume
from gc_ray.runtime.memory import scan_bytes
from gc_ray.runtime.node_facts import computed_here
from gc_ray.runtime.products import Product, planes_read, settings_hash
from gc_ray.runtime.scan_source import (
    DISK_FULL,
    AbsentError,
    Fetched,
    UnreadableError,
    check_refusal,
    check_unchanged,
    hashed,
    local_sources,
)
from gc_ray.runtime.scratch import scratch
from gc_ray.store import Store

LARGER = "larger"  # the outcome of a scan that needs more memory than it was promised


@dataclass(frozen=True)
class Wanted:
    """One product asked of a scan.

    generation: of its new row. unless_sha256: the content digest that would make it unchanged ("" = any).
    unless_absent: the last row says that there is no file; there is no need to say it again.
    """

    product: str
    generation: int
    unless_sha256: str = ""
    unless_absent: bool = False


@dataclass(frozen=True)
class ScanTask:
    """One row of the manifest and what is wanted of it.

    memory: bytes that the task is promised; a scan that needs more says so and is not computed. None: no limit.
    seen: whether the first look found image and mask, so that a node that does not lacks a mount.
    """

    row: ScanRow
    stamp: str
    wanted: tuple[Wanted, ...]
    memory: int | None = None
    seen: bool = False


@dataclass(frozen=True)
class Job:
    """What every task of a run shares.

    timeout_s: after it a scan is given up and the ledger says so. grace_s: a hang inside C code holds Python's lock
    so that nothing can be written; this much later the kernel ends the process.
    """

    store: Store
    products: dict[str, Product]
    code_version: str
    timeout_s: float
    grace_s: float = 30.0
    again: tuple[str, ...] = ()

    @functools.cached_property
    def settings_hashes(self) -> dict[str, str]:
        """The resume key of each product, computed once: a planner asks for it scan by scan."""
        return {name: settings_hash(product) for name, product in self.products.items()}


@dataclass
class _Trail:
    """How far a scan has come, read by the watchdog when time is up, and what is known of it by then."""

    stage: str = "source"
    known: Reading = field(default_factory=lambda: Reading())


@dataclass(frozen=True)
class Reading:
    """What became of reading a scan: voxels, or a status with its reason."""

    status: str = "ok"
    stage: str = "done"
    reason: str = ""
    notes: Notes = field(default_factory=Notes)
    geometry: str = "{}"
    sha256: str = ""
    volume: Volume | Slab | None = None
    mask: Mask | None = None


def process_scan(task: ScanTask, job: Job) -> list[dict]:
    """Compute and commit what is wanted of one scan; an outcome per product: product, status, stage, reason.

    A single outcome ``larger`` with the memory needed, and nothing computed, when the promised memory is too small.
    Never raises for a fault of the scan. StoreError when the store, or this machine's temporary folder, cannot be
    written: then the run must stop.
    """
    begin = time.perf_counter()
    _reset_peak_memory()
    trail = _Trail()
    with scratch() as folder, _deadline(task, job, trail):
        reading = _read(task, job, folder, trail)
        needed = _needed(reading, task, job)
        if task.memory is not None and needed > task.memory:
            return [{"product": "", "status": LARGER, "stage": "mask", "reason": "", "memory": needed}]
        return [_finish(wanted, task, job, reading, trail, begin) for wanted in task.wanted]


def ledger_row(task: ScanTask, wanted: Wanted, job: Job, reading: Reading) -> dict:
    """The ledger row of one product before it is computed; this process says itself what it is."""
    return {
        **_identity(task.row, wanted),
        **computed_here(),
        "feature_set": wanted.product,
        "phase": task.row.phase,
        "status": reading.status,
        "stage": reading.stage,
        "reason": reading.reason,
        "notes": [*reading.notes.repairs, *reading.notes.remarks],
        "missing": "{}",
        "geometry": reading.geometry,
        "mask_voxels": reading.mask.voxels if reading.mask is not None else None,
        "object": "",
        "source_stamp": task.stamp,
        "source_sha256": reading.sha256,
        "settings_hash": job.settings_hashes[wanted.product],
        "seconds": 0.0,
        "peak_mb": 0.0,
    }


def is_absent(row: dict) -> bool:
    """Whether a ledger row says that there was no file: it may lie on a mount that the node did not have."""
    return row["status"] == "refused" and row["stage"] == "source"


def failed_by_worker(task: ScanTask, job: Job, reason: str) -> list[dict]:
    """Ledger rows, committed by the driver, for a scan whose worker died every time; an outcome per product."""
    reading = replace(Reading(), status="failed", stage="worker", reason=reason)
    outcomes = []
    for wanted in task.wanted:
        row = ledger_row(task, wanted, job, reading) | {"node": "", "cpu": ""}  # the driver computed nothing
        ledger.commit(job.store, row)
        outcomes.append(outcome(wanted, row))
    return outcomes


def outcome(wanted: Wanted, row: dict) -> dict:
    """What a run reports of one product of one scan."""
    return {"product": wanted.product, **{name: row[name] for name in ("status", "stage", "reason")}}


def anonymous(error: Exception) -> str:
    """The kind of an unexpected error and where it arose; its text may quote a header, so it is left out."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "gc_ray" in Path(f.filename).parts] or frames
    place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "an unknown place"
    if isinstance(error, MemoryError):
        return f"out of memory at {place}; give the worker more memory"
    return f"unexpected {type(error).__name__} at {place}; look at the scan with `gc-ray check`, or report a bug"


def _identity(row: ScanRow, wanted: Wanted) -> dict:
    names = ("scan_id", "reader", "repeat", "roi", "patient_id", "site")
    return {**{name: getattr(row, name) for name in names}, "generation": wanted.generation}


def _read(task: ScanTask, job: Job, folder: Path, trail: _Trail) -> Reading:
    """Fetch and hash, then headers, mask, and the pixels of the slices needed; the reading tells what went wrong."""
    row = task.row
    try:
        fetched = local_sources(row, folder, seen=task.seen)
        sha256 = hashed(row, fetched)
        trail.known = replace(trail.known, sha256=sha256)
        if sha256 in {w.unless_sha256 for w in task.wanted}:
            ledger.note_content(job.store, row.key_id, task.stamp, sha256)
        if all(w.unless_sha256 == sha256 for w in task.wanted):
            return replace(trail.known, status="unchanged")
        found = _understood(row, job, fetched, trail)
        check_unchanged(row, fetched)
        return found
    except AbsentError as error:
        return _without_voxels("refused", str(error), trail)
    except UnreadableError as error:
        return _without_voxels("failed", str(error), trail)
    except Exception as error:  # noqa: BLE001 - one scan's fault must never cost another scan
        _stop_if_full(error, row)
        return _without_voxels("failed", anonymous(error), trail)


def _understood(row: ScanRow, job: Job, fetched: Fetched, trail: _Trail) -> Reading:
    """Headers, mask and pixels of a scan whose files are here; ``refused`` for what these files hold."""
    try:
        trail.stage = "image"
        ct = open_ct(fetched.image, row.series_uid or None)
        trail.known = replace(trail.known, geometry=_geometry(ct.geometry.grid, ct.kind), notes=ct.geometry.notes)
        trail.stage = "mask"
        roi = read_mask(fetched.mask, row.roi or None, ct.geometry)
        trail.stage = "image"
        scan = ct.read(planes_read(job.products.values(), ct, roi.mask))
    except (ScanError, MaskError) as error:
        check_refusal(error, row, fetched, trail.known.sha256)
        return _without_voxels("refused", str(error), trail)
    notes = scan.notes + roi.notes
    geometry = _geometry(scan.volume.grid, scan.volume.dtype)
    status = "repaired" if notes.repairs else "ok"
    return Reading(status, "done", "", notes, geometry, trail.known.sha256, scan.volume, roi.mask)


def _without_voxels(status: str, reason: str, trail: _Trail) -> Reading:
    return replace(trail.known, status=status, stage=trail.stage, reason=reason)


def _stop_if_full(error: Exception, row: ScanRow) -> None:
    # not a fault of the scan: a machine without space would fail all that it is given, faster than others compute
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        raise StoreError(
            f"{row.scan_id}: cannot be copied to a worker's temporary folder: {os.strerror(error.errno)}; free space "
            "there, or name another disk with TMPDIR"
        ) from error


def _needed(reading: Reading, task: ScanTask, job: Job) -> int:
    """Bytes that the products of a scan take, now that its region is known."""
    if reading.volume is None:
        return 0
    largest = max(job.products[wanted.product].region_voxels(reading.mask) for wanted in task.wanted)
    # Of the whole scan, however little of it was read: mask and label map are whole.
    return scan_bytes(math.prod(reading.volume.grid.size) * reading.volume.dtype.itemsize, largest)


def _finish(wanted: Wanted, task: ScanTask, job: Job, reading: Reading, trail: _Trail, begin: float) -> dict:
    """Compute one product of a scan that was read, and commit its ledger row."""
    absent = wanted.unless_absent and is_absent({"status": reading.status, "stage": reading.stage})
    if absent or (wanted.unless_sha256 and wanted.unless_sha256 == reading.sha256):
        return {"product": wanted.product, "status": "unchanged", "stage": "done", "reason": ""}
    row = ledger_row(task, wanted, job, reading)
    if reading.volume is not None:
        product = job.products[wanted.product]
        trail.stage = product.stage
        try:
            computed = product.compute(reading.volume, reading.mask, _identity(task.row, wanted), job.store)
            row |= {"object": computed.object, "missing": json.dumps(computed.missing, sort_keys=True)}
            row["notes"] += computed.remarks
        except StoreError:
            raise
        except (ScanError, MaskError) as error:
            row |= {"status": "refused", "stage": trail.stage, "reason": str(error)}
        except Exception as error:  # noqa: BLE001 - one scan's fault must never cost another scan
            row |= {"status": "failed", "stage": trail.stage, "reason": anonymous(error)}
    row |= {"seconds": time.perf_counter() - begin, "peak_mb": _peak_memory_mb()}
    ledger.commit(job.store, row)
    return outcome(wanted, row)


@contextmanager
def _deadline(task: ScanTask, job: Job, trail: _Trail) -> Iterator[None]:
    """End this process when the scan's time is up: first with ledger rows that say so, later by the kernel."""

    def give_up() -> None:
        reason = f"not finished within {job.timeout_s:g} s; raise extract.timeout_s if the scan is sound"
        reading = Reading("failed", trail.stage, reason)
        for wanted in task.wanted:
            row = ledger_row(task, wanted, job, reading)
            ledger.commit(job.store, row | {"seconds": job.timeout_s, "peak_mb": _peak_memory_mb()})
        os._exit(1)

    timer = threading.Timer(job.timeout_s, give_up)
    timer.daemon = True
    timer.start()
    signal.setitimer(signal.ITIMER_REAL, job.timeout_s + job.grace_s)
    try:
        yield
    finally:
        timer.cancel()
        signal.setitimer(signal.ITIMER_REAL, 0)


def _geometry(grid: Grid, kind: np.dtype | None) -> str:
    """For the ledger; ``kind`` is None while only the header of a volume file was read."""
    return json.dumps(
        {
            "size": grid.size,
            "spacing_mm": grid.spacing_mm,
            "origin_mm": grid.origin_mm,
            "direction": grid.direction,
            "pixel_type": None if kind is None else str(kind),
        }
    )


def _reset_peak_memory() -> None:
    # Linux: makes VmHWM the peak of this scan instead of the worker's whole life; elsewhere the latter is reported
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_memory_mb() -> float:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
