"""What a store holds: counted from ledger and cards, with what failed, what is half-written and what lacks."""

import json

import pytest

from gc_ray import ledger
from gc_ray.cli import main
from gc_ray.errors import TableError
from gc_ray.runtime.ingest import ingest
from gc_ray.runtime.show import Product, Reason, StoredRun, show
from gc_ray.runtime.show_lines import contents_lines


def ended(arguments: list[str]) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code


def lose(store, row: dict, status: str, reason: str, **changes) -> None:
    """Commit a ledger row like ``row`` that has no object."""
    ledger.commit(store, row | {"status": status, "stage": "mask", "reason": reason, "object": ""} | changes)


@pytest.fixture
def put_volume():
    """Commits the ledger row of a network input that nobody reads."""

    def put(store, patient: str, site: str, recipe: str) -> dict:
        key = {"scan_id": f"s-{patient}", "reader": "R1", "repeat": 0, "roi": "", "patient_id": patient, "site": site}
        row = {
            **key, "feature_set": f"volumes/{recipe}", "phase": "pv", "status": "ok", "stage": "done", "reason": "",
            "notes": [], "missing": "{}", "geometry": "{}", "mask_voxels": 1, "object": f"volumes/{patient}",
            "source_stamp": "", "source_sha256": "", "settings_hash": "h", "code_version": "1", "generation": 1,
            "seconds": 0.0, "peak_mb": 0.0,
        }  # fmt: skip
        ledger.commit(store, row)
        return row

    return put


