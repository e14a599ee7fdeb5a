"""A paper's tables and figures as files of ours: all of them accounted for, their numbers those of the report."""

import io
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from gc_ray import evaluate
from gc_ray.report.compute import evaluate_all
from gc_ray.report.contrast import EVENTS, contrast_frames
from gc_ray.report.files import INDEX, PAGE, Report, report_of
from gc_ray.report.inputs import Inputs, from_store
from gc_ray.report.paper import Number, read_paper
from gc_ray.report.publish import publish
from gc_ray.report.published import Ours, comparison, in_words, kept_in_words
from gc_ray.report.reproduction import STATEMENT, changed_settings, reproduction_of, shown_areas
from gc_ray.store import open_store
from gc_ray.study import load_study

GUO = {"latent_0": "radiomics", "latent_1": "dl_radiomics", "dlfs": "fused"}


@pytest.fixture(scope="module")
def inputs(run, quick) -> Inputs:
    """A run of the recurrence study that could fit the fusion and not the others that the paper has."""
    found = from_store(run.store, quick, None)
    return replace(found, card=found.card | {"failed": {"clis": "no factor was left"}})


@pytest.fixture(scope="module")
def report(inputs) -> Report:
    """Its report."""
    return report_of(evaluate_all(inputs))


@pytest.fixture(scope="module")
def made(inputs, report) -> Report:
    """The reproduction of Cao et al."""
    return reproduction_of(read_paper("recurrence"), inputs, report)


