"""The places of a cohort's scans: a few samples for each site and file system."""

from types import SimpleNamespace

from gc_ray.cohort.manifest import ScanRow, Scans
from gc_ray.runtime import scan_places as module
from gc_ray.runtime.scan_places import ScanPlace, scan_places


def row(scan: str, site: str, image: str, mask: str) -> ScanRow:
    """An outline of which only the site and the addresses matter."""
    return ScanRow(scan, "R1", 0, "", scan, site, "", "i", "m", "", image, mask)


def test_each_site_and_mount_is_a_place(monkeypatch):
    """Local addresses only: a server is no mount. Masks may lie on another one than images."""
    mounts = [SimpleNamespace(mountpoint=point) for point in ("/", "/data", "/data/masks")]
    monkeypatch.setattr(module.psutil, "disk_partitions", lambda all: mounts)
    scans = Scans.of(
        [
            row("1", "A", "/data/a/1", "/data/masks/1.nii"),
            row("2", "A", "/data/a/2", "/data/masks/2.nii"),
            row("3", "B", "s3://b/ct", "s3://b/m.nii"),
            row("4", "C", "/other/ct", "/dataset/m.nii"),
        ]
    )
    assert scan_places(scans) == (
        ScanPlace("A", ("/data/a/1", "/data/a/2")),
        ScanPlace("A", ("/data/masks/1.nii", "/data/masks/2.nii")),
        ScanPlace("C", ("/other/ct", "/dataset/m.nii")),
    )


def test_samples_are_few_and_from_everywhere(tmp_path):
    """The first, one in the middle, the last; one that is there is enough."""
    scans = Scans.of([row(str(i), "A", str(tmp_path / f"{i:03d}"), str(tmp_path / f"{i:03d}")) for i in range(101)])
    (place,) = scan_places(scans)
    assert [path[-3:] for path in place.samples] == ["000", "050", "100"]
    assert not place.is_seen
    (tmp_path / "100").mkdir()
    assert place.is_seen
