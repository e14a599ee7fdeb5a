"""A paper's whole way in one command: every step in order, taken up where it stands, its artefacts in the store."""

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gc_ray.cli import main
from gc_ray.cohort.synthetic.spec import CohortSpec
from gc_ray.cohort.synthetic.write import write_cohort
from gc_ray.errors import StudyError, TableError
from gc_ray.report.reproduction import STATEMENT
from gc_ray.runtime.gather import kinds_of
from gc_ray.runtime.reproduce import Request, Way, reproduce
from gc_ray.runtime.show import show
from gc_ray.runtime.train import unwatched
from gc_ray.store import open_store
from gc_ray.study import load_study

STUDY = """
name = "small"
[extract]
feature_sets = ["{quick}"]
[clinical]
outcome = "died"
predictors = ["age", "stage"]
[clinical.columns]
age = {{ kind = "number", unit = "years", low = 0, high = 120 }}
stage = {{ kind = "categorical", levels = ["I", "II", "III"] }}
[split]
folds = 3
[evaluate]
bootstrap = 0
headline = "fused"
[[signature]]
name = "clinical"
families = ["clinical"]
[[signature]]
name = "fused"
predictors_of = ["clinical"]
[tune]
inner_folds = 3
samples = 0
"""
# Two patients or more of every regression grade, and events in every cohort and fold.
SMALL_COHORT = CohortSpec(
    patients=24, sites=2, seed=21, source_patients=6, reread_share=0, recurrence_rate=0.5, matrix=64, slices=32
)
SMALL_NETWORKS = (
    'clinical.predictors=["age_years", "cea_ng_ml"]', "clinical.rules=[]", "split.folds=2", "backbone.epochs=1",
    "head.views=1", "head.epochs=3", "head.hidden=[4]", "train.heatmaps=1", "tune.inner_folds=2", "tune.samples=0",
    "evaluate.bootstrap=10",
)  # fmt: skip


def clinical_csv(folder: Path) -> str:
    """A table of 150 patients whose outcome depends on age and stage."""
    rng = np.random.default_rng(0)
    age, stage = rng.normal(60, 10, 150).round(1), rng.integers(3, size=150)
    died = rng.random(150) < 1 / (1 + np.exp(-(0.08 * (age - 60) + stage - 1)))
    frame = pd.DataFrame({"patient_id": [f"P{i:04d}" for i in range(150)], "died": died.astype(int), "age": age})
    frame.assign(stage=np.array(["I", "II", "III"])[stage]).to_csv(folder / "clinical.csv", index=False)
    return str(folder / "clinical.csv")


@pytest.fixture
def asked(cohort, quick, store, tmp_path) -> Request:
    """A study of clinical factors alone, under the name of a paper's models, and a few scans."""
    (tmp_path / "small.toml").write_text(STUDY.format(quick=quick))
    manifest = str(sorted(cohort.glob("scans_site_*.csv"))[0])
    study = load_study(str(tmp_path / "small.toml"))
    return Request("liver_metastasis", study, store, (manifest,), clinical_csv(tmp_path))


def way(said: list[str]) -> Way:
    """Takes down the steps, and names runs by their number."""
    number = iter(range(100))

    @contextlib.contextmanager
    def step(at: int, of: int, what: str):
        said.append(f"{at}/{of} {what}")
        yield (lambda *news: None), unwatched

    ticks = iter(range(1000))
    return Way(
        "reproduce-1", step, lambda done, of: None, lambda name: f"{name}-{next(number)}", lambda: float(next(ticks))
    )


@pytest.mark.slow
def test_every_step_runs_once_and_a_second_call_writes_nothing_new(asked, ray_session):
    """Split first; what is there is left as it is; the record of the run says how it ended."""
    said: list[str] = []
    done = reproduce(asked, way(said))
    steps = ["split", "extract", "tune", "evaluate", "tables and figures of the paper"]
    assert said == [f"{i}/5 {step}" for i, step in enumerate(steps, 1)]
    assert (done.new, done.over_budget, done.failed) == (True, (), {})
    assert Path(done.folder, "index.html").is_file()
    made = {item["label"]: item["state"] for item in done.items}
    assert made["Figure 7"] == made["Table 1"] == "made"
    assert made["Figure 8"] == made["Figure 2"] == "not reproduced"
    record = json.loads(asked.store.get(f"runs/{done.run}.json"))
    assert (record["exit_code"], record["folder"], record["paper"]) == (0, done.folder, "liver_metastasis")
    again = reproduce(asked, way([]))
    assert (again.new, again.folder) == (False, done.folder)
    found = show(asked.store)
    assert [(page.folder.split("/")[0], page.whole) for page in found.pages] == [
        ("reports", True),
        ("reproductions", True),
    ]


