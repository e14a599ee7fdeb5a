"""The ledger and the rows it commits: a scan's features count once its ledger row exists, and never before.

A worker writes one staged object (whole, under a name of its own), then creates the ledger row that names it. Rows
are compacted into Parquet shards; readers see shards plus staged rows and take the last generation of each key.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from gc_ray import tables
from gc_ray.errors import TableError
from gc_ray.store import Store

SHARD_ROWS = 2000  # most rows of one shard: about 40 MB of 1,925 float64 columns, still one GET
SMALL_SHARD = 500  # shards below this are merged with the next ones, so that scheduled small runs do not pile up
THREADS = 16  # concurrent small GETs; latency, not bandwidth, is what reading staged rows costs
USABLE = ("ok", "repaired")
KEY = tables.LEDGER.key


def settings_folder(feature_set: str, settings_hash: str) -> str:
    """Where rows of one settings hash lie: radiomics/<name>/<hash>, volumes/<recipe>/<hash>, deep/<model>/<hash>."""
    table = "" if feature_set.startswith(("volumes/", "deep/")) else "radiomics/"
    return f"{table}{feature_set}/{settings_hash}"


def commit_name(row: dict) -> str:
    """The object whose creation commits a ledger row: one per scan key, feature set and generation."""
    key = "\x1f".join(str(row[name]) for name in KEY)
    return f"ledger/commits/{hashlib.sha256(key.encode()).hexdigest()[:32]}.g{row['generation']:04d}.json"


def commit(store: Store, row: dict) -> bool:
    """Create the ledger row; False when this generation of the key is committed already (the row is then dropped)."""
    tables.build(tables.LEDGER, [row])
    return store.create(commit_name(row), json.dumps(row, sort_keys=True).encode())


def read_commit(store: Store, row: dict) -> dict | None:
    """The committed row of the same key, feature set and generation as ``row``; None when there is none."""
    try:
        return json.loads(store.get(commit_name(row)))
    except FileNotFoundError:
        return None


def note_content(store: Store, key_id: str, stamp: str, sha256: str) -> None:
    """Remember that a source with this stamp has this content, so that a moved cohort is hashed only once."""
    store.create(f"ledger/contents/{key_id}.{stamp}.{sha256}", b"")


def known_contents(store: Store) -> set[tuple[str, str, str]]:
    """Every (key id, stamp, content digest) that was noted."""
    names = (entry.key.rpartition("/")[2] for entry in store.list("ledger/contents"))
    return {tuple(name.split(".")) for name in names}


def stage_features(store: Store, row: dict, settings_hash: str, values: Iterable[float]) -> str:
    """Write one scan's features as a single whole object; the name to put into its ledger row."""
    schema = pa.schema([*tables.RADIOMICS.schema(), pa.field("values", pa.list_(pa.float64()))])
    table = pa.Table.from_pylist([{**row, "values": list(values)}], schema=schema)
    return _stage(store, f"{settings_folder(row['feature_set'], settings_hash)}/staged", row, _ipc(table), "arrow")


def stage_volume(store: Store, row: dict, settings_hash: str) -> str:
    """Write one scan's network input as a Parquet object of its own; the name to put into its ledger row."""
    table = tables.build(tables.VOLUMES, [row])
    folder = settings_folder(f"volumes/{row['recipe']}", settings_hash)
    return _stage(store, folder, row, _parquet(table), "parquet")


def read_ledger(store: Store) -> pa.Table:
    """The last generation of every ledger row, sorted by key."""
    return _last_generation(tables.LEDGER, _history(store)[0])


def read_features(store: Store, feature_set: str, settings_hash: str | None = None) -> pa.Table:
    """The radiomics table of one feature set: usable scans only, one row each, sorted by key.

    TableError when the store holds none, when it holds several settings hashes and none was asked for, or when the
    rows were computed by different versions of code or libraries.
    """
    rows = [r for r in read_ledger(store).to_pylist() if r["feature_set"] == feature_set and r["status"] in USABLE]
    hashes = sorted({r["settings_hash"] for r in rows})
    chosen = settings_hash or (hashes[0] if len(hashes) == 1 else None)
    if chosen not in hashes:
        raise TableError(
            f"store {store.uri}: wanted one settings hash of feature set {feature_set}, "
            f"found {', '.join(hashes) or 'no usable scan'}; name one of them, or compute it first"
        )
    rows = [r for r in rows if r["settings_hash"] == chosen]
    versions = sorted({r["code_version"] for r in rows})
    if len(versions) > 1:
        raise TableError(
            f"store {store.uri}: {feature_set} rows come from versions {', '.join(versions)} of code or libraries, "
            "which may differ in value; run extract over the whole cohort"
        )
    return _features_of(store, feature_set, chosen, {_identity(r) for r in rows})