@pytest.fixture(scope="module")
def guo(inputs) -> Inputs:
    """The same patients under the names of Guo's models, sex standing for the kind of metastasis."""

    def renamed(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.replace({"model_id": GUO})

    evaluating = inputs.study.evaluate.model_copy(update={"contrasts": ("sex=male",), "headline": "fused"})
    signatures = load_study("liver_metastasis").signature
    return replace(
        inputs,
        study=inputs.study.model_copy(update={"evaluate": evaluating, "signature": signatures}),
        scores=renamed(inputs.scores),
        coefficients=renamed(inputs.coefficients),
        selection=renamed(inputs.selection),
        resampling=renamed(inputs.resampling),
        signatures={GUO[name]: signature for name, signature in inputs.signatures.items()},
    )


@pytest.fixture(scope="module")
def made_of_guo(guo, report) -> Report:
    """The reproduction of Guo et al., with the figures of the first report under other names."""
    files = {}
    for name, data in report.files.items():
        stem, dot, ending = name.partition(".")
        for before, after in GUO.items():
            stem = f"{stem.removesuffix(before)}{after}" if stem.endswith(f"-{before}") else stem
        files[stem + dot + ending] = data
    for name, found in evaluate_all(guo).tables.items():
        sink = io.BytesIO()
        pq.write_table(found, sink)
        files[f"tables/{name}.parquet"] = sink.getvalue()
    return reproduction_of(read_paper("liver_metastasis"), guo, replace(report, files=files))


def table(made: Report, name: str) -> pd.DataFrame:
    """A table of a reproduction."""
    return pd.read_csv(io.BytesIO(made.files[name]))


def items(made: Report) -> dict[str, dict]:
    """The index of a reproduction, by the paper's labels."""
    return {item["label"]: item for item in json.loads(made.files[INDEX])["items"]}


def test_every_item_of_the_paper_is_made_or_has_a_reason(made, made_of_guo):
    """The index says of each table and figure which files stand for it, or why there is none."""
    for reproduced, name in ((made, "recurrence"), (made_of_guo, "liver_metastasis")):
        found = items(reproduced)
        assert list(found) == [item.label for item in read_paper(name).item]
        for item in found.values():
            assert item["files"] or item["reasons"]
            assert set(item["files"]) <= set(reproduced.files)
            assert (item["state"] == "not reproduced") == (not item["files"])
    assert items(made)["Figure 1"]["reasons"] == ["a drawing of the workflow, no result"]
    assert items(made)["Figure 4"]["files"] == ["figure_4.csv", "figure_4.png", "figure_4.svg"]
    assert items(made)["Figure 2"]["state"] == "not reproduced"  # this run has no network
    assert items(made_of_guo)["Figure 4"]["state"] == "in part"
    assert items(made_of_guo)["Figure 4"]["reasons"] == ["dl was not fitted"]


def test_a_figure_is_the_report_s_own_under_the_paper_s_number(made, report):
    """Nothing is computed or drawn a second time."""
    for ending in ("csv", "png", "svg"):
        assert made.files[f"figure_3efg.{ending}"] == report.files[f"figures/confusion-dlfs.{ending}"]
    assert made.files["figure_s1.png"] == report.files["figures/flow.png"]


def test_our_numbers_beside_the_published_are_those_of_the_metrics_table(made, inputs, report):
    """Leak-free: out-of-fold in training, frozen elsewhere; the in-sample ones stand apart, and never for them."""
    rows = table(made, "comparison.csv").set_index(["metric", "cohort", "model"])
    metrics = pd.read_csv(io.BytesIO(report.files["tables/metrics.csv"]))
    mine = metrics[(metrics["model_id"] == "dlfs") & (metrics["subset"] == "all")]
    for cohort, kind in (("train", "oof"), ("internal", "final"), ("external", "final")):
        own = mine[(mine["cohort"] == cohort) & (mine["kind"] == kind) & (mine["variant"] == "leak_free")]
        own = own.set_index("metric")
        for metric in ("auc", "sensitivity", "hazard_ratio"):
            assert rows.loc[(metric, cohort, "dlfs"), "ours"] == own.loc[metric, "estimate"]
        assert rows.loc[("patients", cohort, "dlfs"), "ours"] == own.loc["auc", "n"]
    apparent = mine[(mine["variant"] == "as_published") & (mine["metric"] == "auc")]["estimate"].iloc[0]
    assert rows.loc[("auc", "train", "dlfs"), "as_published"] == apparent
    assert rows.loc[("auc", "train", "dlfs"), "ours"] != apparent
    assert tuple(rows.loc[("auc", "external", "dlfs"), ["published", "published_lower"]]) == (0.859, 0.806)
    assert rows.loc[("auc", "external", "clis"), "note"] == "not fitted"


def test_every_published_number_has_a_row(made):
    """What the paper prints is shown whether or not ours has it."""
    wanted = [(n.item, n.metric, n.cohort, m) for n in read_paper("recurrence").number for m in n.values]
    rows = table(made, "comparison.csv")
    assert list(zip(rows["item"], rows["metric"], rows["cohort"], rows["model"], strict=True)) == wanted


def test_numbers_stand_in_the_order_of_the_paper_s_items(made_of_guo):
    """As a reader of the paper goes through them, whatever the order of the packaged file."""
    order = list(items(made_of_guo))
    places = table(made_of_guo, "comparison.csv")["item"].map(order.index)
    assert places.is_monotonic_increasing


def test_a_gain_over_another_model_is_the_difference_of_both(guo):
    """As the paper prints it: of the same metric, cohort and kind of score; none where one of the two is missing."""
    number = Number(item="Table 2", metric="auc_over_radiomics", cohort="internal", values={"fused": (0.1,)})
    paper = read_paper("liver_metastasis")
    paper = paper.model_copy(update={"number": (number, number.model_copy(update={"metric": "auc_over_clinical"}))})
    metrics = evaluate_all(guo).frame("metrics")
    both, none = (row for _, row in comparison(paper, Ours(guo, {"metrics": metrics}, pd.DataFrame())).iterrows())
    auc = metrics[
        (metrics["metric"] == "auc") & (metrics["cohort"] == "internal") & (metrics["subset"] == "all")
    ].query("kind == 'final'").set_index("model_id")["estimate"]  # fmt: skip
    assert both["ours"] == pytest.approx(auc["fused"] - auc["radiomics"])
    assert np.isnan(none["ours"])


def test_survival_subgroups_and_tests_are_looked_up(made, inputs, report):
    """Cutoff, log-rank and the span of AUCs over the subgroups of the study."""
    rows = table(made, "comparison.csv").set_index(["metric", "cohort", "model"])["ours"]
    cutoffs = pd.read_csv(io.BytesIO(report.files["tables/cutoffs.csv"])).set_index(
        ["model_id", "variant", "purpose"]
    )
    assert rows["survival_cutoff", "train", "dlfs"] == cutoffs.loc[("dlfs", "leak_free", "survival"), "cutoff"]
    low, high = (rows[f"{which}_subgroup_auc", "external", "dlfs"] for which in ("lowest", "highest"))
    subgroups = table(made, "figure_s3_subgroups.csv").query("model_id == 'dlfs' and cohort == 'external'")
    own = subgroups[subgroups["subset"].str.contains("chemotherapy")]["estimate"]
    assert (low, high) == (own.min(), own.max())
    assert 0 <= rows["p_log_rank", "external", "dlfs"] <= 1
    assert rows["candidate_factors", "train", "clis"] == len(inputs.study.clinical.predictors)


def test_table_1_has_the_cohorts_side_by_side(made, report):
    """Every cell is the report's."""
    found = table(made, "table_1.csv")
    assert [name.partition(":")[0] for name in found.columns if "(n = " in name] == [
        "train", "train", "internal", "internal", "external", "external",
    ]  # fmt: skip
    own = pd.read_csv(io.BytesIO(report.files["tables/table_one.csv"]))
    shown = own[(own["comparison"] == "outcome in train") & (own["group"] == "event")]["shown"]
    column = next(name for name in found.columns if name.startswith("train: event"))
    assert found[column].tolist() == shown.tolist()


def test_the_contrast_pools_the_events_of_all_cohorts(guo, made_of_guo):
    """Its AUC is that of the events' scores, out-of-fold in training; the cutoff is said to be in-sample."""
    metrics, curves = contrast_frames(guo)
    scores = guo.scores[(guo.scores["variant"] == "leak_free") & (guo.scores["model_id"] == "dl_radiomics")]
    patients = guo.patients.loc[scores["patient_id"]]
    events = (patients["outcome"] == 1).to_numpy()
    y = (patients["sex"] == "male").to_numpy(int)[events]
    expected = evaluate.auc_ci(y, scores["score"].to_numpy()[events])
    row = metrics.set_index(["model_id", "metric"]).loc[("dl_radiomics", "auc")]
    assert (row["estimate"], row["lower"]) == pytest.approx((expected.auc, expected.lower))
    assert (row["n"], row["events"], row["cohort"]) == (events.sum(), y.sum(), EVENTS)
    assert "in-sample" in row["note"]
    beside = table(made_of_guo, "comparison.csv").query("item == 'Table 3' and metric == 'auc'").iloc[0]
    assert (beside["published"], beside["ours"]) == (0.665, row["estimate"])
    assert set(curves["curve"]) >= {"roc", "violin", "quartiles"}
    for name in ("figure_8.png", "figure_s1.png", "table_3.csv", "appendix_s3_steps.csv"):
        assert name in made_of_guo.files


def test_a_study_without_a_contrast_has_none(inputs):
    """Nothing is made up."""
    metrics, curves = contrast_frames(inputs)
    assert (len(metrics), len(curves)) == (0, 0)


def test_steps_of_the_selection_end_with_what_was_kept(made_of_guo):
    """Candidates less what every step took is the signature."""
    steps = table(made_of_guo, "appendix_s3_steps.csv").query("model_id == 'radiomics'")
    assert steps["left"].tolist()[0] == 12
    assert steps["left"].tolist()[-1] == 8
    assert steps["removed"].sum() == 4


def test_the_same_run_gives_the_same_bytes_and_the_page_is_written_last(made, inputs, report, tmp_path):
    """Its name is that of its content, so the same command again writes nothing."""
    again = reproduction_of(read_paper("recurrence"), inputs, report)
    assert again.report_id == made.report_id
    assert again.files == dict(made.files)
    store = open_store(str(tmp_path))
    assert publish(made, store, "reproductions/recurrence")
    assert not publish(made, store, "reproductions/recurrence")
    index = json.loads(store.get(f"reproductions/recurrence/{made.report_id}/{INDEX}"))
    assert set(index["files"]) == set(made.files) - {INDEX}


def test_the_page_says_that_it_compares_methods(made):
    """The statement stands above all numbers, and in the index; the page needs no network."""
    page = made.files[PAGE].decode()
    assert page.index(STATEMENT[:40]) < page.index("Published numbers and ours")
    assert json.loads(made.files[INDEX])["statement"] == STATEMENT
    assert "://" not in page.replace("http://www.w3.org", "")
    assert "<b>clis</b>: no factor was left" in page
    assert json.loads(made.files[INDEX])["not_fitted"]["clis"] == "no factor was left"


def test_a_model_that_only_the_paper_s_steps_could_fit_is_said_to_be_so(inputs, report):
    """Its in-sample numbers stay, under their own column; it is not passed off as fitted."""
    mine = inputs.scores[(inputs.scores["model_id"] != "dlfs") | (inputs.scores["variant"] == "as_published")]
    lost = replace(inputs, scores=mine, card=inputs.card | {"failed": {"dlfs": "a fold kept nothing"}})
    index = json.loads(reproduction_of(read_paper("recurrence"), lost, report).files[INDEX])
    assert index["not_fitted"]["dlfs"] == "a fold kept nothing"
    subgroups = next(item for item in index["items"] if item["label"] == "Figure S3")  # drawn of another model then
    assert (subgroups["state"], subgroups["reasons"]) == ("in part", ["dlfs was not fitted"])
    tables = {n: pd.read_csv(io.BytesIO(report.files[f"tables/{n}.csv"])) for n in ("metrics", "tests", "cutoffs")}
    tables = {n: t[(t["model_id"] != "dlfs") | (t["variant"] == "as_published")] for n, t in tables.items()}
    rows = comparison(read_paper("recurrence"), Ours(lost, tables, pd.DataFrame()))
    auc = rows[(rows["metric"] == "auc") & (rows["model"] == "dlfs")].set_index("cohort").loc["train"]
    assert (np.isnan(auc["ours"]), auc["note"]) == (True, "not fitted")
    assert auc["as_published"] > 0.5
    compared = Number(item="Figure 3", metric="auc_over_dlfs", cohort="train", values={"latent_0": (0.1,)})
    paper = read_paper("recurrence").model_copy(update={"number": (compared,)})
    assert comparison(paper, Ours(lost, tables, pd.DataFrame()))["note"].tolist() == ["dlfs not fitted"]


def test_settings_that_are_not_the_packaged_study_s_are_said(made):
    """A run that was made short is not taken for the paper's recipe."""
    packaged = load_study("recurrence")
    assert changed_settings(packaged, packaged) == []
    short = load_study("recurrence", ("head.epochs=3", 'name="pilot"', "head.hidden=[8]"))
    assert changed_settings(short, packaged) == ["name = pilot", "head.hidden", "head.epochs = 3"]
    demo = load_study("demo_recurrence")
    assert [name for name in changed_settings(demo, packaged) if "signature" in name] == [
        "signature clis", "signature dlfs",
    ]  # fmt: skip
    fewer = demo.model_copy(update={"signature": demo.signature[:2]})
    assert changed_settings(fewer, demo) == ["signature dlfs"]
    assert "evaluate.bootstrap = 50" in json.loads(made.files[INDEX])["changed"]
    assert "evaluate.bootstrap = 50" in made.files[PAGE].decode()


def test_nothing_of_a_single_patient_is_in_a_reproduction(made, inputs):
    """It is made to be passed on."""
    names = [str(name).encode() for name in inputs.patients.index[:50]]
    assert not [name for name, data in made.files.items() for patient in names if patient in data]


def test_numbers_are_shown_as_they_are_meant(inputs, report, made):
    """Counts without decimals, P with four, a bound before the published number."""
    shown = in_words(
        pd.read_csv(io.BytesIO(made.files["comparison.csv"]), keep_default_na=True).fillna({"bound": "", "note": ""})
    )
    rows = shown.set_index(["what", "cohort", "model"])
    assert rows.loc[("patients", "train", "dlfs"), "published"] == "1774"
    assert rows.loc[("P log rank", "train", "dlfs"), "published"] == "< 0.001"
    assert rows.loc[("AUC", "train", "dlfs"), "published"] == "0.833 (0.809 to 0.858)"


def test_the_terminal_gets_every_auc_beside_the_published_one(made):
    """Also of models that could not be fitted."""
    areas = shown_areas(made.files)
    assert [(area["model"], area["cohort"]) for area in areas] == [
        (model, cohort) for cohort in ("train", "internal", "external") for model in ("clis", "dls", "dlfs")
    ]
    first = {"model": "clis", "cohort": "train", "published": "0.704 (0.672 to 0.736)", "ours": "not fitted"}
    assert areas[0] == first
    assert re.fullmatch(r"0\.\d{3} \(0\.\d{3} to \d\.\d{3}\)", areas[2]["ours"])


def test_predictors_kept_are_shown_under_whose_they_are(made):
    """Theirs, ours, and ours by the paper's steps, a comma between two."""
    shown = kept_in_words(table(made, "kept_predictors.csv"))
    dlfs = shown[shown["model"] == "dlfs"].set_index("whose")["kept"]
    assert dlfs["published"] == "dls, age_years, cea_ng_ml, location, differentiation, ptnm_stage"
    assert dlfs["ours"] == "age_years, latent_0, pn_stage"
    assert dlfs["ours by the paper's steps"] == "not fitted"


def test_a_run_that_fitted_nothing_of_the_paper_still_has_its_page(inputs, report):
    """All numbers of ours are missing, with the reason."""
    tables = {n: pd.read_csv(io.BytesIO(report.files[f"tables/{n}.csv"])) for n in ("metrics", "tests", "cutoffs")}
    none = {name: frame.iloc[:0] for name, frame in tables.items()}
    rows = comparison(read_paper("liver_metastasis"), Ours(inputs, none, pd.DataFrame()))
    assert not np.isfinite(rows["ours"]).any()
    assert set(rows["note"]) == {"not fitted"}
