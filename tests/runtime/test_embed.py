"""Embedding: one row for each scan, the same bits whoever else is there, nothing lost, nothing done twice."""

import json
import os
import signal

import pytest

from gc_ray import ledger, tables
from gc_ray.errors import BundleError, StudyError, TableError
from gc_ray.runtime.embed import Embedder, Request, embed
from gc_ray.runtime.networks import autoencoder_task, backbone_task
from gc_ray.runtime.train import Place, train
from gc_ray.store import open_store
from gc_ray.study import load_study

SMALL = (
    "autoencoder.input_voxels=16", "autoencoder.latent=4", "autoencoder.channels=8", "autoencoder.epochs=1",
    "backbone.depth=10", "clinical.source_label=''",
)  # fmt: skip


def study(workers: int = 0):
    """The study of the made-up store."""
    return load_study("recurrence", (*SMALL, f"embed.workers={workers}"))


def model_in(store, task=autoencoder_task) -> str:
    """A trained model's id."""
    made = task(store, study())
    train(made, Place(store, study().train), lambda *news: None, "run")
    return made.model_id


def run(store, model, workers=0, **options):
    """Embed as the command does; (summary, what was told)."""
    told = []
    watch = lambda totals: lambda site, status: told.append((site, status))  # noqa: E731
    summary = embed(Request(model, study(workers), store, **options), watch, "embed-1", iter(range(100)).__next__)
    return summary, told


def test_every_scan_gets_its_row_and_a_second_run_computes_nothing(network_store, any_store):
    """Counts, table, record and ledger agree."""
    model = model_in(network_store()(any_store))
    summary, told = run(any_store, model)
    assert (summary.computed, sum(summary.counts.values()), len(told)) == (26, 26, 26)
    deep = ledger.read_deep(any_store, model)
    assert deep.num_rows == 26
    assert deep.column_names[-4:] == ["deep_000", "deep_001", "deep_002", "deep_003"]
    assert deep.equals(tables.sort_by_key(tables.DEEP, deep))
    assert json.loads(any_store.get("runs/embed-1.json"))["computed"] == 26
    again, told = run(any_store, model)
    assert again.computed == 0
    assert {status for _, status in told} == {"unchanged"}
    assert ledger.read_deep(any_store, model).equals(deep)


def test_a_latent_does_not_depend_on_companions(network_store, tmp_path):
    """Bit-equal whether a scan is embedded first, in another run with others, or with all."""
    store = network_store()(open_store(str(tmp_path / "all")))
    model = model_in(store)
    run(store, model, limit=3)
    first = ledger.read_deep(store, model).to_pylist()
    run(store, model)
    assert ledger.read_deep(store, model).to_pylist()[:3] == first
    alone = Embedder(store, model, "cpu")
    rows = [r for r in ledger.read_ledger(store).to_pylist() if r["feature_set"] == f"deep/{model}"]
    sources = {
        r["scan_id"]: r for r in ledger.read_ledger(store).to_pylist() if r["feature_set"].startswith("volumes")
    }
    items = [{"row": r | {"generation": 2}, "source": sources[r["scan_id"]]} for r in rows]
    for item in reversed(items):
        alone([item])
    again = ledger.read_deep(store, model).drop_columns(["generation"])
    assert again.equals(_all(network_store, tmp_path, model).drop_columns(["generation"]))


def _all(network_store, tmp_path, model):
    store = network_store()(open_store(str(tmp_path / "other")))
    assert model_in(store) == model
    run(store, model)
    return ledger.read_deep(store, model)


def test_scans_without_input_end_with_a_reason(network_store, store):
    """A refused scan is refused, a deleted object is failed and tried again when it is back."""
    model = model_in(network_store()(store))
    rows = {r["scan_id"]: r for r in ledger.read_ledger(store).to_pylist() if r["feature_set"] == "volumes/guo2025"}
    refused = rows["s-P00"] | {"generation": 2, "status": "refused", "reason": "slices are missing", "object": ""}
    ledger.commit(store, refused)
    data = store.get(rows["s-P01"]["object"])
    store.delete(rows["s-P01"]["object"])
    summary, _ = run(store, model)
    assert sum(n for (_, status), n in summary.counts.items() if status == "ok") == 24
    assert summary.over_budget
    reasons = {scans: reason for reason, scans in summary.lost}
    assert reasons["s-P00",] == "there is no network input: slices are missing"
    assert "its network input is not in the store any more" in reasons["s-P01",]
    store.put(rows["s-P01"]["object"], data)
    again, _ = run(store, model)
    assert again.computed == 1
    assert ledger.read_deep(store, model).num_rows == 25


def test_a_changed_input_is_embedded_anew(network_store, store):
    """Another object of the same scan makes a new generation, which readers see."""
    model = model_in(network_store()(store))
    run(store, model)
    rows = {r["scan_id"]: r for r in ledger.read_ledger(store).to_pylist() if r["feature_set"] == "volumes/guo2025"}
    ledger.commit(store, rows["s-P00"] | {"generation": 2, "object": rows["s-P05"]["object"]})
    summary, _ = run(store, model)
    assert summary.computed == 1
    deep = {row["scan_id"]: row for row in ledger.read_deep(store, model).to_pylist()}
    assert deep["s-P00"]["generation"] == 2
    assert deep["s-P00"]["deep_000"] == deep["s-P05"]["deep_000"]


def test_what_cannot_be_embedded_is_an_error(network_store, store):
    """No model, no autoencoder, no input."""
    network_store(guo=False)(store)
    with pytest.raises(BundleError, match="model nothing: wanted"):
        run(store, "nothing")
    backbone = model_in(store, backbone_task)
    with pytest.raises(StudyError, match="embed wants an autoencoder, this is a backbone"):
        run(store, backbone)


def test_an_empty_volume_table_is_an_error(network_store, store, tmp_path):
    """A model copied to a store without inputs."""
    other = network_store()(open_store(str(tmp_path / "other")))
    model = model_in(other)
    for entry in other.list("models"):
        store.put(entry.key, other.get(entry.key))
    with pytest.raises(TableError, match="wanted network inputs guo2025 to embed, there is none"):
        run(store, model)


@pytest.mark.slow
def test_actors_give_the_table_of_one_process(network_store, ray_session, tmp_path, monkeypatch):
    """By Ray Data, with an actor that is killed once and a scan that always kills it: equal bits, one scan failed."""
    stores = [network_store()(open_store(str(tmp_path / name))) for name in "ab"]
    model = {model_in(store) for store in stores}.pop()
    run(stores[0], model)
    mark = tmp_path / "killed"

    class Deadly(Embedder):
        def __call__(self, items):
            scans = {item["row"]["scan_id"] for item in items}
            if "s-P03" in scans or ("s-P20" in scans and not mark.exists()):
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(items)

    monkeypatch.setattr("gc_ray.runtime.embed.Embedder", Deadly)
    summary, told = run(stores[1], model, workers=2)
    assert len(told) == 26
    assert [scans for _, scans in summary.lost] == [("s-P03",)]
    expected = [row for row in ledger.read_deep(stores[0], model).to_pylist() if row["scan_id"] != "s-P03"]
    assert ledger.read_deep(stores[1], model).to_pylist() == expected
