"""What a run knows of its results: models, selection, performance, comparison, doubts."""

from __future__ import annotations

from gc_ray.report.compute import Evaluation
from gc_ray.report.facts_design import Answer, Fact, scored


def _sample_size(done: Evaluation) -> Answer:
    rows = done.inputs.coefficients
    if rows is None or not len(rows):
        return None
    parts = []
    for model, terms in rows[rows["variant"] == "leak_free"].groupby("model_id", sort=False):
        count = max(int((terms["term"] != "(Intercept)").sum()), 1)
        parts.append(f"{model} {terms['events'].iloc[0] / count:.1f}")
    return f"no calculation is known; events per term of the final fits: {', '.join(parts)}", "table coefficients"


def _model_building(done: Evaluation) -> Answer:
    if done.inputs.resampling is None or not len(done.inputs.resampling):
        return None
    rows = done.inputs.resampling
    text = f"logistic signatures; every step repeated in {rows['repeat'].nunique()} x {rows['fold'].nunique()} folds"
    return text, "tables selection, resampling"


def _by_site(done: Evaluation) -> Answer:
    tests = done.frame("tests")
    if not (tests["test"] == "heterogeneity").any():
        return None
    return "AUC by site, random effects, Cochran's Q and I squared", "tables metrics, tests"


def _measures(done: Evaluation) -> Answer:
    text = "AUC, average precision, calibration slope and intercept, Brier score, ICI, net benefit, rates at a cutoff"
    more = ", concordance, Kaplan-Meier and Cox" if (done.frame("metrics")["metric"] == "c_index").any() else ""
    return text + more, "tables metrics, curves"


def _prediction(done: Evaluation) -> Answer:
    kinds = done.inputs.scores.groupby("cohort", sort=False)["kind"].unique()
    return "; ".join(f"{cohort}: {', '.join(kind)}" for cohort, kind in kinds.items()), "table scores"


def _imbalance(done: Evaluation) -> Answer:
    return f"nothing was resampled or weighted by the evaluation; events: {scored(done)}", "table scores"


def _cutoff(done: Evaluation) -> Answer:
    rows = done.frame("cutoffs").dropna(subset=["cutoff"])
    rows = rows[rows["variant"] == "leak_free"]
    if not len(rows):
        return None
    parts = [f"{r.model_id} {r.purpose} {r.cutoff:.3f}" for r in rows.itertuples()]
    return f"{rows['rule'].iloc[0]}, learned on {rows['cohort'].iloc[0]}, frozen: {'; '.join(parts)}", "table cutoffs"


def _table_one(done: Evaluation) -> Answer:
    return ("Table 1 by cohort and outcome", "table table_one") if len(done.frame("table_one")) else None


def _flow(done: Evaluation) -> Answer:
    rows = done.frame("account")
    patients = rows[rows["unit"] == "patients"]
    text = f"{patients['n_left'].iloc[0]} patients to {patients['n_left'].iloc[-1]} with a score, every step counted"
    return (text, "table account") if done.inputs.flow is not None else None


def _sizes(done: Evaluation) -> Answer:
    return scored(done), "tables scores, metrics"


def _specification(done: Evaluation) -> Answer:
    if not done.inputs.signatures:
        return None
    names = ", ".join(done.inputs.signatures)
    return f"signatures as JSON with centre, scale, coefficients and covariance: {names}", "signatures"


def _performance(done: Evaluation) -> Answer:
    metrics = done.frame("metrics")
    mine = metrics[(metrics["metric"] == "auc") & (metrics["subset"] == "all") & metrics["estimate"].notna()]
    mine = mine[(mine["model_id"] == done.inputs.headline) & (mine["variant"] == "leak_free")]
    parts = [f"{r.cohort} {r.estimate:.3f} ({r.lower:.3f} to {r.upper:.3f})" for r in mine.itertuples()]
    return (f"AUC of {done.inputs.headline}: {'; '.join(parts)}", "table metrics") if parts else None


def _limitations(done: Evaluation) -> Answer:
    rows = done.frame("flags")
    serious = rows[rows["severity"] == "serious"]
    return f"{len(serious)} serious doubts and {len(rows) - len(serious)} notes are listed", "table flags"


def _families(done: Evaluation) -> Answer:
    rows = done.inputs.selection
    if rows is None or not len(rows):
        return None
    counts = rows.drop_duplicates("feature")["family"].value_counts().sort_index()
    return "; ".join(f"{name} {n}" for name, n in counts.items()), "table selection"


def _candidates(done: Evaluation) -> Answer:
    rows = done.inputs.selection
    return None if rows is None or not len(rows) else (f"{rows['feature'].nunique()} candidates", "table selection")


