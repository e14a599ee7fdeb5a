"""Sources: listed, stamped, hashed and brought near, the same from a folder and from S3."""

import os
import threading

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


HEADERS = {
    "a.mhd": b"NDims = 3\nElementDataFile = CT 01.raw\n",
    "b.nhdr": "NRRD0004\ntype: short\ndata file: ./图像.raw.gz\n".encode(),
    "c.nhdr": b"NRRD0004\ndata file: LIST\nCT 01.raw\nother.raw\n",
    "d.mhd": b"NDims = 3\nElementDataFile = s%02d.raw 1 2 1\n",
}
NAMED = {"a.mhd": {"CT 01.raw"}, "b.nhdr": {"图像.raw.gz"}, "c.nhdr": {"CT 01.raw", "other.raw"}}
NAMED["d.mhd"] = {"s01.raw", "s02.raw"}


@pytest.mark.parametrize("name", HEADERS)
def test_a_detached_header_brings_the_files_that_it_names(any_store, tmp_path, name):
    """Whatever their names: they are stamped and localised with the header, and others are not."""
    for other in ("CT 01.raw", "图像.raw.gz", "other.raw", "s01.raw", "s02.raw", "s03.raw", "x.raw"):
        any_store.put(f"scan/{other}", b"x")
    any_store.put(f"scan/{name}", HEADERS[name])
    source = list_source(f"{any_store.uri}/scan/{name}")
    assert {part.key.rpartition("/")[2] for part in source.parts} == {name, *NAMED[name]}
    path = localise(source, tmp_path / "near")
    assert all(path.with_name(other).exists() for other in NAMED[name])
    any_store.put(f"scan/{sorted(NAMED[name])[0]}", b"other content")
    assert list_source(f"{any_store.uri}/scan/{name}").stamp != source.stamp


@pytest.mark.parametrize("name", ["m.hdr", "m.img"])
def test_a_pair_is_one_source_by_either_name(any_store, tmp_path, name):
    """NIfTI in two files; a lone DICOM slice named .img stays alone."""
    for other in ("m.hdr", "m.img", "mm.img", "lone.img"):
        any_store.put(f"scan/{other}", b"x")
    source = list_source(f"{any_store.uri}/scan/{name}")
    assert [part.key.rpartition("/")[2] for part in source.parts] == ["m.hdr", "m.img"]
    assert localise(source, tmp_path / "near").with_name("m.img").exists()
    assert len(list_source(f"{any_store.uri}/scan/lone.img").parts) == 1


@pytest.mark.parametrize("target", ["../a.raw", "/etc/passwd", "LIST", "%d", ""])
def test_a_header_that_names_no_file_beside_it_is_a_source_all_the_same(any_store, target):
    """Its reader says what is wrong."""
    any_store.put("scan/a.mhd", f"NDims = 3\nElementDataFile = {target}\n".encode())
    (part,) = list_source(f"{any_store.uri}/scan/a.mhd").parts
    assert part.key.endswith("a.mhd")


@pytest.mark.parametrize("name", ["a.mhd", "a.nhdr", "a.nrrd", "a.mha", "a.hdr", "a.img"])
def test_the_content_of_a_detached_volume_is_that_of_its_voxels_too(tmp_path, name):
    """A changed voxel file under an equal header is another scan."""
    nrrd = name in ("a.nhdr", "a.nrrd")
    header = b"NRRD0004\ndata file: x y.raw\n" if nrrd else b"NDims = 3\nElementDataFile = x y.raw\n"
    voxels = tmp_path / {"a.hdr": "a.img", "a.img": "a.hdr"}.get(name, "x y.raw")
    (tmp_path / name).write_bytes(header)
    voxels.write_bytes(b"1")
    before = content_sha256([tmp_path / name])
    voxels.write_bytes(b"2")
    assert content_sha256([tmp_path / name]) != before


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


def test_a_table_from_a_pipe_is_read(tmp_path):
    """As a shell gives one for ``<(zcat scans.csv.gz)``."""
    pipe = tmp_path / "63"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"scan_id\na\n",), daemon=True)
    writer.start()
    assert read_bytes(str(pipe)) == b"scan_id\na\n"
    writer.join()


def test_a_device_is_no_table(tmp_path):
    """It would never end."""
    (tmp_path / "scans.csv").symlink_to("/dev/zero")
    with pytest.raises(StoreError, match="a pipe or a device, no file"):
        read_bytes(str(tmp_path / "scans.csv"))
