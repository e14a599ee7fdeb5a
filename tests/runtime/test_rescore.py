"""A study frozen into a bundle, and new scans scored by it: each once, to the same bits, with its domain verdict."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pydicom
import pytest

from gc_ray import ledger
from gc_ray.errors import BundleError, StudyError, TableError
from gc_ray.models.bundle import Bundle, read_bundle, write_bundle
from gc_ray.runtime import audit
from gc_ray.runtime.bundle import bundle
from gc_ray.runtime.drift import write_drift
from gc_ray.runtime.incoming import find_series, pseudonym
from gc_ray.runtime.products import describe, products_of
from gc_ray.runtime.rescore import Rescored, rescore
from gc_ray.runtime.train import unwatched
from gc_ray.store import Store, open_store
from gc_ray.study import load_study

SITE_KEY = b"a key of this site alone"
MEASURED = ["scored_at", "run", "sequence"]


def results(store: Store, bundle_id: str) -> pa.Table:
    """The scores without what a run may differ in."""
    return audit.read_scores(store, bundle_id).drop_columns(MEASURED)


@pytest.fixture(scope="module")
def first(frozen, tmp_path_factory) -> tuple[Store, Rescored]:
    """All new scans scored in this process."""
    store = open_store(str(tmp_path_factory.mktemp("first") / "store"))
    return store, rescore(frozen.request(store), unwatched, "rescore-1")


def test_each_new_scan_gets_risk_group_interval_and_verdict(frozen, first):
    """Scores lie in their intervals, groups go by the frozen cutoff, and what the interval means is said."""
    store, found = first
    assert (found.scans, found.scored + found.refused, found.waiting, found.failed) == (8, 8, (), ())
    held = read_bundle(frozen.out)
    for row in audit.read_scores(store, found.bundle_id).to_pylist():
        assert row["verdict"] in ("in-domain", "borderline", "refused")
        assert row["interval"] == "coefficient uncertainty only"
        assert set(held.card["feature_order"]) <= set(json.loads(row["predictors"]))
        if row["status"] == "scored":
            assert 0 < row["lower"] < row["score"] < row["upper"] < 1
            assert row["risk_group"] == ("high" if row["score"] > held.cutoff["cutoff"] else "low")
        else:
            assert row["reasons"]
    assert found.scored >= 6


def test_the_same_command_again_computes_nothing(frozen, first):
    """What is scored with these inputs is left alone; the run is recorded."""
    store, _ = first
    before = {entry.key: entry.stamp for entry in store.list("audit")}
    again = rescore(frozen.request(store), unwatched, "rescore-2")
    assert (again.scored, again.refused, again.already) == (0, 0, 8)
    assert {entry.key: entry.stamp for entry in store.list("audit")} == before
    assert json.loads(store.get("runs/rescore-2.json"))["already"] == 8


def test_scores_are_rebuilt_from_the_audit_alone(first):
    """The compacted table may be lost: the commits are the truth."""
    store, found = first
    before = results(store, found.bundle_id)
    for entry in list(store.list(f"scores/bundles/{found.bundle_id}")):
        store.delete(entry.key)
    assert audit.compact(store, found.bundle_id) == 8
    assert results(store, found.bundle_id).equals(before)


def test_a_changed_input_is_scored_anew_and_the_old_result_stays(frozen, first, tmp_path):
    """Another clinical value is another input; the result of the former one is still on record."""
    store, found = first
    frame = pd.read_csv(frozen.clinical)
    frame.loc[0, "stage"] = "III"
    frame.to_csv(tmp_path / "new.csv", index=False)
    again = rescore(frozen.request(store, clinical=str(tmp_path / "new.csv")), unwatched, "rescore-3")
    assert (again.scored + again.refused, again.already) == (1, 7)
    assert results(store, found.bundle_id).num_rows == 9
    rescore(frozen.request(store), unwatched, "rescore-4")


def test_a_scan_waits_for_its_mask_and_its_predictors(frozen, tmp_path):
    """Waiting scans are named with what they lack, and scored once it is there."""
    store, frame = open_store(str(tmp_path / "store")), pd.read_csv(frozen.clinical)
    frame[1:].to_csv(tmp_path / "new.csv", index=False)
    scans = pd.concat([pd.read_csv(path) for path in frozen.manifests])
    scans["image"] = [str(frozen.cohort / path) for path in scans["image"]]
    scans["mask"] = [str(frozen.cohort / path) for path in scans["mask"]]
    own = scans[(scans["reader"] == "R1") & (scans["repeat"] == 0)].sort_values("patient_id")[:2]
    missing = own.copy()
    missing.iloc[1, missing.columns.get_loc("mask")] = str(tmp_path / "later.dcm")
    missing.to_csv(tmp_path / "scans.csv", index=False)
    asked = frozen.request(store, scans=(str(tmp_path / "scans.csv"),), clinical=str(tmp_path / "new.csv"))
    found = rescore(asked, unwatched, "rescore-1")
    assert [w.scan_id for w in found.waiting] == own["scan_id"].to_list()
    assert "stage" in found.waiting[0].reason and "mask" in found.waiting[1].reason
    (tmp_path / "later.dcm").write_bytes(Path(own["mask"].iloc[1]).read_bytes())
    found = rescore(replace(asked, clinical=frozen.clinical), unwatched, "rescore-2")
    assert (found.scored + found.refused, found.waiting) == (2, ())


def test_a_prefix_is_searched_and_series_are_paired_with_their_outline(frozen, tmp_path, monkeypatch):
    """Series are named by the site's key; one whose outline is missing waits; no header value is kept."""
    store = open_store(str(tmp_path / "store"))
    rows, waiting = find_series(str(frozen.cohort), store, SITE_KEY, load_study(frozen.study).scans)
    assert len(rows) + len(waiting) == 8
    assert rows and all(len(row.scan_id) == 32 and row.phase == "" for row in rows)
    again = find_series(str(frozen.cohort), store, SITE_KEY, load_study(frozen.study).scans)
    assert again == (rows, waiting)
    monkeypatch.chdir(frozen.cohort.parent)
    assert find_series(frozen.cohort.name, store, SITE_KEY, load_study(frozen.study).scans) == again
    other, _ = find_series(str(frozen.cohort), store, b"another key, of a site", load_study(frozen.study).scans)
    assert not {row.scan_id for row in rows} & {row.scan_id for row in other}
    with pytest.raises(StudyError, match="site-key"):
        rescore(frozen.request(store, scans=(str(frozen.cohort),)), unwatched, "rescore-1")