def test_a_fault_of_the_clinical_table_is_seen_before_any_scan_is_read(asked, tmp_path):
    """Extraction may take days; the table is read in a second."""
    (tmp_path / "bad.csv").write_text("patient_id,died,age\nP1,0,50\n")
    said: list[str] = []
    with pytest.raises(TableError, match="stage"):
        reproduce(replace(asked, clinical=str(tmp_path / "bad.csv")), way(said))
    assert said == ["1/5 split"]
    assert not Path(asked.store.uri).exists()


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("recurrence", {"clinical", "head"}), ("liver_metastasis", {"clinical", "radiomics", "deep"})],
)
def test_the_networks_that_are_trained_are_those_the_signatures_build_on(name, kinds):
    """Backbone and head for the one paper, the autoencoder for the other: read from the study, not written down."""
    assert kinds_of(load_study(name)) == kinds


def test_the_command_refuses_what_is_no_paper(capsys):
    """Exit 2, and the papers that there are."""
    with pytest.raises(SystemExit) as end:
        main(["reproduce", "survival", "--scans", "s.csv", "--clinical", "c.csv", "--store", "s"])
    assert end.value.code == 2
    assert "liver_metastasis" in capsys.readouterr().err


def headed(folder: Path, source: int) -> Request:
    """A study of a head alone, some patients of its source task in the clinical table, and scans of nobody else's."""
    frame = pd.read_csv(clinical_csv(folder), dtype=str).assign(grade="")
    further = pd.DataFrame({"patient_id": [f"S{i}" for i in range(source)], "grade": "0"})
    pd.concat([frame, further]).to_csv(folder / "clinical.csv", index=False)
    (folder / "scans.csv").write_text("scan_id,patient_id,site,phase,image,mask\ns,P000,A,portal_venous,i,m\n")
    (folder / "small.toml").write_text(STUDY.format(quick="guo2025"))
    head = '[{name = "dls", scores_of = ["head"], model = "score"}]'
    changes = (f"signature={head}", "evaluate.headline=dls", "clinical.source_label=grade")
    study = load_study(str(folder / "small.toml"), (*changes, 'clinical.columns.grade={kind = "binary"}'))
    store = open_store(str(folder / "store"))
    return Request("recurrence", study, store, (str(folder / "scans.csv"),), str(folder / "clinical.csv"))


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (0, r"wanted patients with grade and without died.*backbone\.weights=FILE.*clinical\.source_label=\)"),
        (5, r"scans of the 5 patients of the backbone's source task \(S0, S1, S2, \.\.\).*one more --scans"),
    ],
)
def test_a_backbone_without_patients_or_scans_is_seen_before_any_scan_is_read(tmp_path, source, fault):
    """It would be trained only after everything is extracted."""
    said: list[str] = []
    with pytest.raises(TableError, match=fault):
        reproduce(headed(tmp_path, source), way(said))
    assert said == ["1/7 split"]


def test_a_study_without_the_paper_s_signatures_is_refused(asked):
    """Nothing of it could stand beside the paper's numbers."""
    with pytest.raises(StudyError, match=r"signatures \(clis, dlfs, dls\), got clinical, fused.*like = .recurrence"):
        reproduce(replace(asked, paper="recurrence"), way([]))


@pytest.mark.slow
def test_recurrence_goes_its_whole_way_in_one_command(tmp_path, ray_session, capsys):
    """Backbone on the source task, head, fusion and every artefact of the paper; the same command again is idle."""
    cohort = write_cohort(tmp_path / "c", SMALL_COHORT)
    scans = (*cohort.site_scans, cohort.source_scans)
    command = ["reproduce", "recurrence", "--study=demo_recurrence", f"--store={tmp_path / 'store'}"]
    command += [f"--clinical={cohort.clinical}", *(f"--scans={table}" for table in scans)]
    command += [f"--set={one}" for one in SMALL_NETWORKS]
    for _ in range(2):
        with pytest.raises(SystemExit) as end:
            main(command)
        assert end.value.code == 0
    store = open_store(str(tmp_path / "store"))
    (index,) = (entry.key for entry in store.list("reproductions") if entry.key.endswith("report.json"))
    found = json.loads(store.get(index))
    assert (found["not_fitted"], found["statement"]) == ({}, STATEMENT)
    states = {item["label"]: item["state"] for item in found["items"]}
    assert {label for label, state in states.items() if state != "made"} == {"Figure 1"}
    beside = pd.read_csv(io.BytesIO(store.get(index.replace("report.json", "comparison.csv"))))
    areas = beside[(beside["metric"] == "auc") & (beside["cohort"] == "train")]
    assert areas["ours"].between(0, 1).all()
    assert areas["as_published"].notna().any()
    shown = capsys.readouterr().out
    assert "tables and figures written" in shown
    assert "tables and figures were there already" in shown