def read_deep(store: Store, model_id: str) -> pa.Table:
    """The deep table of a model: usable scans only, one row each, sorted by key; TableError as ``read_features``."""
    found = read_features(store, f"deep/{model_id}")
    whose = pa.array([model_id] * found.num_rows, pa.string())
    place = found.column_names.index("feature_set")
    return tables.check(tables.DEEP, found.set_column(place, pa.field("model_id", pa.string(), False), whose))


def add_features(store: Store, folder: str, rows: pa.Table) -> None:
    """Write finished radiomics rows, such as another store's, as shards; the caller commits their ledger rows."""
    _replace_shards(store, tables.RADIOMICS, folder, [], rows)


def read_volume(store: Store, row: dict) -> dict:
    """The volumes row that a ledger row of a recipe commits, as a dict of Python values and bytes."""
    return pq.read_table(io.BytesIO(store.get(row["object"]))).to_pylist()[0]


def read_staged(store: Store, row: dict) -> dict[str, float] | None:
    """The features that a ledger row commits, by name; None when they have moved into a shard."""
    try:
        data = store.get(row["object"])
    except FileNotFoundError:
        return None
    values = pa.ipc.open_file(data).read_all().column("values")[0].as_py()
    names = _feature_names(store, settings_folder(row["feature_set"], row["settings_hash"]))
    return dict(zip(names, values, strict=True))


def read_features_of(store: Store, rows: list[dict]) -> pa.Table:
    """The features that some ledger rows of one feature set and settings hash commit, whatever version made them."""
    return _features_of(store, rows[0]["feature_set"], rows[0]["settings_hash"], {_identity(row) for row in rows})


def compact(store: Store) -> int:
    """Move staged rows into Parquet shards, merging small shards on the way; the number of ledger rows moved.

    Safe at any time and beside other runs: shards are written before what they replace is deleted, and readers drop
    a row that they see twice. The commit objects stay: they are what makes a generation impossible to commit again.
    """
    history, loose, small = _history(store)
    folders = {(r["feature_set"], r["settings_hash"]) for r in loose if r["status"] in USABLE}
    last = {_identity(r): r for r in _last_generation(tables.LEDGER, history).to_pylist()}
    for feature_set, settings_hash in sorted(folders):
        if not feature_set.startswith("volumes/"):
            _compact_features(store, settings_folder(feature_set, settings_hash), last)
    if loose:
        old = [(name, _read_parquet(store, name)) for name in small]
        _replace_shards(store, tables.LEDGER, "ledger/shards", old, tables.build(tables.LEDGER, loose))
    return len(loose)


def _features_of(store: Store, feature_set: str, settings_hash: str, wanted: set[tuple]) -> pa.Table:
    found = _retry_when_moved(lambda: _read_rows(store, settings_folder(feature_set, settings_hash)))
    kept = _take(found, [i for i, identity in enumerate(_identities(found)) if identity in wanted])
    if kept.num_rows != len(wanted):
        raise TableError(
            f"store {store.uri}: {len(wanted)} {feature_set} rows are committed but {kept.num_rows} are there; "
            "objects were deleted by hand, run extract again with another store"
        )
    return tables.check(tables.RADIOMICS, kept)


def _compact_features(store: Store, folder: str, last: dict[tuple, dict]) -> None:
    names = _feature_names(store, folder)
    committed_objects = {row["object"] for row in last.values()}
    staged = [entry.key for entry in store.list(f"{folder}/staged")]
    ready = [name for name in staged if name in committed_objects]
    if not ready:
        return
    fresh = _widen(_get_all(store, ready), names)
    small = [(name, t) for name, t in _shards(store, folder) if t.num_rows < SMALL_SHARD]
    old = [(name, _take(t, [i for i, r in enumerate(_identities(t)) if r in last])) for name, t in small]
    _replace_shards(store, tables.RADIOMICS, folder, old, fresh)
    for name in ready:
        store.delete(name)


def _replace_shards(store: Store, kind: tables.Table, folder: str, old: list[tuple[str, pa.Table]], fresh) -> None:
    merged = _unique(kind, pa.concat_tables([t for _, t in old] + [fresh]))
    written = set()
    for start in range(0, merged.num_rows, SHARD_ROWS):
        data = _parquet(tables.check(kind, merged.slice(start, SHARD_ROWS)))
        name = f"{folder}/shard-{hashlib.sha256(data).hexdigest()[:16]}.parquet"
        store.create(name, data)
        written.add(name)
    for name, _ in old:
        if name not in written:
            store.delete(name)