def test_new_series_of_a_prefix_are_scored_and_nothing_of_a_header_is_kept(frozen, tmp_path):
    """Patients are found in the clinical table by the key; ids and names of headers are in no object."""
    store, incoming = open_store(str(tmp_path / "store")), frozen.cohort
    headers = {}
    for path in sorted(incoming.rglob("*.dcm")):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        headers[str(header.PatientID)] = str(header.PatientName)
    frame = pd.DataFrame({"patient_id": sorted(headers), "age": 61, "stage": "II"})
    frame.to_csv(tmp_path / "new.csv", index=False)
    asked = frozen.request(store, scans=(str(incoming),), clinical=str(tmp_path / "new.csv"), site_key=SITE_KEY)
    found = rescore(asked, unwatched, "rescore-1")
    assert found.scored + found.refused + len(found.waiting) == 8
    assert found.scored + found.refused > 0
    rows = audit.read_scores(store, found.bundle_id).to_pylist()
    assert all(any("phase is not stated" in reason for reason in row["reasons"]) for row in rows)
    again = rescore(asked, unwatched, "rescore-2")
    assert (again.scored, again.refused, again.already) == (0, 0, len(rows))
    for entry in store.list(""):
        for planted in (*headers, *headers.values()):
            assert planted.encode() not in store.get(entry.key) + entry.key.encode(), entry.key


def one_outline_each(frozen) -> pd.DataFrame:
    """Image folder and mask file of each scan: an RTSTRUCT where there is one, a SEG otherwise."""
    scans = pd.concat([pd.read_csv(path) for path in frozen.manifests])
    scans = scans[scans["repeat"] == 0].sort_values(["scan_id", "reader"])
    scans = scans.drop_duplicates("scan_id", keep="last", ignore_index=True)
    header = [pydicom.dcmread(next(iter((frozen.cohort / f).glob("*.dcm")))) for f in scans["image"]]
    return scans.assign(series=[str(h.SeriesInstanceUID) for h in header], whose=[str(h.PatientID) for h in header])


