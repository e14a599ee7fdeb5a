"""A report in object storage: all of it or nothing, whoever publishes, whatever fails."""

import secrets
import threading
from dataclasses import replace

import pytest

from gc_ray import sealed
from gc_ray.errors import StoreError
from gc_ray.report.files import without_places
from gc_ray.report.publish import INDEX, PAGE, Report, publish, read_report, whole_index
from gc_ray.store import open_store


def report(parts: int = 8) -> Report:
    """A small report; its content is its name's business alone, so any bytes do."""
    files = {f"figures/f{i}.csv": f"x,y\n{i},{i}\n".encode() * 50 for i in range(parts)}
    files[PAGE] = b"<!doctype html>"
    return Report("study-0123456789abcdef", files | {INDEX: sealed.seal({"files": sealed.described(files)}, INDEX)})


def names(store) -> set[str]:
    """Keys of everything in a store."""
    return {entry.key for entry in store.list("")}


def test_a_report_is_written_whole_and_only_once(any_store):
    """The first call completes it, the second finds it; every byte is there."""
    made = report()
    assert publish(made, any_store, "reports")
    assert not publish(made, any_store, "reports")
    for name, data in made.files.items():
        assert any_store.get(f"reports/{made.report_id}/{name}") == data


def test_a_whole_report_is_known_by_its_index_and_can_be_copied(any_store, tmp_path):
    """What was published from the copy is what was published first."""
    made, elsewhere = report(), open_store(str(tmp_path / "elsewhere"))
    assert whole_index(any_store, "reports", made.report_id) is None
    publish(made, any_store, "reports")
    assert whole_index(any_store, "reports", made.report_id) == made.files[INDEX]
    publish(read_report(any_store, "reports", made.report_id), elsewhere, "")
    assert read_report(elsewhere, "", made.report_id).files == made.files


@pytest.mark.parametrize("lost", [INDEX, PAGE, "figures/f3.csv"])
def test_a_report_that_lacks_a_file_is_not_whole_and_is_completed(tmp_path, lost):
    """Whichever was removed, the same report published again puts it back."""
    store, made = open_store(str(tmp_path)), report()
    publish(made, store, "")
    store.delete(f"{made.report_id}/{lost}")
    assert whole_index(store, "", made.report_id) is None
    publish(made, store, "")
    assert whole_index(store, "", made.report_id) == made.files[INDEX]


@pytest.mark.parametrize("spoilt", [INDEX, PAGE, "figures/f3.csv"])
def test_a_report_that_was_changed_is_neither_taken_for_whole_nor_copied(tmp_path, spoilt):
    """A file of another length, page or index is seen before; another byte of a part when it is copied."""
    store, made = open_store(str(tmp_path)), report()
    publish(made, store, "")
    key = f"{made.report_id}/{spoilt}"
    store.put(key, made.files[spoilt] + b" ")
    assert whole_index(store, "", made.report_id) is None
    store.put(key, made.files[spoilt][:-1])
    assert whole_index(store, "", made.report_id) is None
    store.put(key, made.files[spoilt][:-1] + b"?")
    if spoilt != INDEX:
        with pytest.raises(StoreError, match=r"was changed; delete that report|is damaged"):
            read_report(store, "", made.report_id)
    with pytest.raises(StoreError, match="holds other content"):
        publish(made, store, "")


class Breaking:
    """A store that ends the publisher after some writes, as a killed process would."""

    def __init__(self, store, writes: int):
        self.store, self.left, self.uri, self.get = store, writes, store.uri, store.get

    def create(self, key: str, data: bytes) -> bool:
        """Write while there are writes left."""
        if not self.left:
            raise StoreError("the server is gone")
        self.left -= 1
        return self.store.create(key, data)


