"""Whole objects, create-only, the same in a folder and on a real S3 server."""

import subprocess
import sys
import textwrap
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gc_ray.errors import StoreError
from gc_ray.probe import probe
from gc_ray.store import LocalStore, S3Store, open_store


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
            S3Store("bucket", "", patience_s=0.5).get("x")
    finally:
        module._s3_client.cache_clear()


@dataclass
class Faulty:
    """A server that knows PUT, GET and create-only PUT, and does to each request what ``faults`` says next.

    refuse: 503 and nothing else. lose: it takes effect, the answer is 500. hang up: it takes effect, no answer.
    cut: half of the answer. taken: another writer's object appears first.
    """

    faults: deque = field(default_factory=deque)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: int = 0

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Act on one request."""
        self.requests += 1
        fault = self.faults.popleft() if self.faults else ""
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        if fault == "taken":
            self.objects[request.path] = b"another"
        status, content = (503, b"") if fault == "refuse" else self.act(request, body)
        request.close_connection = bool(fault)
        if fault == "hang up":
            return
        request.send_response(500 if fault == "lose" else status)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content[: len(content) // 2] if fault == "cut" else content)

    def act(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        """(status, content) of a sound answer."""
        if request.command == "GET":
            return (200, self.objects[request.path]) if request.path in self.objects else (404, b"")
        if request.headers.get("If-None-Match") and request.path in self.objects:
            return 412, b""
        self.objects[request.path] = body
        return 200, b""


@pytest.fixture
def faulty(monkeypatch) -> tuple[S3Store, Faulty]:
    """A store on a server of this process whose answers can be spoilt."""
    import boto3

    import gc_ray.store as module

    state = Faulty()

    class Speaks(BaseHTTPRequestHandler):
        """HTTP for ``state``."""

        protocol_version = "HTTP/1.1"

        def do_PUT(self):
            state.answer(self)

        do_GET = do_DELETE = do_PUT  # noqa: N815

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Speaks)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    module._s3_client.cache_clear()
    yield open_store("s3://bucket/store"), state
    module._s3_client.cache_clear()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("fault", ["lose", "hang up"])
def test_a_create_whose_answer_was_lost_is_known_as_our_own(faulty, fault):
    """The retry meets the object that the first try made: by its content it is this call's."""
    store, server = faulty
    server.faults.append(fault)
    assert store.create("a", b"ours") is True
    assert server.objects == {"/bucket/store/a": b"ours"}
    assert store.create("a", b"ours") is False, "a key that was taken before is nobody's success"


def test_a_create_that_another_won_during_the_retries_is_lost(faulty):
    """Other content under the key after a lost answer is another writer's."""
    store, server = faulty
    server.faults += ["refuse", "taken"]
    assert store.create("a", b"ours") is False
    assert store.get("a") == b"another"


def test_an_answer_that_breaks_off_is_asked_for_again(faulty):
    """Half an object is never taken for the whole."""
    store, server = faulty
    store.put("a", bytes(range(200)))
    server.faults += ["cut", "hang up", "cut"]
    assert store.get("a") == bytes(range(200))
    server.faults += ["cut"]
    assert store.head("a", 200) == bytes(range(200))


def test_an_outage_is_sat_out_as_long_as_patience_lasts(faulty):
    """More refusals in a row than botocore's own tries; then patience ends in one clear line."""
    store, server = faulty
    server.faults += ["refuse"] * 7
    store.put("a", b"x")
    assert server.requests == 8
    server.faults += ["refuse"] * 50
    begin = time.monotonic()
    with pytest.raises(StoreError, match=r"cannot write b: .*503.*; check rights, free space and the address"):
        replace(store, patience_s=1.0).put("b", b"x")
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("fault", ["hang up", "cut"])
def test_an_answer_that_never_comes_whole_is_one_clear_line(faulty, fault):
    """A lost connection has no answer to quote."""
    store, server = faulty
    store.put("a", b"x" * 100)
    server.faults += [fault] * 50
    with pytest.raises(StoreError, match=r"cannot read a: .+; check rights and the address"):
        replace(store, patience_s=0.5).get("a")


