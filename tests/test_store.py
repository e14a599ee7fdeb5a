"""Whole objects, create-only, the same in a folder and on a real S3 server."""

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

from gc_ray.errors import StoreError
from gc_ray.store import LocalStore, open_store, probe


def test_a_created_object_is_never_replaced(any_store):
    """The first create wins, says so, and its bytes stay; put replaces."""
    assert any_store.create("a/b", b"first") is True
    assert any_store.create("a/b", b"second") is False
    assert any_store.get("a/b") == b"first"
    any_store.put("a/b", b"third")
    assert any_store.get("a/b") == b"third"


def test_of_racing_creates_exactly_one_wins(any_store):
    """Two drivers may commit the same generation at once: one effect."""
    with ThreadPoolExecutor(12) as pool:
        won = list(pool.map(lambda i: any_store.create("race", str(i).encode()), range(12)))
    assert won.count(True) == 1
    assert any_store.get("race") == str(won.index(True)).encode()


def test_a_listing_is_sorted_and_stops_at_the_folder(any_store):
    """scan_1 does not list scan_10, an object lists itself, and a missing prefix lists nothing."""
    for key in ("scan_1/b", "scan_1/a", "scan_10/a", "top"):
        any_store.put(key, key.encode())
    assert [e.key for e in any_store.list("scan_1")] == ["scan_1/a", "scan_1/b"]
    assert [(e.key, e.size) for e in any_store.list("top")] == [("top", 3)]
    assert list(any_store.list("nowhere")) == []


def test_a_stamp_changes_with_the_content(any_store):
    """Resume trusts the stamp, so equal size with other bytes must show."""
    any_store.put("x", b"aaaa")
    before = next(iter(any_store.list("x"))).stamp
    any_store.put("x", b"bbbb")
    assert next(iter(any_store.list("x"))).stamp != before


def test_a_missing_object_is_file_not_found_and_deleting_it_is_nothing(any_store):
    """Reading what is not there is an error a caller can catch; deleting it twice is not one."""
    with pytest.raises(FileNotFoundError):
        any_store.get("nothing")
    any_store.delete("nothing")


def test_head_returns_the_first_bytes(any_store):
    """A survey reads headers, not slices."""
    any_store.put("x", bytes(range(100)))
    assert any_store.head("x", 5) == bytes(range(5))


def test_a_store_below_a_file_is_one_clear_line(tmp_path):
    """An unwritable address says what, whose and what to do, and leaves nothing behind."""
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"store .*file/store: cannot write runs/probe-\w+: Not a directory; check"):
        probe(open_store(str(tmp_path / "file" / "store")))


def test_an_unknown_scheme_or_missing_bucket_is_refused():
    """gs:// is not quietly made into a local folder of that name."""
    with pytest.raises(StoreError, match="gs:// is not supported"):
        open_store("gs://bucket/x")
    with pytest.raises(StoreError, match="there is no bucket"):
        open_store("s3://")


def test_a_full_disk_leaves_nothing_that_looks_whole(tmp_path):
    """A write cut off by the system (RLIMIT_FSIZE) raises StoreError, and neither object nor listing shows it."""
    code = """
        import resource, sys
        from gc_ray.errors import StoreError
        from gc_ray.store import open_store
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        store = open_store(sys.argv[1])
        try:
            store.create("shard", bytes(5000))
        except StoreError as error:
            print(error)
            sys.exit(0 if list(store.list("")) == [] else 5)
        sys.exit(6)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "cannot write shard: File too large; check rights, free space" in run.stdout
    assert list(tmp_path.rglob("*")) == []


def test_a_writer_killed_before_the_end_leaves_nothing_that_is_listed(tmp_path):
    """An object appears by a link to a complete file; a temporary one is never listed."""
    store = LocalStore(str(tmp_path))
    store.put("real", b"x")
    (tmp_path / ".tmp-0123").write_bytes(b"half")
    assert [e.key for e in store.list("")] == ["real"]


@pytest.mark.slow
def test_wrong_credentials_are_one_clear_line(s3_store, monkeypatch):
    """A store that answers 403 is a StoreError that names store and object."""
    import boto3

    import gc_ray.store as module

    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers the right ones
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    module._s3_client.cache_clear()
    try:
        with pytest.raises(StoreError, match=r"store s3://.*: cannot write x: \w+"):
            s3_store.put("x", b"1")
    finally:
        module._s3_client.cache_clear()


def test_an_unreachable_endpoint_is_one_clear_line(monkeypatch):
    """No server at the address: StoreError, not a botocore traceback."""
    import boto3

    import gc_ray.store as module

    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    module._s3_client.cache_clear()
    try:
        with pytest.raises(StoreError, match="cannot read x: Could not connect to the endpoint URL"):
            open_store("s3://bucket").get("x")
    finally:
        module._s3_client.cache_clear()