def test_an_empty_store_is_one_line_and_exit_2(tmp_path, capsys):
    """A wrong address is told, not shown as a store without anything."""
    assert ended(["show", str(tmp_path / "none")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "nothing is there; check the address" in said.err
    assert not (tmp_path / "none").exists()


def test_results_are_counted_by_site_and_what_lacks_is_named(any_store, put_volume):
    """A scan that another feature set has is absent from the one that lacks it; reasons come with a scan each."""
    rows = [put_volume(any_store, f"P{i}", "A" if i < 3 else "B", "guo2025") for i in range(5)]
    for row in rows[:2]:
        lose(any_store, row, "refused", "the mask is empty", feature_set="quick")
    lose(any_store, rows[2], "failed", "the worker died", feature_set="quick")
    ledger.compact(any_store)
    found = show(any_store)
    assert found.outlines == 5
    assert found.products == (
        Product("quick", "A", 0, 0, 2, 1, 0),
        Product("quick", "B", 0, 0, 0, 0, 2),
        Product("volumes/guo2025", "A", 3, 0, 0, 0, 0),
        Product("volumes/guo2025", "B", 2, 0, 0, 0, 0),
    )
    assert found.reasons == (
        Reason("refused", "the mask is empty", 2, "s-P0"),
        Reason("failed", "the worker died", 1, "s-P2"),
    )


def test_a_scan_computed_anew_counts_once(store, put_volume):
    """The last generation is how a scan stands."""
    row = put_volume(store, "P0", "A", "guo2025")
    lose(store, row, "failed", "gone", generation=2)
    assert show(store).products == (Product("volumes/guo2025", "A", 0, 0, 0, 1, 0),)


def test_splits_models_tunings_and_reports_are_listed_and_half_written_ones_named(any_store, network_store):
    """What its card, written last, does not commit is said to be half-written."""
    network_store(guo=False)(any_store)
    card = {"kind": "head", "identity": {"study": "recurrence"}, "facts": {"backbone": "backbone-1"}}
    any_store.put("models/head-1/card.json", json.dumps(card).encode())
    any_store.put("models/backbone-1/weights-0.safetensors", b"x")
    any_store.put("checkpoints/autoencoder-1/000005-0.safetensors", b"x")
    tuned = {"lines": [{"model_id": "dls"}], "failed": {"clis": "no factor"}, "sources": {"head": "head-1"}}
    any_store.put("signatures/recurrence/t1/card.json", json.dumps(tuned).encode())
    any_store.put("tune/recurrence/t2/001-001-all-0.json", b"{}")
    any_store.put("tune/recurrence/t1-shuffled-outcome/001-001-all-0.json", b"{}")
    any_store.put("controls/recurrence/t1-shuffled-outcome.json", json.dumps({"found": {"dls": "AUC 0.5"}}).encode())
    any_store.put("reports/recurrence-1/index.html", b"x")
    any_store.put("reports/recurrence-2/figures/roc.svg", b"x")
    any_store.put("reproductions/recurrence/recurrence-3/index.html", b"x")
    found = show(any_store)
    (split,) = found.splits
    assert [(cohort.name, cohort.n, cohort.events) for cohort in split.cohorts] == [
        ("train", 12, None), ("internal", 4, None), ("external", 4, None), ("source", 6, None),
    ]  # fmt: skip
    assert (split.patients, split.folds) == (26, 3)
    assert {m.model_id: (m.whole, m.backbone) for m in found.models} == {
        "autoencoder-1": (False, ""),
        "backbone-1": (False, ""),
        "head-1": (True, "backbone-1"),
    }
    assert [(t.tune_id, t.whole, t.trials, t.models) for t in found.tunings] == [
        ("t1", True, 0, ("dls",)),
        ("t1-shuffled-outcome", True, 1, ("dls",)),
        ("t2", False, 1, ()),
    ]
    assert {page.folder: page.whole for page in found.pages} == {
        "reports/recurrence-1": True,
        "reports/recurrence-2": False,
        "reproductions/recurrence/recurrence-3": True,
    }
    text = "\n".join(contents_lines(found))
    for said in ("backbone-1  HALF-WRITTEN", "clis not fitted: no factor", "of head head-1", "1 trials are kept"):
        assert said in text
    assert text.endswith(
        "none of: scans, network inputs, deep tables, refused and failed results, by reason, scored by bundles, "
        "latest runs, the last one below"
    )


def test_the_latest_runs_are_shown_in_the_order_of_time(store):
    """By the time in their names, whatever the command; no more than ten."""
    for i in range(12):
        command = ("tune", "extract")[i % 2]
        record = {"run": f"{command}-20260101T0000{i:02d}Z-aa", "command": command, "exit_code": i % 4, "seconds": i}
        store.put(f"runs/{record['run']}.json", json.dumps(record).encode())
    runs = show(store).runs
    assert len(runs) == 10
    assert runs[-1] == StoredRun("extract-20260101T000011Z-aa", "extract", 3, 11)
    assert [run.seconds for run in runs] == list(range(2, 12))


def test_what_a_bundle_scored_stands_with_what_waits(store):
    """The last run of a bundle says how many scans wait; its drift verdict stands beside."""
    record = {"command": "rescore", "exit_code": 3, "bundle_id": "b1", "waiting": [{}, {}], "failed": [{}]}
    record["run"] = "rescore-20260101T000000Z-aa"
    store.put(f"runs/{record['run']}.json", json.dumps(record).encode())
    store.put("drift/b1/alert.json", json.dumps({"verdict": "too few"}).encode())
    (found,) = show(store).bundles
    assert (found.bundle_id, found.waiting, found.failed, found.drift) == ("b1", 2, 1, "too few")
    assert "0 scored, 0 refused; in its last run 2 waiting, 1 failed; drift: too few" in "\n".join(
        contents_lines(show(store))
    )


def test_the_command_prints_text_or_json(store, put_volume, capsys):
    """The same numbers for a person and for a program."""
    put_volume(store, "P0", "A", "guo2025")
    with pytest.raises(SystemExit) as end:
        main(["show", store.uri])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"store {store.uri}: 1 outlines\n\nnetwork inputs\n")
    assert ended(["show", store.uri, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["products"][0]["ok"] == 1


def test_a_spoilt_split_is_an_error(store, network_store):
    """A table that was changed by hand is not counted as if it were ours."""
    network_store(guo=False)(store)
    (entry,) = (entry for entry in store.list("splits/recurrence") if entry.key.endswith(".parquet"))
    store.put(entry.key, b"spoilt")
    with pytest.raises(TableError, match="was changed after it was stored; restore it"):
        show(store)


def test_features_made_elsewhere_are_shown_apart_from_what_was_extracted(store, put_volume, tmp_path):
    """By name, rows, patients and features; that nobody knows how they were computed."""
    (tmp_path / "f.csv").write_text("patient_id,reader,a,b\n1,R1,1,2\n1,R2,2,2\n2,R1,3,4\n")
    ingest(str(tmp_path / "f.csv"), "theirs", store, "ingest-1")
    put_volume(store, "P0", "A", "guo2025")
    found = show(store)
    (held,) = found.ingested
    assert (held.feature_set, held.rows, held.patients, held.features) == ("theirs", 3, 2, 2)
    lines = list(contents_lines(found))
    at = lines.index("features made elsewhere")
    assert lines[at + 1].startswith("  theirs: 3 rows of 2 patients, 2 features; how these were computed is not")
    assert lines[-1].startswith("none of: scans, deep tables")
