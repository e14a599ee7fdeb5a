"""Sources: listed, stamped, hashed and brought near, the same from a folder and from S3."""

import os

import pytest

from gc_ray.errors import StoreError
from gc_ray.source import Source, content_sha256, list_source, localise, read_bytes
from gc_ray.store import Entry


def fill(store, names=("ct/1.dcm", "ct/2.dcm", "mask.dcm")):
    """Objects with their name as content."""
    for name in names:
        store.put(f"scan/{name}", name.encode())


def test_a_folder_and_a_file_are_localised_whole(any_store, tmp_path):
    """Whatever the address, readers get a local path with the same names and bytes."""
    fill(any_store)
    folder = localise(list_source(f"{any_store.uri}/scan/ct"), tmp_path / "a")
    assert sorted((p.name, p.read_text()) for p in folder.iterdir()) == [("1.dcm", "ct/1.dcm"), ("2.dcm", "ct/2.dcm")]
    assert localise(list_source(f"{any_store.uri}/scan/mask.dcm"), tmp_path / "b").read_text() == "mask.dcm"
    assert read_bytes(f"{any_store.uri}/scan/mask.dcm") == b"mask.dcm"


@pytest.mark.slow
def test_many_parts_come_whole_and_of_several_lost_ones_the_first_is_told(s3_store, tmp_path):
    """Slices are fetched side by side; what is said of a fault does not depend on who was faster."""
    names = [f"ct/{i:03d}.dcm" for i in range(40)]
    fill(s3_store, names)
    source = list_source(f"{s3_store.uri}/scan/ct")
    folder = localise(source, tmp_path / "a")
    assert {f"ct/{p.name}": p.read_text() for p in folder.iterdir()} == {name: name for name in names}
    for lost in (31, 7):
        s3_store.delete(f"scan/ct/{lost:03d}.dcm")
    for i in range(3):
        with pytest.raises(FileNotFoundError, match=r"007\.dcm"):
            localise(source, tmp_path / f"b{i}")


def test_a_stamp_changes_when_a_part_is_added_changed_or_removed(any_store):
    """Resume compares stamps: every kind of change must show, and nothing else."""
    fill(any_store)
    uri = f"{any_store.uri}/scan/ct"
    first = list_source(uri).stamp
    assert list_source(uri).stamp == first
    any_store.put("scan/ct/3.dcm", b"x")
    added = list_source(uri).stamp
    any_store.put("scan/ct/3.dcm", b"y")
    changed = list_source(uri).stamp
    any_store.delete("scan/ct/3.dcm")
    assert len({first, added, changed}) == 3
    assert list_source(uri).stamp == first


def test_what_is_not_there_has_no_parts(any_store):
    """A missing source is a fact for the ledger, not an exception."""
    assert list_source(f"{any_store.uri}/nowhere").parts == ()


def test_a_detached_header_brings_its_data_file(any_store, tmp_path):
    """NHDR and MHD keep voxels in a second file: it is stamped and localised with the header."""
    for name in ("a.mhd", "a.raw", "ab.raw"):
        any_store.put(f"scan/{name}", b"x")
    source = list_source(f"{any_store.uri}/scan/a.mhd")
    assert len(source.parts) == 2
    path = localise(source, tmp_path / "near")
    assert path.name == "a.mhd"
    assert path.with_name("a.raw").exists()


def test_content_is_what_a_hash_sees(tmp_path):
    """A copy under other names and times has the same hash; one flipped byte does not; image and mask do not swap."""
    for folder, names in (("a", "12"), ("b", "xy")):
        (tmp_path / folder).mkdir()
        for i, name in enumerate(names):
            (tmp_path / folder / name).write_bytes(bytes([i]) * 10)
    os.utime(tmp_path / "b" / "x", (1, 1))
    mask = tmp_path / "mask"
    mask.write_bytes(b"m")
    assert content_sha256([tmp_path / "a", mask]) == content_sha256([tmp_path / "b", mask])
    assert content_sha256([tmp_path / "a", mask]) != content_sha256([mask, tmp_path / "a"])
    (tmp_path / "b" / "x").write_bytes(bytes(9) + b"\x01")
    assert content_sha256([tmp_path / "a", mask]) != content_sha256([tmp_path / "b", mask])


@pytest.mark.parametrize("key", ["scan/../../secret", "scan/ct/../../../secret", "scan/.."])
def test_an_object_whose_name_climbs_is_not_brought_near(key, tmp_path):
    """S3 allows any name; on a disk '..' would leave the folder."""
    source = Source("s3://bucket/scan", (Entry("scan/1.dcm", 1, "a"), Entry(key, 1, "b")))
    with pytest.raises(StoreError, match=r"climbs out of its folder by '\.\.'; rename it"):
        localise(source, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