def by_slices_alone(mask: Path) -> bytes:
    """An outline that names the slices it was drawn on, and no series."""
    header = pydicom.dcmread(mask)
    for name in ("ReferencedSeriesSequence", "ReferencedFrameOfReferenceSequence"):
        if name in header:
            del header[name]
    sink = io.BytesIO()
    header.save_as(sink)
    return sink.getvalue()


def test_an_outline_that_names_no_series_is_paired_by_its_slices(frozen, tmp_path):
    """SEG by the source images of its frames, RTSTRUCT by those of its contours; slices of nobody pair nothing."""
    scans, wanted = one_outline_each(frozen), load_study(frozen.study).scans
    store, incoming = open_store(str(tmp_path / "store")), tmp_path / "incoming"
    for i, scan in scans.iterrows():
        shutil.copytree(frozen.cohort / scan["image"], incoming / f"{i}" / "ct")
        (incoming / f"{i}" / "outline.dcm").write_bytes(by_slices_alone(frozen.cohort / scan["mask"]))
    assert {mask[-8:] for mask in scans["mask"]} == {"R1_0.dcm", "R2_0.dcm"}
    shutil.rmtree(incoming / "0" / "ct")
    rows, waiting = find_series(str(incoming), store, SITE_KEY, wanted)
    assert ({row.scan_id for row in rows}, waiting) == ({pseudonym(SITE_KEY, uid) for uid in scans["series"][1:]}, [])
    assert all(row.mask_uri == f"{row.image_uri.removesuffix('ct')}outline.dcm" for row in rows)


def test_a_damaged_outline_is_no_outline(frozen, tmp_path):
    """A sequence that holds something else costs neither the run nor another series: its own series waits."""
    scan, wanted = one_outline_each(frozen).iloc[0], load_study(frozen.study).scans
    shutil.copytree(frozen.cohort / scan["image"], tmp_path / "incoming" / "ct")
    header = pydicom.dcmread(frozen.cohort / scan["mask"])
    name = (
        "ReferencedSeriesSequence" if "ReferencedSeriesSequence" in header else "ReferencedFrameOfReferenceSequence"
    )
    header[name] = pydicom.DataElement(header[name].tag, "LO", "text")
    header.save_as(tmp_path / "incoming" / "outline.dcm")
    rows, (waiting,) = find_series(str(tmp_path / "incoming"), open_store(str(tmp_path / "s")), SITE_KEY, wanted)
    assert (rows, waiting.scan_id) == ([], pseudonym(SITE_KEY, scan["series"]))


@pytest.mark.slow
def test_new_series_below_an_s3_prefix_are_scored_once_under_the_names_of_the_key(frozen, s3_store, tmp_path):
    """SEG and RTSTRUCT beside their series on S3, one by its slices alone; one comes later, and is scored then."""
    incoming, scans = open_store(f"{s3_store.uri.removesuffix('store')}new"), one_outline_each(frozen)
    pd.DataFrame({"patient_id": scans["whose"], "age": 61, "stage": "II"}).to_csv(tmp_path / "c.csv", index=False)
    for i, scan in scans.iterrows():
        for path in sorted((frozen.cohort / scan["image"]).glob("*.dcm")):
            incoming.put(f"day/{i}/ct/{path.name}", path.read_bytes())
        mask = frozen.cohort / scan["mask"]
        if i:
            incoming.put(f"day/{i}/outline.dcm", by_slices_alone(mask) if i == 1 else mask.read_bytes())
    asked = frozen.request(s3_store, scans=(f"{incoming.uri}/",), clinical=str(tmp_path / "c.csv"), site_key=SITE_KEY)
    names = [pseudonym(SITE_KEY, uid) for uid in scans["series"]]
    found = rescore(asked, unwatched, "rescore-1")
    assert (found.scored + found.refused, found.failed, [w.scan_id for w in found.waiting]) == (7, (), names[:1])
    incoming.put("day/0/outline.dcm", (frozen.cohort / scans["mask"][0]).read_bytes())
    found = rescore(asked, unwatched, "rescore-2")
    assert (found.scored + found.refused, found.already, found.waiting) == (1, 7, ())
    found = rescore(asked, unwatched, "rescore-3")
    assert (found.scored + found.refused, found.already) == (0, 8)
    assert sorted(audit.read_scores(s3_store, found.bundle_id)["scan_id"].to_pylist()) == sorted(names)


