"""Stores of others: merging one costs bounded memory, ends, and fails in one line that names it."""

import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gc_ray import ledger, sealed, tables
from gc_ray.bounded import MAX_OBJECT, read_body
from gc_ray.bounded_tables import arrow_table, check_parquet, written_size
from gc_ray.errors import StoreError, TableError
from gc_ray.feature_rows import settings_folder
from gc_ray.merge import merge
from gc_ray.store import LocalStore, open_store
from gc_ray.untrusted import UntrustedStore

HASH = "0" * 16
MIB = 1 << 20
KEY = {"scan_id": "s1", "reader": "R1", "repeat": 0, "roi": "", "patient_id": "p", "site": "A", "generation": 1}
ROW = KEY | {
    "feature_set": "test", "phase": "", "status": "ok", "stage": "done", "reason": "", "notes": [], "missing": "{}",
    "geometry": "{}", "mask_voxels": 1, "object": "", "source_stamp": "", "source_sha256": "", "settings_hash": HASH,
    "code_version": "1", "seconds": 1.0, "peak_mb": 1.0, "node": "", "cpu": "",
}  # fmt: skip
FOLDER = settings_folder("test", HASH)


def parquet(table: pa.Table) -> bytes:
    """A Parquet file as dense as it can be."""
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def arrow(table: pa.Table, codec: str | None = None) -> bytes:
    """An Arrow file."""
    out = io.BytesIO()
    with pa.ipc.new_file(out, table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(table)
    return out.getvalue()


def assert_refused(store: LocalStore, tmp_path: Path, match: str) -> None:
    """A merge ends in one line that names the store, writes no row and takes little memory."""
    into, pool = open_store(str(tmp_path / "all")), pa.default_memory_pool()
    before = pool.max_memory()
    with pytest.raises((StoreError, TableError), match=match) as error:
        merge([store], into)
    assert "\n" not in str(error.value)
    assert store.uri in str(error.value)
    assert ledger.read_ledger(into).num_rows == 0
    assert pool.max_memory() - before < 300 * MIB


@pytest.fixture
def store(tmp_path) -> LocalStore:
    """A store with one row of one feature, as another site sends it."""
    made = open_store(str(tmp_path / "site"))
    sealed.put(made, f"{FOLDER}/settings.json", {"names": ["x"]})
    staged = ledger.stage_features(made, KEY | {"feature_set": "test"}, HASH, [1.0])
    ledger.commit(made, ROW | {"object": staged})
    return made


def test_a_whole_store_is_read_as_before(store, tmp_path):
    """Staged and in shards."""
    ledger.compact(store)
    into = open_store(str(tmp_path / "all"))
    assert merge([store], into).added == 1
    assert ledger.read_features(into, "test")["x"].to_pylist() == [1.0]


PLACES = {
    "settings": "/settings.json", "commit": "ledger/commits/", "staged": ".arrow", "shard": f"{FOLDER}/shard-",
    "list": f"{FOLDER}/lists/", "format": "format.json",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["pipe", "device", "huge"])
@pytest.mark.parametrize("place", PLACES)
def test_an_object_that_never_ends_is_refused(store, tmp_path, kind, place):
    """A pipe would wait for ever, a link to a device or a file of a terabyte fill the memory."""
    sealed.put(store, "format.json", {"format": 2})
    if place in ("shard", "list"):
        ledger.compact(store)
    (key,) = [entry.key for entry in store.list("") if PLACES[place] in entry.key]
    path = Path(store.root, key)
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.touch()
        os.truncate(path, 1 << 40)
    if place == "commit" and kind != "huge":  # not listed: it is no object
        assert merge([store], open_store(str(tmp_path / "all"))).added == 0
        return
    assert_refused(store, tmp_path, "wanted at most" if kind == "huge" else "a pipe or a device, no file")


def tables_of_equal_values() -> dict[str, pa.Table]:
    """Tables of 32 MB and more in memory out of files of kilobytes."""
    words = pa.DictionaryArray.from_arrays(np.zeros(640, np.int32), ["x" * 100_000])
    lists = pa.ListArray.from_arrays(np.arange(0, 641, 2, dtype=np.int32), words)
    empty = pa.nulls(5_000_000, pa.int8())
    return {
        "a word": pa.table({"reason": words}),
        "words in lists": pa.table({"notes": lists}),
        "empty values": pa.table({f"f{i}": empty for i in range(3)}),
        "empty values in a list": pa.table({"values": pa.ListArray.from_arrays([0, len(empty)], empty)}),
        "zeros": pa.table({"x": np.zeros(5_000_000)}),
        "bytes": pa.table({"ct_hu": pa.array([bytes(32 * MIB)], pa.large_binary())}),
        "structures": pa.table({"s": pa.StructArray.from_arrays([words], ["a"])}),
    }


@pytest.mark.parametrize("name", tables_of_equal_values())
def test_a_table_that_unpacks_to_too_much_is_refused(name):
    """What it claims is compared before it is unpacked, its words before they are written out."""
    data, pool = parquet(tables_of_equal_values()[name]), pa.default_memory_pool()
    assert len(data) < MIB // 4
    before = pool.bytes_allocated()
    with pytest.raises(pa.ArrowInvalid, match=r"it unpacks to \d+ bytes, wanted at most"):
        check_parquet(data, 16 * MIB)
    assert pool.bytes_allocated() - before < MIB
    check_parquet(data, 1 << 30)


def test_a_shard_that_unpacks_to_gigabytes_is_refused(store, tmp_path):
    """Of the ledger, which is read first; it names its own digest, as every shard does."""
    schema = tables.LEDGER.schema()
    rows = pa.concat_tables([pa.Table.from_pylist([ROW], schema=schema)] * 2000)
    words = pa.DictionaryArray.from_arrays(np.zeros(2000, np.int32), ["x" * MIB])
    data = parquet(rows.set_column(schema.get_field_index("reason"), "reason", words))
    store.put(f"ledger/shards/shard-2000-00000000-{hashlib.sha256(data).hexdigest()[:16]}.parquet", data)
    assert_refused(
        store, tmp_path, r"ledger/shards/shard-2000-\S+ is not read: it unpacks to \d+ bytes, wanted at most"
    )


def test_a_network_input_that_unpacks_to_gigabytes_is_not_taken_over(store, tmp_path):
    """It would be read much later, by a training."""
    row = ROW | {"feature_set": "volumes/guo2025", "scan_id": "s2"}
    data = parquet(pa.table({"ct_hu": pa.DictionaryArray.from_arrays(np.zeros(2000, np.int32), ["x" * MIB])}))
    folder = settings_folder(row["feature_set"], HASH)
    name = f"{folder}/{'0' * 24}.g0001.{hashlib.sha256(data).hexdigest()[:12]}.parquet"
    store.put(name, data)
    sealed.put(store, f"{folder}/settings.json", {"names": []})
    ledger.commit(store, row | {"object": name})
    with pytest.raises(StoreError, match=r"volumes/guo2025/\S+ is not read: it unpacks to"):
        merge([store], open_store(str(tmp_path / "all")))


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000, b"{}", b"[1]", b"null", b'{"names": 7}', b'{"names": [[]]}', b'{"names": [7]}',
        b"\xff",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["format.json", "settings.json", "lists/00000001.json"])