def test_what_another_try_cannot_change_is_not_tried_again(faulty):
    """A missing object is missing at once."""
    store, server = faulty
    with pytest.raises(FileNotFoundError):
        store.get("nothing")
    assert server.requests == 1


CLIMBING = ["../x", "a/../../x", "/etc/x", "a/..", "\\..\\x", "..", "a\0b"]


@pytest.mark.parametrize("key", CLIMBING)
@pytest.mark.parametrize("call", ["get", "head", "list", "delete", "put", "create"])
def test_a_key_that_leads_out_of_the_store_is_refused(tmp_path, key, call):
    """Whatever names it: nothing is read, written or deleted outside, nothing is left inside."""
    (tmp_path / "x").write_text("outside")
    more = {"put": (b"1",), "create": (b"1",), "head": (1,)}.get(call, ())
    for store in (LocalStore(str(tmp_path / "store")), S3Store("bucket", "prefix", patience_s=0)):
        with pytest.raises(StoreError, match="leads out of the store"):
            found = getattr(store, call)(key, *more)
            list(found)  # a listing is looked at only when it is asked for
    assert [path.name for path in tmp_path.rglob("*")] == ["x"]


def test_what_vanishes_while_it_is_listed_is_left_out(tmp_path, monkeypatch):
    """A compaction beside a listing deletes objects: those are gone, the others are listed."""
    import os

    store = LocalStore(str(tmp_path))
    for key in ("a/1", "a/2", "b/3"):
        store.put(key, b"x")
    scan = os.scandir

    def vanishing(folder):
        found = scan(folder)
        store.delete("a/2")
        return found

    monkeypatch.setattr("gc_ray.store.os.scandir", vanishing)
    assert [entry.key for entry in store.list("") if entry.key != "a/2"] == ["a/1", "b/3"]


def test_a_disk_without_hard_links_or_space_is_refused(tmp_path, monkeypatch):
    """Creating once rests on hard links; a run on a full disk would end in its midst."""
    import errno
    import os
    import shutil
    from types import SimpleNamespace

    def refused(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    store = open_store(str(tmp_path / "new" / "store"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refused)
        with pytest.raises(StoreError, match="this disk has no hard links, by which an object is created once"):
            probe(store)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=99_000_000))
        with pytest.raises(StoreError, match="99 MB are free on its disk, wanted at least 100 MB"):
            probe(store)
    probe(store)
    assert list(store.list("")) == []


@dataclass(frozen=True)
class Unfit(LocalStore):
    """A store that does one thing wrong."""

    fault: str = ""

    def create(self, key, data):
        if self.fault == "replaces":
            self.put(key, data)
            return True
        if self.fault == "replaces in silence":
            taken = bool(list(super().list(key)))
            self.put(key, data)
            return not taken
        return super().create(key, data)

    def list(self, prefix):
        return iter(()) if self.fault == "hides" else super().list(prefix)

    def delete(self, key):
        if self.fault != "keeps":
            super().delete(key)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("replaces", "created once was replaced; .* honours If-None-Match"),
        ("replaces in silence", "created once was replaced"),
        ("hides", "that was written is not listed"),
        ("keeps", "that was deleted is still there"),
    ],
)
def test_a_store_that_would_lose_results_is_refused(tmp_path, fault, said):
    """Create once, list after write, delete: each is tried before any work."""
    with pytest.raises(StoreError, match=said):
        probe(Unfit(str(tmp_path), fault))


def test_a_server_that_ignores_if_none_match_is_refused(faulty, monkeypatch):
    """Two runs on it would overwrite each other's commits."""
    store, server = faulty
    act = server.act

    def ignorant(request, body):
        del request.headers["If-None-Match"]
        return (204, b"") if request.command == "DELETE" else act(request, body)

    monkeypatch.setattr(server, "act", ignorant)
    with pytest.raises(StoreError, match=r"created once was replaced; .* honours If-None-Match"):
        probe(store)
