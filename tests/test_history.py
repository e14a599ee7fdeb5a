"""Writers, compactors and readers at once: every read is explained by an order of the commits."""

import sys
from pathlib import Path

import pytest

from gc_ray import shards
from gc_ray.store import LocalStore

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def history():
    """The module that makes and checks histories."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import history

        yield history
    sys.modules.pop("history", None)


@pytest.mark.parametrize("kind", ["local", "late"])
def test_every_read_is_explained(history, tmp_path, kind):
    """A folder, and a store in memory whose listings lag behind."""
    store = LocalStore(str(tmp_path)) if kind == "local" else history.Late()
    made = history.history(store, 400)
    assert made.check() == []
    assert len(made.reads) > 50 and len(made.commits) > 50


@pytest.mark.slow
def test_every_read_is_explained_on_s3(history, s3_store):
    """The same on a real server."""
    assert history.history(s3_store, 300).check() == []


def test_a_store_that_loses_rows_is_found_out(history, monkeypatch):
    """The check itself: rows whose marks are deleted and that get into no shard are missed."""
    add_marked = shards.add_marked

    def lossy(store, kind, folder, fresh, marks):
        if shards.listed(store, folder).rows:
            shards.delete_all(store, marks)
        else:
            add_marked(store, kind, folder, fresh, marks)

    monkeypatch.setattr(shards, "add_marked", lossy)
    assert history.history(history.Late(lag=1), 200).check()
