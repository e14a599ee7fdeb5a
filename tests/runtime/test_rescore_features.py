"""A model of features made elsewhere: frozen with what is known of them, and new rows of a table scored once each."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from gc_ray import ledger
from gc_ray.cli import main
from gc_ray.errors import StudyError, TableError
from gc_ray.models.bundle import Bundle, Network, read_bundle
from gc_ray.report.facts_design import DESIGN
from gc_ray.report.inputs import from_store
from gc_ray.runtime import audit
from gc_ray.runtime.bundle import _features, bundle
from gc_ray.runtime.gather import gather
from gc_ray.runtime.ingest import ingest
from gc_ray.runtime.rescore import Request, Rescored, rescore
from gc_ray.runtime.rescore_input import check_source
from gc_ray.runtime.split import split
from gc_ray.runtime.train import unwatched
from gc_ray.runtime.tune import tune
from gc_ray.store import Store, open_store
from gc_ray.study import Study, load_study

STUDY = """
name = "s"
[extract]
feature_sets = []
[clinical]
outcome = "died"
predictors = ["age"]
[clinical.columns]
age = {{ kind = "number", unit = "years", low = 0, high = 120 }}
[split]
train_share = 0.7
folds = 2
[[signature]]
name = "texture"
families = ["radiomics"]
steps = [{{ step = "strongest", number = 2 }}]
{harmonise}
[[signature]]
name = "factors"
families = ["clinical"]
[[signature]]
name = "fused"
scores_of = ["texture"]
predictors_of = ["factors"]
[tune]
feature_set = "guo2025"
inner_folds = 2
samples = 0
"""
N = 120
NAMES = ["f0", "f1", "f2", "f3"]
HARMONISE = 'harmonise = { families = ["radiomics"] }'


@dataclass(frozen=True)
class Made:
    """A tuned study of an ingested table and its bundle ``fused``."""

    folder: Path
    study: Study
    store: Store
    out: Store

    def table(self, **changes) -> pd.DataFrame:
        """The features table of the study, with some columns replaced."""
        found = pd.read_csv(self.folder / "features.csv", dtype={"patient_id": str}, float_precision="round_trip")
        return found.assign(**changes)

    def rescored(self, store: Store, table: pd.DataFrame, clinical: pd.DataFrame | None = None, **more) -> Rescored:
        """The rows of a table scored into a store, with the study's own clinical table unless another is given."""
        path, listed = Path(store.uri).parent / "new.csv", self.folder / "clinical.csv"
        table.to_csv(path, index=False)
        if clinical is not None:
            listed = Path(store.uri).parent / "new_clinical.csv"
            clinical.to_csv(listed, index=False)
        runs = len([entry for entry in store.list("runs")])
        asked = {"features": str(path), "clinical": str(listed)} | more
        request = Request(read_bundle(self.out), (), store, f"2026-01-01T00:00:{runs:02d}+00:00", **asked)
        return rescore(request, unwatched, f"rescore-{runs}")


