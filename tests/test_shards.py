"""Shards that belong together are named by the latest list."""

import pyarrow as pa

from gc_ray import shards, tables
from gc_ray.store import LocalStore

FOLDER = "ledger/shards"


class NotListedYet(LocalStore):
    """A folder whose lists are there and are not shown by a listing."""

    def list(self, prefix):
        """As a store."""
        return (entry for entry in super().list(prefix) if "/lists/" not in entry.key)


def test_the_first_list_is_found_when_a_listing_lags_behind(tmp_path):
    """It is asked for by name: without a list all shards would count, also those that no list names."""
    store = LocalStore(str(tmp_path))
    shards.add_rows(store, tables.LEDGER, FOLDER, pa.Table.from_pylist([], schema=tables.LEDGER.schema()))
    store.create(f"{FOLDER}/shard-0001-orphan.parquet", b"of a compaction that was cut off")
    assert shards.listed(NotListedYet(str(tmp_path)), FOLDER) == shards.Listed(1, {})


def test_without_any_list_all_shards_count(tmp_path):
    """A store of 0.1.0 has none."""
    store = LocalStore(str(tmp_path))
    store.create(f"{FOLDER}/shard-0001-old.parquet", b"")
    assert shards.listed(store, FOLDER) == shards.Listed(0, {f"{FOLDER}/shard-0001-old.parquet": 1})