@pytest.mark.parametrize("writes", range(10))
def test_a_publisher_that_dies_leaves_no_page_and_the_next_one_completes_it(tmp_path, writes):
    """Wherever it stops, a reader finds no index before everything it names is there."""
    store, made = open_store(str(tmp_path)), report()
    with pytest.raises(StoreError, match="gone"):
        publish(made, Breaking(store, writes), "")
    there = {key.removeprefix(f"{made.report_id}/") for key in names(store)}
    assert PAGE not in there
    assert INDEX not in there or there == set(made.files) - {PAGE}
    assert publish(made, store, "")
    assert names(store) == {f"{made.report_id}/{name}" for name in made.files}


def test_other_content_under_the_name_is_an_error_and_stays(any_store):
    """What lies there is never replaced."""
    made = report()
    any_store.create(f"{made.report_id}/figures/f3.csv", b"another")
    with pytest.raises(StoreError, match=r"figures/f3\.csv holds other content"):
        publish(made, any_store, "")
    assert any_store.get(f"{made.report_id}/figures/f3.csv") == b"another"
    assert f"{made.report_id}/{PAGE}" not in names(any_store)


def test_two_publishers_at_once_leave_one_whole_report(any_store):
    """A race ends with each object written once and exactly one publisher who completed it."""
    made, found, faults = report(20), [], []

    def run() -> None:
        try:
            found.append(publish(made, any_store, ""))
        except StoreError as error:
            faults.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert sum(found) == 1
    assert names(any_store) == {f"{made.report_id}/{name}" for name in made.files}


@pytest.mark.slow
def test_a_wrong_key_is_one_clear_line_and_nothing_is_written(s3_store, monkeypatch):
    """Credentials that the server does not know end with its reason, not with a traceback of the client."""
    import boto3

    import gc_ray.store as module

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secrets.token_hex(16))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it keeps the credentials that it first saw
    module._s3_client.cache_clear()
    with pytest.raises(StoreError, match=r"cannot (read|write) .*(SignatureDoesNotMatch|Forbidden|AccessDenied|403)"):
        publish(report(), s3_store, "")
    monkeypatch.undo()
    module._s3_client.cache_clear()
    assert names(s3_store) == set()


@pytest.mark.slow
def test_a_server_killed_in_mid_upload_and_restarted_loses_nothing(own_server, monkeypatch):
    """While it is away nobody sees a page; the same call again completes the report."""
    made, hasty = report(12), replace(own_server.store, patience_s=5.0)
    writes = 0
    create = type(hasty).create

    def counted(self, key: str, data: bytes) -> bool:
        nonlocal writes
        writes += 1
        if writes == 6:
            own_server.kill()
        return create(self, key, data)

    monkeypatch.setattr(type(hasty), "create", counted)
    with pytest.raises(StoreError, match="cannot write"):
        publish(made, hasty, "")
    monkeypatch.undo()
    own_server.start()
    there = names(own_server.store)
    assert not {f"{made.report_id}/{PAGE}", f"{made.report_id}/{INDEX}"} & there
    assert publish(made, own_server.store, "")
    for name, data in made.files.items():
        assert own_server.store.get(f"{made.report_id}/{name}") == data


@pytest.mark.slow
def test_encryption_is_asked_for_with_every_object(s3_store):
    """The setting reaches the request of every object; taken out again on the way: this server keeps no keys."""
    import gc_ray.store as module

    asked = []

    def noted(params: dict, **_) -> None:
        asked.append(dict(params))
        params.pop("ServerSideEncryption", None)

    module._s3_client().meta.events.register("before-parameter-build.s3.PutObject", noted)
    made = report(3)
    publish(made, replace(s3_store, encryption="AES256"), "")
    assert len(asked) == len(made.files)
    assert {one["ServerSideEncryption"] for one in asked} == {"AES256"}
    assert not any("SSEKMSKeyId" in one for one in asked)


def test_a_published_study_shows_no_absolute_path():
    """A parameter file's name says which it was; where it lay is nobody's business."""
    shown = without_places(
        {"extract": {"feature_sets": ["/home/someone/quick.yaml", "guo2025"]}, "weights": "a/b.pth"}
    )
    assert shown == {"extract": {"feature_sets": ["quick.yaml", "guo2025"]}, "weights": "a/b.pth"}
