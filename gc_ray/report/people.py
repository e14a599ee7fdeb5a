"""Who was analysed: Table 1, and the account of outlines and patients from scans to analysis."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd

from gc_ray import evaluate
from gc_ray.errors import TableError
from gc_ray.report.flags_data import reason_counts, reasons_text
from gc_ray.report.inputs import Inputs
from gc_ray.report.units import ORDER
from gc_ray.tables import SCAN_KEY

KIND = {"number": "continuous", "binary": "categorical", "ordinal": "categorical", "categorical": "categorical"}
STATISTICS = ("mean", "sd", "median", "q1", "q3", "count", "share")
WHOLE, SCORED = "with all that was asked of them", "with a score"
STATES = (WHOLE, SCORED)  # steps named for who is left; the others are named for who goes
SHOWN_WITHOUT_STUDY = 30  # columns of a clinical table that no study declares; more would be no Table 1


def table_one_frame(inputs: Inputs) -> tuple[pd.DataFrame, str]:
    """(rows of the table table_one, the rule of its tests): cohorts compared, then outcomes within each cohort."""
    members = inputs.scores.drop_duplicates("patient_id").set_index("patient_id")["cohort"]
    frame = inputs.patients.loc[members.index].assign(cohort=members)
    spec = _spec(inputs)
    parts, rule = [], ""
    cohorts = sorted(members.unique(), key=lambda name: (ORDER.get(name, 3), name))
    comparisons = [("cohort", frame, pd.Categorical(frame["cohort"], cohorts))]
    for name in cohorts:
        mine = frame[frame["cohort"] == name]
        outcome = mine["outcome"].map({0: "no event", 1: "event"})
        comparisons.append((f"outcome in {name}", mine, pd.Categorical(outcome, ["no event", "event"])))
    for comparison, rows, by in comparisons:
        if not spec or len(by.unique()) < 2:
            continue
        found = evaluate.table_one(_in_order(rows, inputs).reset_index(drop=True), by, spec)
        parts.append(_long(found).assign(comparison=comparison))
        rule = found.rule
    if not parts:
        return pd.DataFrame(), rule
    return pd.concat(parts, ignore_index=True).assign(study_id=inputs.study.name), rule


def _in_order(rows: pd.DataFrame, inputs: Inputs) -> pd.DataFrame:
    """Levels in the order of the study file, 0 and 1 as no and yes."""
    ordered = rows.copy()
    for name, column in inputs.study.clinical.declared.items():
        if name not in rows:
            continue
        if column.kind == "binary":
            ordered[name] = pd.Categorical(rows[name].map({0: "no", 1: "yes"}), ["no", "yes"])
        elif levels := getattr(column, "levels", ()):
            ordered[name] = pd.Categorical(rows[name], levels)
    return ordered


def account_rows(inputs: Inputs) -> list[dict]:
    """Rows of the table account: outlines extracted, patients ruled out, cohorts, and who has a score.

    TableError when a step does not add up: a flow diagram that does not is worse than none.
    """
    steps: list[tuple[str, str, int, int, str]] = []
    if inputs.outlines is not None and len(inputs.outlines):
        steps += _outline_steps(inputs.outlines)
    cohorts = _cohorts(inputs)
    if inputs.flow is not None:
        steps += [("patients", f.step, f.n_left, f.n_removed, f.reason) for f in inputs.flow.itertuples()]
        left = int(inputs.flow["n_left"].iloc[-1])
        if left != cohorts.sum():
            raise TableError(f"account: {left} patients are left after the rules, the cohorts hold {cohorts.sum()}")
    scored = inputs.scores.drop_duplicates("patient_id").groupby("cohort").size()
    by_cohort = []
    for name in cohorts.index:
        n, everybody = int(scored.get(name, 0)), int(cohorts[name])
        why = reason_counts(inputs.card, name, "without_score")
        by_cohort.append(
            ("cohort", name, n, everybody - n, reasons_text(why, everybody - n) if everybody > n else "")
        )
    lost = int(cohorts.sum() - scored.sum())
    steps.append(("patients", SCORED, int(scored.sum()), lost, _why_lost(inputs, list(cohorts.index), lost)))
    steps += by_cohort
    _check_sums(steps)
    names = ("unit", "step", "n_left", "n_removed", "reason")
    rows = [dict(zip(names, step, strict=True)) for step in steps]
    return [{"study_id": inputs.study.name, "number": i} | row for i, row in enumerate(rows)]


def _why_lost(inputs: Inputs, cohorts: list[str], lost: int) -> str:
    """Why patients of any cohort have no score; empty when all have one."""
    if not lost:
        return ""
    counts: Counter[str] = Counter()
    for cohort in cohorts:
        counts.update(reason_counts(inputs.card, cohort, "without_score"))
    return reasons_text(dict(counts), lost)


def _outline_steps(outlines: pd.DataFrame) -> list[tuple[str, str, int, int, str]]:
    """Outlines of the store, and those of which nothing was refused or failed, whatever was asked of them."""
    usable = outlines["status"].isin(("ok", "repaired"))
    of_each = outlines.assign(usable=usable).groupby(list(SCAN_KEY), sort=False)
    whole = of_each["usable"].all()
    lost = outlines[~usable].groupby(list(SCAN_KEY), sort=False)["status"].min()  # failed comes before refused
    why = ", ".join(f"{n} {status}" for status, n in lost.value_counts().sort_index().items())
    steps = [("outlines", "in the store", len(whole), 0, "")]
    steps.append(("outlines", WHOLE, int(whole.sum()), len(lost), why))
    return steps


def _cohorts(inputs: Inputs) -> pd.Series:
    if inputs.splits is not None:
        sizes = inputs.splits[inputs.splits["cohort"].isin(ORDER)].groupby("cohort").size()
    else:
        sizes = inputs.scores.drop_duplicates("patient_id").groupby("cohort").size()
    return sizes.loc[sorted(sizes.index, key=lambda name: (ORDER.get(name, 3), name))]


def _check_sums(steps: list[tuple[str, str, int, int, str]]) -> None:
    for before, after in pairwise(steps):
        if before[0] == after[0] != "cohort" and before[2] - after[3] != after[2]:
            raise TableError(f"account: {before[2]} less {after[3]} is not the {after[2]} of the step '{after[1]}'")
    scored = next(step[2] for step in steps if step[1] == SCORED)
    if scored != sum(step[2] for step in steps if step[0] == "cohort"):
        raise TableError(f"account: the cohorts do not add up to the {scored} patients with a score")


def _spec(inputs: Inputs) -> dict[str, str]:
    declared = inputs.study.clinical.declared
    if declared:
        asked = dict.fromkeys((*inputs.study.clinical.predictors, *inputs.study.clinical.subgroups))
        return {name: KIND[declared[name].kind] for name in asked if declared[name].kind in KIND}
    numbers = inputs.patients.select_dtypes("number").columns.difference(["outcome", "time", "event", "fold"])
    own = [name for name in numbers if name in inputs.patients.columns and name not in ("score", "linear_predictor")]
    return dict.fromkeys(own[:SHOWN_WITHOUT_STUDY], "continuous")


def _long(found) -> pd.DataFrame:
    """The numbers of Table 1 with what is shown and the test of their variable, in the order of the table."""
    shown = found.table.copy()
    groups = [str(group) for group in found.groups]
    tests = shown.groupby("variable", sort=False)[["test", "statistic", "p_value", "smd"]].first()
    melted = shown.melt(["variable", "level"], groups, "group", "shown").fillna({"level": ""})
    numbers = found.numbers.assign(group=found.numbers["group"].astype(str))
    whole = numbers.merge(melted, on=["variable", "level", "group"], how="left").merge(
        tests, left_on="variable", right_index=True, how="left"
    )
    for name in STATISTICS:
        whole[name] = whole[name].astype(float) if name in whole else np.nan
    return whole
