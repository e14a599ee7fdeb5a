"""Where the scans of a cohort lie: what every node that works must see."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass

import psutil
import pyarrow as pa

from gc_ray.cohort.manifest import Scans

SAMPLES = 3  # files or folders looked at in each place: one of them may be missing everywhere
LOOKED_AT = 20_000  # rows of a manifest


@dataclass(frozen=True)
class ScanPlace:
    """A file system that holds scans of a site.

    site: as the manifest names it. samples: addresses of some images and masks there.
    """

    site: str
    samples: tuple[str, ...]

    @property
    def is_seen(self) -> bool:
        """Whether this process sees one of the samples."""
        return any(os.path.exists(path) for path in self.samples)  # noqa: PTH110 - never raises


def scan_places(scans: Scans) -> tuple[ScanPlace, ...]:
    """The places of the local images and masks, for each site and each file system that is mounted here.

    Of a large cohort only rows at equal distances are looked at, ``LOOKED_AT`` to twice as many.
    """
    mounts = sorted({part.mountpoint for part in psutil.disk_partitions(all=True)}, key=len, reverse=True)
    found: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    some = scans.table.select(["site", "image_uri", "mask_uri"])
    some = some.take(pa.array(range(0, len(scans), max(1, len(scans) // LOOKED_AT)), pa.int64()))
    for site, *uris in zip(*(column.to_pylist() for column in some.columns), strict=True):
        for path in (os.path.abspath(uri) for uri in uris if "://" not in uri and "\0" not in uri):  # noqa: PTH100
            found[site, _mount(path, mounts)][path] = None
    return tuple(ScanPlace(site, _spread(list(paths))) for (site, _), paths in sorted(found.items()))


def _mount(path: str, mounts: list[str]) -> str:
    """The mount point that a path lies below; the longest comes first among ``mounts``."""
    return next((mount for mount in mounts if f"{path}/".startswith(f"{mount.rstrip('/')}/")), os.sep)


def _spread(paths: list[str]) -> tuple[str, ...]:
    """The first, the last and some between them."""
    at = {round(i * (len(paths) - 1) / (SAMPLES - 1)) for i in range(SAMPLES)}
    return tuple(paths[i] for i in sorted(at))