def test_drift_is_written_beside_the_scores(frozen, first, tmp_path):
    """Eight scans are too few; eighty from elsewhere alert, in a file that a scheduler can read."""
    store, found = first
    alert = json.loads(store.get(f"drift/{found.bundle_id}/alert.json"))
    assert (alert["verdict"], alert["alerts"], found.drift) == ("too few", [], "too few")
    held, other = read_bundle(frozen.out), open_store(str(tmp_path / "store"))
    row = audit.read_scores(store, found.bundle_id).to_pylist()[0]
    far = {name: 1e3 * (1 + abs(value)) for name, value in json.loads(row["predictors"]).items()}
    for i in range(80):
        moved = row | {"scan_id": f"n{i}", "predictors": json.dumps(far), "status": "refused", "score": None}
        audit.commit(other, audit.name_of(moved), moved)
    assert write_drift(other, held, None, "rescore-1", "2026-01-01") == "alert"
    assert "refusals" in json.loads(other.get(f"drift/{found.bundle_id}/alert.json"))["alerts"]
    assert b"<table>" in other.get(f"drift/{found.bundle_id}/rescore-1.html")


def parts(store: Store) -> list[str]:
    """Everything in a bundle."""
    return [entry.key for entry in store.list("")]


def copied(frozen, folder: Path, key: bytes | None = None) -> Store:
    """The bundle at another place."""
    store = open_store(str(folder))
    write_bundle(store, read_bundle(frozen.out), key)
    return store


def test_a_bundle_holds_data_alone(frozen):
    """JSON and safetensors: nothing in it can be executed."""
    assert {Path(name).suffix for name in parts(frozen.out)} == {".json", ""}
    assert [name for name in parts(frozen.out) if not Path(name).suffix] == ["SHA256SUMS"]
    held = read_bundle(frozen.out)
    text = json.dumps([held.card, held.reference, held.scoring])
    assert "T000" not in text and "s-T0" not in text


def test_a_bundle_read_and_written_again_is_the_same_to_the_byte(frozen, tmp_path):
    """The id is a digest of content alone: no clock, no place."""
    other = copied(frozen, tmp_path / "copy")
    assert {name: other.get(name) for name in parts(other)} == {
        name: frozen.out.get(name) for name in parts(frozen.out)
    }
    assert read_bundle(other).bundle_id == read_bundle(frozen.out).bundle_id


def test_tampering_with_any_part_is_refused_by_its_name(frozen, tmp_path):
    """A flipped bit anywhere, a missing part and an added one: each is named."""
    other = copied(frozen, tmp_path / "copy", b"k" * 16)
    for name in parts(other):
        data = other.get(name)
        for changed in (data[:-2] + bytes([data[-2] ^ 1]) + data[-1:], data + b" "):
            other.put(name, changed)
            with pytest.raises(BundleError, match="part "):
                read_bundle(other, b"k" * 16)
        other.delete(name)
        with pytest.raises(BundleError, match=name.replace(".", r"\.")):
            read_bundle(other, b"k" * 16)
        other.put(name, data)
    assert read_bundle(other, b"k" * 16).sealed
    with pytest.raises(BundleError, match=r"SHA256SUMS\.hmac"):
        read_bundle(other, b"another key, no less")
    with pytest.raises(BundleError, match=r"SHA256SUMS\.hmac"):
        read_bundle(frozen.out, b"k" * 16)
    other.put("run.py", b"print()")
    with pytest.raises(BundleError, match=r"run\.py"):
        read_bundle(other)


def rewritten(held: Bundle, folder: Path, **changes) -> Store:
    """The bundle with other content, whole by its own sums."""
    store = open_store(str(folder))
    write_bundle(store, replace(held, **changes))
    return store


