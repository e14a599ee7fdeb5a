"""A whole evaluation of a simulated run: its tables agree with the statistics, its report is whole and private."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gc_ray import evaluate as statistics
from gc_ray import evaluation_tables, tables
from gc_ray.report.checklist import LISTS, UNKNOWN
from gc_ray.report.compute import evaluate_all
from gc_ray.report.evaluate import FOLDER, Request, evaluate
from gc_ray.report.files import INDEX, PAGE, report_of
from gc_ray.report.inputs import Inputs, from_file, from_store
from gc_ray.report.publish import read_report
from gc_ray.report.words import sentences, summary
from gc_ray.store import open_store
from gc_ray.study import Study, load_study
from gc_ray.study_signatures import SignatureSettings

RULED = """
name = "elsewhere"
[clinical]
outcome = "outcome"
time_months = "time_months"
event = "event"
[[clinical.rules]]
include = { column = "time_months", is = ">=", value = 2 }
reason = "followed for less than two months"
[evaluate]
bootstrap = 50
"""


@pytest.fixture(scope="module")
def done(run, quick):
    """The evaluation of the run."""
    return evaluate_all(from_store(run.store, quick, None))


@pytest.fixture(scope="module")
def report(done):
    """Its report."""
    return report_of(done)


def metric(done, name: str, model: str = "dlfs", cohort: str = "external", variant: str = "leak_free") -> pd.Series:
    """One row of the metrics of all patients of a cohort."""
    rows = done.frame("metrics")
    chosen = rows[(rows["metric"] == name) & (rows["model_id"] == model) & (rows["cohort"] == cohort)]
    chosen = chosen[(chosen["variant"] == variant) & (chosen["subset"] == "all")]
    assert len(chosen) == 1
    return chosen.iloc[0]


def without_styles(text: str) -> str:
    """A figure or a page without style attributes, for which a page has classes."""
    return re.sub(r"<style.*?</style>", "", re.sub(r' (style|class)="[^"]*"', "", text), flags=re.DOTALL)


def arrays(done, model: str = "dlfs", cohort: str = "external") -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Outcome and score of a model's leak-free scores, straight from the scores table, and the patients."""
    rows = done.inputs.scores
    rows = rows[(rows["model_id"] == model) & (rows["cohort"] == cohort) & (rows["variant"] == "leak_free")]
    patients = done.inputs.patients.loc[rows["patient_id"]]
    return patients["outcome"].to_numpy(), rows["score"].to_numpy(), patients


@pytest.mark.parametrize("name", sorted(evaluation_tables.TABLES.keys() - {"checklist"}))
def test_every_table_keeps_its_contract(done, name):
    """Columns, types and a unique key, as declared."""
    assert tables.check(evaluation_tables.TABLES[name], done.tables[name]).num_rows > 0


def test_metrics_are_those_of_the_statistics(done):
    """What is in the table is what the functions give on the same arrays."""
    y, p, _ = arrays(done)
    area, found = statistics.auc_ci(y, p), metric(done, "auc")
    assert (found["estimate"], found["lower"], found["upper"]) == (area.auc, area.lower, area.upper)
    assert (found["n"], found["events"]) == (len(y), y.sum())
    right = statistics.calibration(y, p, draws=50, seed=0)
    assert metric(done, "calibration_slope")["estimate"] == right.slope
    found = metric(done, "ici")
    assert (found["estimate"], found["lower"], found["upper"]) == (right.ici, right.ici_lower, right.ici_upper)
    assert metric(done, "auc_bootstrap")["estimate"] == pytest.approx(area.auc, abs=1e-12)
    precision = statistics.precision_recall(y, p).average_precision
    assert metric(done, "average_precision")["estimate"] == pytest.approx(precision, abs=1e-12)


def test_a_cutoff_is_learned_in_training_and_frozen(done):
    """The external confusion matrix uses the training cohort's cutoff, bit for bit."""
    y, p, _ = arrays(done, cohort="train")
    cutoffs = done.frame("cutoffs")
    row = cutoffs[(cutoffs["model_id"] == "dlfs") & (cutoffs["purpose"] == "classification")].iloc[0]
    assert row["cutoff"] == statistics.operating_point(y, p, "youden").threshold
    assert (row["cohort"], row["kind"]) == ("train", "oof")
    y, p, _ = arrays(done)
    assert metric(done, "tp")["estimate"] == np.sum((p >= row["cutoff"]) & (y == 1))