def make(folder: Path, harmonise: str = "") -> Made:
    """120 made-up patients of two sites, the second with other features by 2; f0 and the age tell of the outcome."""
    rng = np.random.default_rng(1)
    site, age = np.where(np.arange(N) % 2, "A", "B"), rng.normal(60, 10, N).round(1)
    x = rng.normal(size=(N, len(NAMES)))
    died = rng.random(N) < 1 / (1 + np.exp(-(1.5 * x[:, 0] + (age - 60) / 10)))
    x += 2.0 * (site == "B")[:, None] * bool(harmonise)
    ids = {"patient_id": [f"{i:03d}" for i in range(N)], "site": site}
    pd.DataFrame(ids | dict(zip(NAMES, x.T, strict=True))).to_csv(folder / "features.csv", index=False)
    pd.DataFrame(ids | {"died": died.astype(int), "age": age}).to_csv(folder / "clinical.csv", index=False)
    (folder / "study.toml").write_text(STUDY.format(harmonise=harmonise))
    study, store = load_study(str(folder / "study.toml")), open_store(str(folder / "store"))
    ingest(str(folder / "features.csv"), "guo2025", store, "ingest-1")  # by a name that extraction has as well
    split(str(folder / "clinical.csv"), study, store, "split-1")
    tune(store, study, 0, unwatched, "tune-1")
    out = open_store(str(folder / "bundle"))
    bundle(store, study, "fused", out, None)
    return Made(folder, study, store, out)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    """Features as they are."""
    return make(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def harmonised(tmp_path_factory) -> Made:
    """Features freed of their sites."""
    return make(tmp_path_factory.mktemp("harmonised"), HARMONISE)


def scores(store: Store, found: Rescored) -> pd.DataFrame:
    """All results by patient."""
    return audit.read_scores(store, found.bundle_id).to_pandas().set_index("patient_id")


def final(made: Made) -> pd.Series:
    """The scores that ``tune`` gave by the fit to the training cohort, by patient."""
    found = from_store(made.store, made.study, None).scores
    kept = (found["model_id"] == "fused") & (found["variant"] == "leak_free") & (found["kind"] == "final")
    return found[kept].set_index("patient_id")["score"]


def test_a_bundle_says_that_its_features_were_made_elsewhere(made):
    """Name, number, digest of the names and the columns it takes; that nobody knows how they were computed."""
    held = read_bundle(made.out)
    folder = next(entry.key for entry in made.store.list("radiomics/guo2025") if entry.key.endswith("settings.json"))
    settings = folder.split("/")[2]
    elsewhere = held.card["features"]
    assert elsewhere == held.features["elsewhere"]
    assert {k: elsewhere[k] for k in ("made", "name", "features", "settings")} == {
        "made": "elsewhere", "name": "guo2025", "features": 4, "settings": settings,
    }  # fmt: skip
    assert set(elsewhere["names"]) == set(held.card["feature_order"]) - {"age"}
    assert (held.features["radiomics"], held.features["volumes"]) == (None, [])
    assert list(held.features["codes"]) == ["tune"]
    assert any("cannot know how its features were computed" in text for text in held.card["statements"])
    assert any("computed in the same way" in text for text in held.card["limits"])
    assert held.reference["geometry"] == {}
    assert any("cannot know how" in text for text in from_store(made.store, made.study, None).card["statements"])


@pytest.mark.parametrize("which", ["made", "harmonised"])
def test_patients_of_the_study_get_the_scores_that_tune_gave_them(which, request, tmp_path):
    """To the bit, each row once; the second run scores nothing."""
    made, store = request.getfixturevalue(which), open_store(str(tmp_path / "store"))
    found = made.rescored(store, made.table()[:40])
    wanted, got = final(made), scores(store, found)
    scored = wanted.index.intersection(got.index[got["status"] == "scored"])
    assert len(scored) > 5
    assert (got.loc[scored, "score"] == wanted[scored]).all()
    assert (found.scans, found.scored + found.refused, found.already, found.waiting) == (40, 40, 0, ())
    before = {entry.key: entry.stamp for entry in store.list("audit")}
    again = made.rescored(store, made.table()[:40])
    assert (again.scored + again.refused, again.already) == (0, 40)
    assert {entry.key: entry.stamp for entry in store.list("audit")} == before


def test_what_is_not_known_of_the_table_is_said_and_recorded(made, tmp_path):
    """In the command's notes, in the run record and in each row's ledger entry."""
    store = open_store(str(tmp_path / "store"))
    found = made.rescored(store, made.table(extra=1.0)[:5])
    assert found.notes[0].startswith("how the features of this table were computed is not known here")
    assert json.loads(store.get("runs/rescore-0.json"))["notes"] == list(found.notes)
    assert {row["notes"][0] for row in ledger.read_ledger(store).to_pylist()} == {
        "values made elsewhere, brought in from a table"
    }


def test_columns_are_compared_by_name(made, tmp_path):
    """Order does not matter and more are left out with a note; changes of those score nothing anew."""
    store = open_store(str(tmp_path / "store"))
    made.rescored(store, made.table()[:8])
    taken = read_bundle(made.out).features["elsewhere"]["names"]
    other = made.table(zz=1.0)[:8][["patient_id", "zz", *reversed(NAMES), "site"]]
    other[[name for name in NAMES if name not in taken]] += 1
    again = made.rescored(store, other)
    assert (again.scored + again.refused, again.already) == (0, 8)
    assert again.notes[1].startswith(f"{5 - len(taken)} column(s) that the bundle does not take were left out: zz, f")


def test_a_missing_column_is_refused_by_its_name_and_nothing_is_written(made, tmp_path):
    """With the column that may be meant; a bundle is never scored on fewer features."""
    store, taken = open_store(str(tmp_path / "store")), read_bundle(made.out).features["elsewhere"]["names"]
    with pytest.raises(
        TableError, match=rf"new.csv: 1 of 2 columns .* missing: {taken[0]} \(is it X{taken[0]} for {taken[0]}\?\)"
    ):
        made.rescored(store, made.table().rename(columns={taken[0]: f"X{taken[0]}"}))
    assert not list(store.list(""))


def test_a_changed_value_is_a_new_generation_and_a_further_result(made, tmp_path):
    """As with a scan that was exported again: the former result stays, and a value that returns is scored already."""
    store, table = open_store(str(tmp_path / "store")), made.table()[:6]
    name = read_bundle(made.out).features["elsewhere"]["names"][0]
    first = made.rescored(store, table)
    changed = table.copy()
    changed.loc[2, name] += 0.01
    second = made.rescored(store, changed)
    assert (second.scored, second.already) == (1, 5)
    rows = {row["scan_id"]: row["generation"] for row in ledger.read_ledger(store).to_pylist()}
    assert rows == {f"{i:03d}": 2 if i == 2 else 1 for i in range(6)}
    both = scores(store, first).loc["002", "score"]
    assert len(both) == 2 and both.nunique() == 2
    assert made.rescored(store, table).already == 6


def test_a_row_without_a_value_of_a_predictor_is_refused_and_scored_once_it_is_there(made, tmp_path):
    """The reason names the column; the others are scored."""
    store, table = open_store(str(tmp_path / "store")), made.table()[:6]
    name = read_bundle(made.out).features["elsewhere"]["names"][0]
    found = made.rescored(store, table.assign(**{name: table[name].where(table.index != 3)}))
    assert (found.scored, found.refused) == (5, 1)
    assert list(scores(store, found).loc["003", "reasons"]) == [f"{name}: no value in the table"]
    assert made.rescored(store, table).scored == 1


def test_a_row_out_of_the_range_of_training_is_refused_by_its_value(made, tmp_path):
    """The verdict compares values; it knows no geometry and asks for none."""
    store, table = open_store(str(tmp_path / "store")), made.table()[:6]
    name = read_bundle(made.out).features["elsewhere"]["names"][0]
    found = made.rescored(store, table.assign(**{name: table[name] + 50.0 * (table.index == 3)}))
    assert (found.scored, found.refused, found.drift) == (5, 1, "too few")
    got = scores(store, found)
    assert got.loc["003", "verdict"] == "refused"
    assert got.loc["003", "reasons"][0].startswith(f"{name} is ")
    assert not [
        reason for reasons in got["reasons"] for reason in reasons if "spacing" in reason or "slices" in reason
    ]


def test_rows_wait_for_clinical_values(made, tmp_path):
    """Named as scans are; where no id meets, examples of both tables are given."""
    store, listed = open_store(str(tmp_path / "store")), pd.read_csv(made.folder / "clinical.csv", dtype=str)
    found = made.rescored(store, made.table()[:6], listed[2:])
    assert ([scan.scan_id for scan in found.waiting], found.scored) == (["000", "001"], 4)
    with pytest.raises(TableError, match=r"no patient id is in both the features table and .* \(000, 001"):
        made.rescored(store, made.table()[:6], listed.assign(patient_id=listed["patient_id"] + ".0"))


def test_rows_of_another_reader_are_left_out_and_a_table_without_the_study_s_is_refused(made, tmp_path):
    """The bundle is about one reader's first outline."""
    store, table = open_store(str(tmp_path / "store")), made.table(reader="R1")[:6]
    found = made.rescored(store, pd.concat([table, table[:4].assign(reader="R2")]))
    assert found.scans == 6
    with pytest.raises(TableError, match=r"the features table: wanted outlines of reader R1 .* reader reader1 \(6\)"):
        made.rescored(store, table.assign(reader="reader1"))


def test_the_study_s_own_store_keeps_its_features(made):
    """Rows to be scored lie under a name of the bundle's: the study's patients are as they were."""
    before = gather(made.store, made.study).data.digest()
    changed = made.table()[:12]
    changed[NAMES] += 0.001
    path = made.folder / "changed.csv"
    changed.to_csv(path, index=False)
    request = Request(
        read_bundle(made.out), (), made.store, "2026-01-01", str(made.folder / "clinical.csv"), features=str(path)
    )
    assert rescore(request, unwatched, "rescore-own").scored > 5
    assert gather(made.store, made.study).data.digest() == before


def test_a_run_that_was_cut_off_is_taken_up_and_scores_each_row_once(made, tmp_path):
    """Rows that were committed without a result have one after the next run, under the same name."""
    store = open_store(str(tmp_path / "store"))
    made.rescored(store, made.table()[:8])
    results = sorted(entry.key for entry in store.list("audit"))
    for name in results[:3]:
        store.delete(name)
    for shard in list(store.list("scores")):
        store.delete(shard.key)
    found = made.rescored(store, made.table()[:8])
    assert (found.scored + found.refused, found.already) == (3, 5)
    assert sorted(entry.key for entry in store.list("audit")) == results


@pytest.mark.parametrize("given", [{}, {"scans": ("scans.csv",), "features": "f.csv"}, {"scans": ("scans.csv",)}])
def test_a_bundle_of_a_table_takes_a_table(made, given):
    """Neither, both, or scans alone: what it takes is named."""
    request = Request(read_bundle(made.out), **({"scans": ()} | given), store=made.store, now="")
    with pytest.raises(StudyError, match="--features"):
        check_source(request)


def test_the_commands_freeze_a_table_s_model_and_score_new_rows(made, tmp_path, capsys):
    """Exit 0 with what is known of the columns; with --scans one line that names --features, and exit 2."""

    def ended(*arguments: str) -> int:
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        return end.value.code

    out, study, store = str(tmp_path / "bundle"), str(made.folder / "study.toml"), str(tmp_path / "scored")
    assert ended("bundle", "--study", study, "--store", made.store.uri, "--model", "texture", "--out", out) == 0
    assert (
        "2 of the 4 columns of guo2025, made elsewhere: score new rows by gc-ray rescore" in capsys.readouterr().out
    )
    made.table()[:4].to_csv(tmp_path / "new.csv", index=False)
    assert ended("rescore", "--bundle", out, "--features", str(tmp_path / "new.csv"), "--store", store) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("note: how the features of this table were computed is not known here")
    assert "0 already, 0 waiting, 0 failed" in lines[-3]
    assert ended("rescore", "--bundle", out, "--scans", str(tmp_path / "new.csv"), "--store", store) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_bundle_of_extraction_takes_no_table(made):
    """Values made elsewhere are other numbers than those of this software under the same names."""
    held = read_bundle(made.out)
    computed = replace(held, features={"radiomics": {"name": "guo2025"}, "volumes": [], "codes": {}})
    with pytest.raises(StudyError, match=r"takes \(guo2025\) is computed from scans by this software"):
        check_source(Request(computed, (), made.store, "", features="f.csv"))
    check_source(Request(computed, ("scans.csv",), made.store, ""))
    check_source(Request(held, (), made.store, "", features="f.csv"))


def test_a_signature_without_image_features_is_scored_by_a_table_as_well(made, tmp_path):
    """A study of a table has no scans: its clinical signature takes the table's patients and none of its columns."""
    out, store = open_store(str(tmp_path / "bundle")), open_store(str(tmp_path / "store"))
    bundle(made.store, made.study, "factors", out, None)
    assert read_bundle(out).features["elsewhere"]["names"] == []
    found = replace(made, out=out).rescored(store, made.table()[:6])
    assert found.scored + found.refused == 6
    assert replace(made, out=out).rescored(store, made.table()[:6]).already == 6


def test_features_made_elsewhere_and_networks_are_not_frozen_together(made):
    """New rows of a table have no scan for a network to look at."""
    networks = {"autoencoder-a": Network("autoencoder", {"recipe": "guo2025"}, {})}
    with pytest.raises(StudyError, match=r"features made elsewhere \(guo2025\) and outputs of this"):
        _features(made.store, made.study, gather(made.store, made.study), set(NAMES), networks)


def test_a_harmonised_bundle_wants_sites_and_every_harmonised_feature(harmonised, tmp_path):
    """The site is the row's own, else the clinical table's, else the one given; never guessed, never contradicted."""
    store, table = open_store(str(tmp_path / "store")), harmonised.table()[:6]
    listed = pd.read_csv(harmonised.folder / "clinical.csv", dtype=str)
    bare, nowhere = table.drop(columns="site"), listed.drop(columns="site")
    harmonised.rescored(store, table)
    assert harmonised.rescored(store, bare, listed).already == 6
    with pytest.raises(StudyError, match=r"wanted the site of each row, .* --site, one of A, B or another"):
        harmonised.rescored(store, bare, nowhere)
    (tmp_path / "c").mkdir()
    other = open_store(str(tmp_path / "c" / "store"))
    third = harmonised.rescored(other, bare, nowhere, site="C")
    assert third.scored + third.refused == 6
    assert all("site C has no training patients" in found[0] for found in scores(other, third)["reasons"])
    with pytest.raises(TableError, match="site: wanted each patient id at one site, 6 are at several"):
        harmonised.rescored(store, table.assign(site="D"), listed)
    assert set(read_bundle(harmonised.out).features["elsewhere"]["names"]) == set(NAMES)
    with pytest.raises(TableError, match="1 of 4 columns that the bundle takes are missing: f3"):
        harmonised.rescored(store, table.drop(columns="f3"))


def test_a_bundle_made_before_tables_could_be_scored_is_read_as_one_of_scans(made):
    """It says nothing of features made elsewhere."""
    held = read_bundle(made.out)
    old = replace(held, features={"radiomics": None, "volumes": [], "codes": {}})
    assert isinstance(old, Bundle)
    check_source(Request(old, ("scans.csv",), made.store, ""))


def test_a_report_claims_no_extraction_of_features_made_elsewhere(made):
    """Whatever extract.feature_sets says: what the checklists are told of extraction is the card's sentence."""
    inputs = from_store(made.store, made.study, None)
    said = load_study(str(made.folder / "study.toml"), ("extract.feature_sets=['pyradiomics-ct']",))
    done = SimpleNamespace(inputs=replace(inputs, study=said))
    text, _ = DESIGN["extraction"](done)
    assert text.startswith("feature set guo2025 (4 columns") and "pyradiomics-ct" not in text
    assert DESIGN["pipeline"](done)[0].startswith("check, ingest, split, tune, evaluate")
    extracted = SimpleNamespace(inputs=replace(inputs, study=said, card={}))
    assert DESIGN["extraction"](extracted)[0].startswith("pyradiomics-ct; all parameters")
    assert DESIGN["pipeline"](extracted)[0].startswith("check, extract, split, train, embed, tune")