def test_another_schema_version_or_code_is_refused(frozen, tmp_path, monkeypatch):
    """A bundle of another time is not guessed at."""
    held = read_bundle(frozen.out)
    old = rewritten(held, tmp_path / "a", card=held.card | {"environment": {"numpy": "1.4.0"}})
    with pytest.raises(BundleError, match=r"card\.json.*numpy 1\.4\.x"):
        read_bundle(old)
    codes = held.features | {"codes": held.features["codes"] | {"extract": "0"}}
    other = rewritten(held, tmp_path / "b", features=codes)
    with pytest.raises(BundleError, match=r"features\.json.*extract"):
        rescore(frozen.request(open_store(str(tmp_path / "s")), bundle=read_bundle(other)), unwatched, "r")
    monkeypatch.setattr("gc_ray.models.bundle.SCHEMA", 9)
    with pytest.raises(BundleError, match="schema"):
        read_bundle(frozen.out)


def test_only_what_is_there_can_be_bundled(frozen, tmp_path):
    """An unknown signature and an untuned study are errors that say what to do."""
    study = load_study(frozen.study)
    with pytest.raises(StudyError, match="factors, image, fused"):
        bundle(frozen.training, study, "nobody", open_store(str(tmp_path / "a")), None)
    with pytest.raises(TableError, match="tune first"):
        bundle(frozen.training, load_study(frozen.study, ("tune.seed=9",)), "fused", open_store(str(tmp_path)), None)
    with pytest.raises(BundleError, match="another bundle"):
        bundle(frozen.training, study, "image", frozen.out, None)