@pytest.mark.parametrize(("named", "expected"), [("", "fused"), ("clinical", "clinical"), ("absent", "fused")])
def test_the_report_is_about_the_last_signature_unless_the_study_says_otherwise(named, expected):
    """The order of the study file counts, not that of the scores, which are sorted by name."""
    made = tuple(SignatureSettings(name=name, families=("clinical",)) for name in ("radiomics", "clinical", "fused"))
    study = Study(signature=made)
    study = study.model_copy(update={"evaluate": study.evaluate.model_copy(update={"headline": named})})
    scores = pd.DataFrame({"model_id": ["clinical", "fused", "radiomics"], "variant": "leak_free"})
    assert Inputs(study, scores, pd.DataFrame(), "").headline == expected
    assert Inputs(Study(), scores, pd.DataFrame(), "").headline == "radiomics"


def test_survival_counts_its_own_events(done):
    """The hazard ratio's n and events are of the follow-up, not of the outcome; high risk dies sooner."""
    _, p, patients = arrays(done)
    found = metric(done, "hazard_ratio")
    assert found["events"] == patients["event"].sum() != patients["outcome"].sum()
    assert found["estimate"] > 1
    assert metric(done, "c_index")["estimate"] == statistics.concordance(patients["time"], patients["event"], p).c


def test_optimism_is_that_of_the_resampling(done):
    """The simulated resampling loses .04; without one it is not estimable, in these words."""
    assert metric(done, "auc_optimism", cohort="train")["estimate"] == pytest.approx(0.04)
    inputs = done.inputs
    bare = type(inputs)(**{**vars(inputs), "resampling": None})
    found = metric(evaluate_all(bare), "auc_corrected", cohort="train")
    assert np.isnan(found["estimate"])
    assert found["note"] == "not estimable: selection not repeated"


def test_the_account_adds_up_from_table_to_cohorts(done):
    """What each step leaves is what the one before left, less what it took; the cohorts are the scored."""
    rows = done.frame("account")
    steps = rows[rows["unit"] == "patients"]
    assert (steps["n_left"].shift()[1:] - steps["n_removed"][1:] == steps["n_left"][1:]).all()
    assert rows.loc[rows["unit"] == "cohort", "n_left"].sum() == steps["n_left"].iloc[-1] == 600


def test_every_doubt_of_the_run_is_raised(done):
    """Few events, untrained backbone, in-sample scores, late predictors, unstable selection, pooled folds."""
    flags = set(done.frame("flags")["flag"])
    assert flags >= {
        "few_events", "untrained_backbone", "in_sample", "not_known_at_scan", "unstable_selection",
        "pooled_out_of_fold", "poor_coverage", "wide_interval", "caveat", "in_sample_cutoff",
    }  # fmt: skip


def test_a_doubt_about_several_models_is_one_sentence(done):
    """The first paragraph has room for a few doubts: the same words thrice would push out two others."""
    same = {"study_id": done.inputs.study.name, "severity": "serious", "flag": "in_sample", "text": "too good"}
    flags = [same | {"number": i, "about": about} for i, about in enumerate(("a", "b", "c"))]
    more = {"flags": tables.build(evaluation_tables.FLAGS, flags)}
    said = summary(replace(done, tables=done.tables | more))["sentences"]
    assert [text for text in said if "too good" in text] == ["a, b, c: too good."]
    assert said[-1].startswith("In all 3 serious doubts")


def test_relabelling_patients_changes_no_number(run, quick, done):
    """Names and the order of rows decide nothing."""
    inputs = from_store(run.store, quick, None)
    names = {name: f"X{hash(name) % 10**9:09d}-{i}" for i, name in enumerate(inputs.patients.index)}
    shuffled = inputs.scores.assign(patient_id=inputs.scores["patient_id"].map(names)).sample(frac=1, random_state=0)
    order = {m: i for i, m in enumerate(inputs.models)}
    shuffled = shuffled.sort_values("model_id", key=lambda c: c.map(order), kind="stable")
    other = type(inputs)(
        **{
            **vars(inputs),
            "scores": shuffled.reset_index(drop=True),
            "patients": inputs.patients.rename(index=names),
            "splits": None,
            "flow": None,
        }
    )
    before, after = done.frame("metrics"), evaluate_all(other).frame("metrics")
    exact = ~before["metric"].isin(("auc_bootstrap", "average_precision", "brier", "e_over_o", "net_benefit"))
    key = [c for c in before.columns if c not in ("lower", "upper")]
    pd.testing.assert_frame_equal(
        before[exact][key].reset_index(drop=True), after[exact][key].reset_index(drop=True), rtol=1e-9
    )


