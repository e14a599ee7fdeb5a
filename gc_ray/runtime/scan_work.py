"""One scan's work from its files to its ledger rows, as a plain function that needs no cluster."""

from __future__ import annotations

import errno
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
from gc_ray.runtime.products import Product, planes_read, settings_hash
from gc_ray.runtime.scratch import scratch
from gc_ray.source import content_sha256, list_source, localise
from gc_ray.store import Store

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LARGER = "larger"  # the outcome of a scan that needs more memory than it was promised


@dataclass(frozen=True)
class Wanted:
    """One product asked of a scan: its generation, and the content digest that would make it unchanged ("" = any)."""

    product: str
    generation: int
    unless_sha256: str = ""


@dataclass(frozen=True)
class ScanTask:
    """One row of the manifest and what is wanted of it.

    memory: bytes that the task is promised; a scan that needs more says so and is not computed. None: no limit.
    """

    row: ScanRow
    stamp: str
    wanted: tuple[Wanted, ...]
    memory: int | None = None


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

    @functools.cached_property
    def settings_hashes(self) -> dict[str, str]:
        """The resume key of each product, computed once: a planner asks for it scan by scan."""
        return {name: settings_hash(product) for name, product in self.products.items()}


@dataclass
class _Trail:
    """How far a scan has come; read by the watchdog when time is up."""

    stage: str = "source"


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
    """The ledger row of one product before it is computed."""
    return {
        **_identity(task.row, wanted),
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
        "code_version": job.code_version,
        "seconds": 0.0,
        "peak_mb": 0.0,
    }


def failed_by_worker(task: ScanTask, job: Job, reason: str) -> list[dict]:
    """Ledger rows, committed by the driver, for a scan whose worker died every time; an outcome per product."""
    reading = replace(Reading(), status="failed", stage="worker", reason=reason)
    outcomes = []
    for wanted in task.wanted:
        row = ledger_row(task, wanted, job, reading)
        ledger.commit(job.store, row)
        outcomes.append(outcome(wanted, row))
    return outcomes


def outcome(wanted: Wanted, row: dict) -> dict:
    """What a run reports of one product of one scan."""
    return {"product": wanted.product, **{name: row[name] for name in ("status", "stage", "reason")}}


def local_sources(row: ScanRow, folder: Path) -> tuple[Path, Path]:
    """Local paths of a scan's image and mask, copied below ``folder`` when they lie elsewhere.

    ScanError when one of them is not there.
    """
    sources = [list_source(uri) for uri in (row.image_uri, row.mask_uri)]
    for source, shown in zip(sources, (row.image, row.mask), strict=True):
        if not source.parts:
            raise ScanError(f"{_shown(shown)}: wanted a file or folder, there is none; mend the path in the manifest")
    image, mask = sources
    return localise(image, folder / "image"), localise(mask, folder / "mask")


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
    row, sha256, geometry, notes = task.row, "", "{}", Notes()
    try:
        image, mask = local_sources(row, folder)
        sha256 = content_sha256([image, mask])
        if sha256 in {w.unless_sha256 for w in task.wanted}:
            ledger.note_content(job.store, row.key_id, task.stamp, sha256)
        if all(w.unless_sha256 == sha256 for w in task.wanted):
            return Reading(status="unchanged", sha256=sha256)
        trail.stage = "image"
        ct = open_ct(image, row.series_uid or None)
        geometry, notes = _geometry(ct.geometry.grid, ct.kind), ct.geometry.notes
        trail.stage = "mask"
        roi = read_mask(mask, row.roi or None, ct.geometry)
        trail.stage = "image"
        scan = ct.read(planes_read(job.products.values(), ct, roi.mask))
        geometry, notes = _geometry(scan.volume.grid, scan.volume.dtype), scan.notes + roi.notes
        status = "repaired" if notes.repairs else "ok"
        return Reading(status, "done", "", notes, geometry, sha256, scan.volume, roi.mask)
    except (ScanError, MaskError) as error:
        return Reading("refused", trail.stage, str(error), notes, geometry, sha256)
    except StoreError:
        reason = f"{_shown(row.image)} or its mask could not be fetched; check rights and network, and run again"
        return Reading("failed", trail.stage, reason, notes, geometry, sha256)
    except Exception as error:  # noqa: BLE001 - one scan's fault must never cost another scan
        _stop_if_full(error, row)
        return Reading("failed", trail.stage, anonymous(error), notes, geometry, sha256)


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
    if wanted.unless_sha256 and wanted.unless_sha256 == reading.sha256:
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


def _shown(path: str) -> str:
    """A path as messages may show it: as the manifest writes it, unless that is absolute."""
    return Path(path).name if "://" in path or Path(path).is_absolute() else path


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