def test_the_command_line_bundles_and_seals(frozen, tmp_path):
    """The same bundle as by the function, with a seal; a key that is too short is turned down."""
    (tmp_path / "key").write_bytes(b"k" * 16 + b"\n")
    made = [sys.executable, "-c", "from gc_ray.cli import main; main()", "bundle", "--study", frozen.study]
    made += ["--store", frozen.training.uri, "--model", "fused", "--out", str(tmp_path / "out")]
    done = subprocess.run([*made, "--seal-key", str(tmp_path / "key")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    held = read_bundle(open_store(str(tmp_path / "out")), b"k" * 16)
    assert (held.bundle_id, held.sealed) == (read_bundle(frozen.out).bundle_id, True)
    assert held.bundle_id in done.stdout
    (tmp_path / "key").write_bytes(b"short")
    done = subprocess.run([*made, "--seal-key", str(tmp_path / "key")], capture_output=True, text=True, check=False)
    assert (done.returncode, "key: wanted a key of 16 bytes" in done.stderr) == (2, True)


def command(frozen, store: Store, workers: int) -> list[str]:
    """The rescoring as a process of its own."""
    made = [sys.executable, "-c", "from gc_ray.cli import main; main()", "rescore", "--bundle", frozen.out.uri]
    made += [f"--scans={path}" for path in frozen.manifests]
    return [*made, "--clinical", frozen.clinical, "--store", store.uri, "--workers", str(workers)]


def test_of_two_rescorings_that_overlap_one_commits(frozen, first, tmp_path):
    """A second run begins and ends in the midst of the first: each scan has the result of whoever was first."""
    store, (expected, found) = open_store(str(tmp_path / "store")), first
    inner = []

    def in_between(site: str, status: str) -> None:
        if not inner:
            inner.append(None)
            inner[0] = rescore(frozen.request(store), unwatched, "inner")

    outer = rescore(frozen.request(store), lambda totals: in_between, "outer")
    assert (inner[0].scored + inner[0].refused, outer.scored + outer.refused, outer.already) == (8, 0, 8)
    assert set(audit.read_scores(store, found.bundle_id)["run"].to_pylist()) == {"inner"}
    wanted = results(expected, found.bundle_id).to_pylist()
    assert all(row in wanted for row in results(store, found.bundle_id).to_pylist())


def test_the_commit_is_exclusive(frozen, first, tmp_path):
    """The second of two results for the same inputs is dropped, and the first one stands."""
    store, row = open_store(str(tmp_path / "store")), audit.read_scores(first[0], first[1].bundle_id).to_pylist()[0]
    name = audit.name_of(row)
    assert audit.commit(store, name, row)
    assert not audit.commit(store, name, row | {"run": "another"})
    assert json.loads(store.get(name))["run"] == row["run"]


@pytest.mark.slow
def test_two_rescorings_at_once_and_a_killed_one_have_their_effect_once(frozen, first, tmp_path):
    """Killed in the midst, then two at a time: every scan is there once, to the bits of an undisturbed run."""
    store, (expected, found) = open_store(str(tmp_path / "store")), first
    run = subprocess.Popen(command(frozen, store, 0), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(store.list("ledger/commits"))) < 2 and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.02)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    both = [subprocess.Popen(command(frozen, store, 0), stderr=subprocess.PIPE) for _ in range(2)]
    errors = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    rescore(frozen.request(store), unwatched, "rescore-9")
    assert len(audit.committed(store, found.bundle_id)) == 8
    wanted = results(expected, found.bundle_id).to_pylist()
    assert all(row in wanted for row in results(store, found.bundle_id).to_pylist())


@pytest.mark.slow
def test_ray_gives_the_same_bits(frozen, first, ray_session, tmp_path):
    """Four workers of Ray against this process alone."""
    store, (expected, found) = open_store(str(tmp_path / "store")), first
    rescore(frozen.request(store, workers=4), unwatched, "rescore-1")
    wanted = results(expected, found.bundle_id).to_pylist()
    assert results(store, found.bundle_id).num_rows == 8
    assert all(row in wanted for row in results(store, found.bundle_id).to_pylist())


@pytest.mark.slow
def test_of_a_thousand_scored_scans_nothing_is_done_again(frozen, first, tmp_path):
    """Nothing is opened and no Ray is started to find that there is nothing to do."""
    store, seen = open_store(str(tmp_path / "store")), first[0]
    row = next(r for r in ledger.read_ledger(seen).to_pylist() if r["status"] == "ok")
    manifest = pd.concat([pd.read_csv(path) for path in frozen.manifests])
    like = manifest[
        (manifest["scan_id"] == row["scan_id"]) & (manifest["reader"] == "R1") & (manifest["repeat"] == 0)
    ]
    like = like.assign(
        image=str(frozen.cohort / like["image"].iloc[0]), mask=str(frozen.cohort / like["mask"].iloc[0])
    )
    scans = pd.concat([like.assign(scan_id=f"s{i:04d}") for i in range(1000)])
    scans.to_csv(tmp_path / "scans.csv", index=False)
    values = ledger.read_features_of(seen, [row]).to_pylist()[0]
    describe(products_of(load_study(frozen.study).extract)["quick"], store)
    names = [name for name in values if "_" in name and name not in ("scan_id", "patient_id", "feature_set")]
    for scan in scans["scan_id"]:
        key = {
            name: row[name] for name in ("reader", "repeat", "roi", "patient_id", "site", "feature_set", "generation")
        }
        staged = ledger.stage_features(
            store, key | {"scan_id": scan}, row["settings_hash"], [values[n] for n in names]
        )
        ledger.commit(store, row | {"scan_id": scan, "object": staged})
    asked = frozen.request(store, scans=(str(tmp_path / "scans.csv"),))
    begin = time.monotonic()
    found = rescore(asked, unwatched, "rescore-1")
    middle = time.monotonic()
    again = rescore(replace(asked, bundle=read_bundle(frozen.out)), unwatched, "rescore-2")
    end = time.monotonic()
    assert (found.scored + found.refused, again.already) == (1000, 1000)
    print(f"first {middle - begin:.2f} s, again {end - middle:.2f} s")


@pytest.mark.slow
def test_one_new_scan_on_a_warm_cluster_is_all_that_is_computed(frozen, ray_session, tmp_path):
    """Seconds beside those of the ledger: finding, scheduling, scoring, committing, compacting, drift."""
    store = open_store(str(tmp_path / "store"))
    whole = pd.concat([pd.read_csv(path) for path in frozen.manifests])
    whole = whole[(whole["reader"] == "R1") & (whole["repeat"] == 0)]
    whole = whole.assign(**{name: [str(frozen.cohort / path) for path in whole[name]] for name in ("image", "mask")})
    for n in (4, 5):  # the first call warms workers up
        whole[:n].to_csv(tmp_path / "scans.csv", index=False)
        begin = time.monotonic()
        asked = frozen.request(store, scans=(str(tmp_path / "scans.csv"),), workers=2)
        found = rescore(asked, unwatched, f"rescore-{n}")
        seconds = time.monotonic() - begin
    last = next(r for r in ledger.read_ledger(store).to_pylist() if r["scan_id"] == whole["scan_id"].iloc[4])
    assert (found.scored + found.refused, found.already) == (1, 4)
    print(f"{seconds:.2f} s, of which extraction {last['seconds']:.2f} s")