@pytest.mark.slow
def test_equal_input_gives_equal_bytes_and_so_the_same_name(run, quick, report):
    """A report can be published twice, from two machines, without a conflict."""
    again = report_of(evaluate_all(from_store(run.store, quick, None)))
    assert again.report_id == report.report_id
    assert again.files == report.files


def test_a_report_names_no_patient_and_no_scan(report):
    """Nothing in any file is about one person."""
    for name, data in report.files.items():
        assert b"PAT0" not in data, name


def test_every_figure_has_svg_png_numbers_and_words(report):
    """Alt text in the SVG, ids that no other figure of the page has, and the drawn table as CSV."""
    names = {name.split("/")[1].rsplit(".", 1)[0] for name in report.files if name.startswith("figures/")}
    page = report.files[PAGE].decode()
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for name in names:
        svg = report.files[f"figures/{name}.svg"].decode()
        assert "<title" in svg
        assert re.search(r"<desc[^>]*>[^<]{20,}</desc>", svg)
        assert without_styles(svg) in without_styles(page)
        assert report.files[f"figures/{name}.png"].startswith(b"\x89PNG")
        assert report.files[f"figures/{name}.csv"].count(b"\n") > 1
    assert {"flow", "roc", "decision", "nomogram-dlfs", "kaplan-meier-dlfs", "forest-sites", "resampling"} <= names