def _reliability(done: Evaluation) -> Answer:
    rows = done.inputs.selection
    if rows is None or not rows["step"].str.contains("icc|stability", case=False).any():
        return None
    lost = int(rows["step"].str.contains("icc|stability", case=False).sum())
    said = [text for text in done.inputs.card.get("statements", ()) if text.startswith("step stability")]
    return f"{'; '.join(said) or 'features by ICC'}; {lost} left at that step", "table selection"


def _scaling(done: Evaluation) -> Answer:
    if not done.inputs.signatures:
        return None
    return "standardised inside each fit; centre and scale are part of the signature", "signatures"


def _selection(done: Evaluation) -> Answer:
    rows = done.inputs.selection
    if rows is None or not len(rows):
        return None
    mine = rows[rows["variant"] == "leak_free"].drop_duplicates(["model_id", "feature"])
    parts = [f"{step} {n}" for step, n in mine["step"].value_counts(sort=False).items()]
    return f"features by the step at which they left: {', '.join(parts)}", "table selection"


def _selection_results(done: Evaluation) -> Answer:
    rows = done.inputs.selection
    if rows is None or not len(rows):
        return None
    kept = rows[(rows["step"] == "kept") & (rows["variant"] == "leak_free")]
    parts = [
        f"{model} {len(r)}, chosen in {r['stability'].mean():.0%} of resampling fits on average"
        for model, r in kept.groupby("model_id", sort=False)
    ]
    return f"features kept: {'; '.join(parts)}", "table selection"


def _dimensionality(done: Evaluation) -> Answer:
    return _sample_size(done)


def _uncertainty(done: Evaluation) -> Answer:
    settings = done.inputs.study.evaluate
    return f"95 % intervals: DeLong, {settings.interval}, bootstrap of {settings.bootstrap} samples", "table metrics"


def _comparison(done: Evaluation) -> Answer:
    n = int((done.frame("tests")["test"] == "auc difference").sum())
    models = ", ".join(done.inputs.models)
    return (f"{n} paired DeLong tests, not adjusted, among {models}", "table tests") if n else None


def _interpretability(done: Evaluation) -> Answer:
    rows = done.frame("nomogram")
    return (f"nomogram of {', '.join(rows['model_id'].unique())}", "table nomogram") if len(rows) else None


def _calculator(done: Evaluation) -> Answer:
    return ("the calculator of this page, for research only", "this page") if len(done.frame("nomogram")) else None


def _calibration(done: Evaluation) -> Answer:
    metrics = done.frame("metrics")
    rows = metrics[(metrics["metric"] == "calibration_slope") & (metrics["model_id"] == done.inputs.headline)]
    rows = rows[(rows["variant"] == "leak_free") & rows["estimate"].notna()]
    parts = [f"{r.cohort} {r.estimate:.2f} ({r.lower:.2f} to {r.upper:.2f})" for r in rows.itertuples()]
    return (f"slope of {done.inputs.headline}: {'; '.join(parts)}", "table metrics") if parts else None


def _test_of(cohort: str) -> Fact:
    def answer(done: Evaluation) -> Answer:
        members = done.inputs.scores[done.inputs.scores["cohort"] == cohort]
        n = members["patient_id"].nunique()
        return (f"{n} patients", "table scores") if n else ("none", "table scores")

    return answer


def _subgroups(done: Evaluation) -> Answer:
    found = done.frame("metrics")
    names = sorted({s.partition("=")[0] for s in found["subset"] if "=" in s and not s.startswith("events only")})
    return (f"AUC by {', '.join(names)}, with a test of interaction", "tables metrics, tests") if names else None


RESULTS: dict[str, Fact] = {
    "subgroups": _subgroups,
    "sample_size": _sample_size,
    "model_building": _model_building,
    "by_site": _by_site,
    "measures": _measures,
    "prediction": _prediction,
    "imbalance": _imbalance,
    "cutoff": _cutoff,
    "table_one": _table_one,
    "flow": _flow,
    "sizes": _sizes,
    "specification": _specification,
    "performance": _performance,
    "limitations": _limitations,
    "families": _families,
    "candidates": _candidates,
    "reliability": _reliability,
    "scaling": _scaling,
    "selection": _selection,
    "selection_results": _selection_results,
    "uncertainty": _uncertainty,
    "comparison": _comparison,
    "interpretability": _interpretability,
    "calculator": _calculator,
    "dimensionality": _dimensionality,
    "calibration": _calibration,
    "internal_test": _test_of("internal"),
    "external_test": _test_of("external"),
}
