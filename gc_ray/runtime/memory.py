"""How much memory a scan's work takes: an estimate from headers, a better one once the region is known."""

from __future__ import annotations

MB = 1 << 20
WORKER_BYTES = 700 * MB  # a worker with every library loaded and a small region's features; measured 530-570 MB
VOLUME_COPIES = 3  # the volume, its mask and label map, and room for one cast: assumed, with room to spare
VOXEL_BYTES = 1000  # per voxel of the resampled region; measured 510-580 at 420,000 and 1,060,000 voxels
CLASSES = tuple(MB << shift for shift in (10, 11, 12, 13, 14))  # 1, 2, 4, 8, 16 GB: one Ray Data dataset per class


def scan_bytes(volume_bytes: int, region_voxels: float = 0.0) -> int:
    """Bytes that a worker needs for a scan of this size and a region of this many resampled voxels."""
    return int(WORKER_BYTES + VOLUME_COPIES * volume_bytes + VOXEL_BYTES * region_voxels)


def classes_up_to(limit: int) -> list[int]:
    """The classes that fit a node of ``limit`` bytes, ascending; the last one is the whole node."""
    return [*(size for size in CLASSES if size < limit), limit]


def class_of(needed: int, classes: list[int]) -> int:
    """The smallest class that holds ``needed`` bytes; the largest when none does."""
    return next((size for size in classes if size >= needed), classes[-1])