def test_the_page_asks_for_nothing_from_a_network(report):
    """No address but namespaces; the policy in the page forbids any."""
    page = report.files[PAGE].decode()
    addresses = set(re.findall(r'https?://[^\s"\'<]+', page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "default-src 'none'" in page
    assert "research use only" in page


def test_the_index_names_every_other_file_with_its_checksum(report):
    """A program can verify a copy of the report."""
    index = json.loads(report.files[INDEX])
    assert set(index["files"]) == set(report.files) - {INDEX}
    assert index["research_use_only"] is True
    assert index["summary"]["numbers"][0]["what"] == "AUC, external"


def test_checklists_answer_from_the_run_or_say_unknown(report):
    """All items of the three lists, each with an answer and its source, or none."""
    rows = pd.read_csv(pa.BufferReader(report.files["tables/checklist.csv"]), dtype=str, keep_default_na=False)
    assert rows.groupby("checklist").size().to_dict() == {"TRIPOD+AI": 52, "CLEAR": 58, "METRICS": 30}
    assert list(LISTS) == list(rows["checklist"].unique())
    assert ((rows["answer"] == UNKNOWN) == (rows["source"] == "")).all()
    answered = rows.set_index(["checklist", "item"])["answer"]
    assert "external 15 events / 118" in answered["TRIPOD+AI", "21"]
    assert answered["TRIPOD+AI", "18a"] == UNKNOWN


@pytest.mark.slow
def test_a_dry_run_writes_nothing_and_says_what_it_would(run, quick, tmp_path):
    """Neither the store nor the place to publish is touched."""
    before = {entry.key for entry in run.store.list("")}
    target = tmp_path / "public"
    outcome = evaluate(Request(quick, run.store, published=str(target), dry_run=True), "evaluate-x")
    assert {entry.key for entry in run.store.list("")} == before
    assert not target.exists()
    assert PAGE in outcome.files
    assert outcome.published.endswith(outcome.report_id)


def test_a_scores_file_alone_is_enough(tmp_path, scores_file, quick):
    """A model made elsewhere gets metrics, figures and a page; the study can be asked again from the run's record."""
    (tmp_path / "study.toml").write_text(RULED)
    study, store = load_study(str(tmp_path / "study.toml")), open_store(str(tmp_path / "store"))
    outcome = evaluate(Request(study, store, scores_file()), "evaluate-y")
    assert outcome.new
    page = store.get(f"reports/{outcome.report_id}/{PAGE}").decode()
    assert "in-sample scores" in page
    assert outcome.numbers[0]["what"] == "AUC, external"
    record = json.loads(store.get("runs/evaluate-y.json"))
    assert record["report_id"] == outcome.report_id
    assert Study.model_validate_json(json.dumps(record["study"])) == study


def test_a_report_that_is_there_is_told_and_copied_without_being_drawn(tmp_path, scores_file):
    """The same command says the same; a report that was cut off is drawn again and completed."""
    store, drawn = open_store(str(tmp_path / "store")), []
    request = Request(load_study(None, ("name=elsewhere", "evaluate.bootstrap=0")), store, scores_file(60))

    def ask(run: str, **more):
        drawn.clear()
        return evaluate(replace(request, **more), run, lambda done, of: drawn.append(done))

    first = ask("evaluate-1")
    assert first.new
    assert drawn
    again = ask("evaluate-2", published=str(tmp_path / "public"))
    assert not drawn
    assert again == replace(first, new=False, published=again.published)
    copy = read_report(open_store(str(tmp_path / "public")), "", first.report_id)
    assert copy.files == read_report(store, FOLDER, first.report_id).files
    store.delete(f"{FOLDER}/{first.report_id}/{PAGE}")
    assert ask("evaluate-3") == first
    assert drawn


def in_time(scores_file, months: float, change=lambda frame: frame, **settings: object):
    """The evaluation of scores that are read as the risk by some months."""
    asked = (f"evaluate.risk_months={months}", "evaluate.bootstrap=20", *(f"{k}={v}" for k, v in settings.items()))
    return evaluate_all(from_file(scores_file(change=change), None, load_study(None, asked)))


def test_a_decision_curve_in_time_is_the_plain_one_where_nobody_is_censored(scores_file):
    """The event by then is the outcome, everybody is followed: both curves, and both numbers, are one."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        time = np.where(frame["outcome"] == 1, 5.0, 40.0)
        return frame.assign(time_months=time, event=frame["outcome"])

    done = in_time(scores_file, 24.0, change)
    curves = (
        done.frame("curves").set_index(["cohort", "series", "x"])["y"].groupby(done.frame("curves")["curve"].values)
    )
    plain, timed = (curves.get_group(name) for name in ("decision", "decision_in_time"))
    pd.testing.assert_series_equal(plain, timed, check_names=False, rtol=0, atol=1e-12)
    for cohort in ("internal", "external"):
        plain, timed = (metric(done, name, "score", cohort) for name in ("net_benefit", "net_benefit_at_24_months"))
        assert timed["estimate"] == pytest.approx(plain["estimate"])
        assert timed["lower"] < timed["estimate"] < timed["upper"]
    assert "outcome_not_at_horizon" not in set(done.frame("flags")["flag"])
    made = report_of(done).files
    assert b"decision_in_time" in made["figures/decision_in_time.csv"]
    assert "Decision curves at the horizon" in made[PAGE].decode()


def test_scores_that_are_no_risk_at_the_horizon_are_doubted_or_left_out(scores_file, done):
    """Another outcome than the event by then is a serious doubt; out of reach is said; unasked there is no curve."""
    flags = in_time(scores_file, 24.0).frame("flags")
    said = flags.loc[flags["flag"] == "outcome_not_at_horizon"].iloc[0]
    assert said["severity"] == "serious"
    assert re.search(r"no risk at 24 months: \d+ of \d+ patients", said["text"])
    late = in_time(scores_file, 900.0)
    assert "decision_in_time" not in set(late.frame("curves")["curve"])
    assert "within the follow-up" in metric(late, "net_benefit_at_900_months", "score")["note"]
    assert "decision_in_time" not in set(done.frame("curves")["curve"])
    assert not done.frame("metrics")["metric"].str.startswith("net_benefit_at").any()


def test_a_headline_without_scores_is_told(done):
    """A signature that could not be fitted, or whose scores were not given, gives way with a word."""
    study = done.inputs.study
    study = study.model_copy(update={"evaluate": study.evaluate.model_copy(update={"headline": "clis"})})
    inputs = replace(done.inputs, study=study)
    assert inputs.headline == "dlfs"
    assert sentences(replace(done, inputs=inputs))[0] == "clis has no scores here: dlfs comes first."


def test_a_model_with_in_sample_scores_only_never_comes_first(done):
    """Where a fold kept nothing of the headline model, the first numbers are another's, and the page says why."""
    scores = done.inputs.scores
    lost = (scores["model_id"] == "dlfs") & (scores["variant"] == "leak_free")
    inputs = replace(done.inputs, scores=scores[~lost])
    assert (done.inputs.headline, inputs.headline) == ("dlfs", "latent_1")
    said = summary(evaluate_all(inputs))
    assert "Its first model, latent_1," in said["text"]
    assert said["sentences"][0].startswith("dlfs has in-sample scores only")