def test_json_of_another_form_is_one_line(store, tmp_path, content, place):
    """Sealed by those who made it, or not sealed at all."""
    name = {"format.json": place, "settings.json": f"{FOLDER}/{place}"}.get(place, f"ledger/shards/{place}")
    if content[:1] == b"{":
        content = sealed.seal(json.loads(content) | {"more": 1}, name)
    store.put(name, content)
    into = open_store(str(tmp_path / "all"))
    with pytest.raises(StoreError) as error:
        merge([store], into)
    assert store.uri in str(error.value)


@pytest.mark.parametrize(
    "changes", [{"missing": 7}, {"notes": "x"}, {"seconds": "x"}, {"generation": "1"}, {"mask_voxels": 1 << 70}]
)
def test_a_row_of_other_types_is_one_line(store, tmp_path, changes):
    """Under the name that a row of this key has."""
    row = ROW | {"scan_id": "s2"} | changes
    sealed.put(store, ledger.commit_name(ROW | {"scan_id": "s2"}), row)
    assert_refused(store, tmp_path, "is damaged|holds other things")


@pytest.mark.parametrize("schema", ["no values", "texts", "numbers"])
def test_staged_values_of_another_form_are_one_line(store, tmp_path, schema):
    """Whole by their digest, and no features."""
    column = {"no values": {}, "texts": {"values": [["a"]]}, "numbers": {"values": [1.0]}}[schema]
    data = arrow(pa.table({name: [value] for name, value in KEY.items()} | {"feature_set": ["test"]} | column))
    name = f"{FOLDER}/staged/{'0' * 24}.g0001.{hashlib.sha256(data).hexdigest()[:12]}.arrow"
    store.put(name, data)
    ledger.commit(store, ROW | {"scan_id": "s1", "generation": 2, "object": name})
    assert_refused(store, tmp_path, "holds other things|gone or damaged")


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_a_compressed_arrow_file_is_refused(codec):
    """Its size in memory is not that of the file; a plain one comes back as it is."""
    table = pa.table({"scan_id": ["a", "b"], "values": [[1.0, None], [2.0, 3.0]]})
    assert arrow_table(arrow(table)).equals(table)
    packed = pa.table({"x": pa.array(["a", "b"]).dictionary_encode()})
    for data in (arrow(table, codec), arrow(packed), arrow(packed, codec)):
        with pytest.raises(pa.ArrowInvalid, match="wanted a plain one"):
            arrow_table(data)


