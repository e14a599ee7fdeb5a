"""What a store is asked before it is trusted: here its clock; the proofs of a run are tried in test_store.py."""

import os
import time

import pytest
from typer.testing import CliRunner

from gc_ray.cli import app
from gc_ray.errors import StoreError
from gc_ray.probe import store_time
from gc_ray.sealed import sha256
from gc_ray.store import LocalStore, open_store
from gc_ray.store_format import prepare

YEAR_S = 365 * 86400


class Ahead(LocalStore):
    """A store whose clock is a year ahead of this machine's."""

    def put(self, key, data):
        super().put(key, data)
        os.utime(self._path(key), (time.time() + YEAR_S,) * 2)

    def create(self, key, data):
        done = super().create(key, data)
        os.utime(self._path(key), (time.time() + YEAR_S,) * 2)
        return done


def test_the_time_of_a_store_is_that_of_its_own_clock(tmp_path):
    """Nothing is left of the look, and a store that lists late is refused."""
    assert store_time(Ahead(str(tmp_path))) == pytest.approx(time.time() + YEAR_S, abs=60)
    assert list(open_store(str(tmp_path)).list("")) == []

    class Late(LocalStore):
        def list(self, prefix):
            return iter(())

    with pytest.raises(StoreError, match="is not listed"):
        store_time(Late(str(tmp_path)))


@pytest.mark.parametrize("shift", [YEAR_S, -YEAR_S])
def test_clean_goes_by_the_clock_of_the_store(tmp_path, monkeypatch, shift):
    """A machine whose clock is wrong neither deletes what a run is writing now, nor keeps what is old."""
    store, now = open_store(str(tmp_path)), time.time()
    prepare(store)
    digest = sha256(b"1")[:12]
    for name in ("young", "old"):
        store.put(f"volumes/quick/h/{name}.{digest}.parquet", b"1")
    os.utime(tmp_path / f"volumes/quick/h/old.{digest}.parquet", (now - 8 * 86400,) * 2)
    monkeypatch.setattr(time, "time", lambda: now + shift)
    done = CliRunner().invoke(app, ["clean", str(tmp_path), "--yes"])
    assert done.exit_code == 0, done.output
    assert [entry.key for entry in store.list("volumes")] == [f"volumes/quick/h/young.{digest}.parquet"]