def _history(store: Store) -> tuple[pa.Table, list[dict], list[str]]:
    """(all generations, the rows no shard holds yet, the names of small shards)."""

    def read() -> tuple[pa.Table, list[dict], list[str]]:
        shards = list(_shards(store, "ledger/shards"))
        sharded = pa.concat_tables([t for _, t in shards] or [tables.build(tables.LEDGER, [])])
        sharded = _unique(tables.LEDGER, sharded)
        known = {commit_name(r) for r in sharded.select([*KEY, "generation"]).to_pylist()}
        names = [e.key for e in store.list("ledger/commits") if e.key not in known]
        loose = [json.loads(data) for data in _get_all(store, names)]
        table = tables.check(tables.LEDGER, pa.concat_tables([sharded, tables.build(tables.LEDGER, loose)]))
        return table, loose, [name for name, t in shards if t.num_rows < SMALL_SHARD]

    return _retry_when_moved(read)


def _read_rows(store: Store, folder: str) -> pa.Table:
    # staged rows are listed first: one that moves into a shard in between is then seen twice, never missed
    staged = _get_all(store, [entry.key for entry in store.list(f"{folder}/staged")])
    names = _feature_names(store, folder)
    parts = [table for _, table in _shards(store, folder)] + [_widen(staged, names)]
    return _unique(tables.RADIOMICS, pa.concat_tables(parts))


def _widen(staged: list[bytes], names: tuple[str, ...]) -> pa.Table:
    schema = tables.RADIOMICS.schema(names)
    if not staged:
        return schema.empty_table()
    rows = pa.concat_tables([pa.ipc.open_file(data).read_all() for data in staged])
    values = rows.column("values").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    wide = values.reshape(rows.num_rows, len(names))
    fixed = [rows.column(c.name) for c in tables.RADIOMICS.columns]
    return pa.table([*fixed, *(pa.array(wide[:, i]) for i in range(len(names)))], schema=schema)


def _feature_names(store: Store, folder: str) -> tuple[str, ...]:
    return tuple(json.loads(store.get(f"{folder}/settings.json"))["names"])


def _shards(store: Store, folder: str) -> Iterable[tuple[str, pa.Table]]:
    for entry in store.list(folder):
        name = entry.key.removeprefix(f"{folder}/")
        if name.startswith("shard-"):
            yield entry.key, _read_parquet(store, entry.key)


def _stage(store: Store, folder: str, row: dict, data: bytes, ending: str) -> str:
    key = hashlib.sha256("\x1f".join(str(row[n]) for n in tables.SCAN_KEY).encode()).hexdigest()[:24]
    # the digest in the name keeps a racing or interrupted attempt from replacing what a ledger row has named
    name = f"{folder}/{key}.g{row['generation']:04d}.{hashlib.sha256(data).hexdigest()[:12]}.{ending}"
    store.put(name, data)
    return name


def _identity(row: dict) -> tuple:
    return (*(row[name] for name in KEY), row["generation"])


def _identities(table: pa.Table) -> list[tuple]:
    columns = [*KEY, "generation"]
    return list(zip(*(table.column(name).to_pylist() for name in columns), strict=True))


def _unique(kind: tables.Table, table: pa.Table) -> pa.Table:
    """Each key and generation once: a reader may see a row both staged and in a shard, or in two shards."""
    first = {identity: i for i, identity in reversed(list(enumerate(_identities(table))))}
    return tables.sort_by_key(kind, _take(table, sorted(first.values())))


def _take(table: pa.Table, rows: list[int]) -> pa.Table:
    return table.take(pa.array(rows, pa.int64()))  # typed, since pyarrow cannot take an empty list of no type


def _last_generation(kind: tables.Table, table: pa.Table) -> pa.Table:
    last: dict[tuple, tuple[int, int]] = {}
    for i, (*key, generation) in enumerate(_identities(table)):
        last[tuple(key)] = max(last.get(tuple(key), (0, 0)), (generation, i))
    return tables.sort_by_key(kind, _take(table, sorted(i for _, i in last.values())))


def _retry_when_moved(read: Callable):
    """Read again when an object listed a moment ago is gone: another run has just compacted it into a new shard."""
    for _ in range(4):
        try:
            return read()
        except FileNotFoundError:
            continue
    return read()


def _get_all(store: Store, names: list[str]) -> list[bytes]:
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(store.get, names))


def _read_parquet(store: Store, name: str) -> pa.Table:
    return pq.read_table(io.BytesIO(store.get(name)))


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _ipc(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