def test_what_is_written_out_is_counted_as_often_as_it_is_there():
    """Also in lists, and without the values that are empty."""
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 0]), ["abc", "de"])
    assert written_size(words) == 3 + 2 + 3
    lists = pa.ListArray.from_arrays([0, 3, 4], words)
    assert written_size(pa.chunked_array([lists, lists])) == 2 * (2 * 8 + 8)
    assert written_size(pa.StructArray.from_arrays([words, pa.array([1.0] * 4)], ["a", "b"])) == 8 + 32


def test_a_table_of_real_size_is_within_the_limits():
    """2,000 rows of 2,000 features, and a ledger whose rows say much."""
    values = np.random.default_rng(0).normal(size=(2000, 2000))
    features = pa.table({f"f{i}": column for i, column in enumerate(values.T)})
    assert check_parquet(parquet_fast(features)) is None
    row = ROW | {"missing": json.dumps({f"feature_{i}": "no such voxels" for i in range(500)})}
    rows = pa.Table.from_pylist([row] * 2000, schema=tables.LEDGER.schema())
    assert check_parquet(parquet_fast(rows)) is None


def parquet_fast(table: pa.Table) -> bytes:
    """A Parquet file without compression."""
    out = io.BytesIO()
    pq.write_table(table, out, compression="none")
    return out.getvalue()


def test_an_answer_of_a_server_is_not_read_when_it_says_that_it_is_too_large():
    """Before its body."""
    with pytest.raises(OSError, match="wanted at most"):
        read_body({"ContentLength": MAX_OBJECT + 1, "Body": None})
    assert read_body({"ContentLength": 1, "Body": io.BytesIO(b"x")}) == b"x"


def test_keys_that_climb_are_refused_before_anything_is_opened(store):
    """As in a store of one's own."""
    for key in ("../x", "/etc/passwd", "a/../../x", "a\0"):
        with pytest.raises(StoreError):
            UntrustedStore(store).get(key)


def zigzag(number: int) -> bytes:
    """A positive number as Parquet's footer writes it."""
    left, out = 2 * number, bytearray()
    while left > 127:
        out.append(left & 127 | 128)
        left >>= 7
    return bytes([*out, left])


def test_a_footer_that_claims_less_than_there_is_is_not_believed():
    """Columns are counted as they come."""
    out = io.BytesIO()
    pq.write_table(pa.table({"reason": ["x" * 32 * MIB]}), out, compression="zstd", use_dictionary=False)
    data, held = out.getvalue(), pq.read_metadata(out).row_group(0)
    for size in {held.total_byte_size, held.column(0).total_uncompressed_size}:
        there = zigzag(size)
        data = data.replace(there, bytes([2 | 128, *[128] * (len(there) - 2), 0]))  # 1, in as many bytes
    assert pq.read_metadata(io.BytesIO(data)).row_group(0).column(0).total_uncompressed_size == 1
    with pytest.raises(pa.ArrowInvalid, match="it unpacks to 3355"):
        check_parquet(data, 16 * MIB)
