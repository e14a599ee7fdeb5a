"""The clinical table checked against what a study asks of it: columns, coding, times, and patients with scans."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pandas as pd
import pyarrow.parquet as pq

from gc_ray.errors import TableError
from gc_ray.study import ClinicalSettings

FEW_EVENTS = 10  # events per predictor below which logistic coefficients are unstable (Peduzzi 1996)
SHOWN = 3  # ids named in a finding; the rest are counted


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (``error``) or worth knowing (``warning``), and what to do about it."""

    level: str
    text: str


def parse_clinical(data: bytes, name: str) -> pd.DataFrame:
    """The clinical table with patient_id as text; TableError when it cannot be read or patients are doubled."""
    try:
        if name.lower().endswith(".parquet"):
            frame = pq.read_table(io.BytesIO(data)).to_pandas()
        else:
            frame = pd.read_csv(io.BytesIO(data), dtype={"patient_id": str}, encoding="utf-8-sig")
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise TableError(f"{name}: wanted a CSV or Parquet clinical table, it cannot be read: {reason}") from error
    if "patient_id" not in frame:
        raise TableError(
            f"{name}: column patient_id is missing, found {', '.join(map(str, frame.columns[:8]))}; add it"
        )
    frame["patient_id"] = frame["patient_id"].astype("string").str.strip()
    doubled = frame["patient_id"][frame["patient_id"].duplicated()].dropna().unique()
    if len(doubled) or frame["patient_id"].isna().any():
        raise TableError(
            f"{name}: wanted one row per patient_id, {len(doubled)} stand twice ({_some(doubled)}) and "
            f"{int(frame['patient_id'].isna().sum())} are empty; mend the table"
        )
    return frame


def check_clinical(frame: pd.DataFrame, settings: ClinicalSettings, scanned: set[str]) -> list[Finding]:
    """What is wrong with a clinical table for this study; ``scanned`` are the patients with a scan.

    Looks at patients on one side only, missing columns, coding of 0/1 columns, follow-up times, and events per
    predictor. Nothing is changed.
    """
    findings = _patients(set(frame["patient_id"]), scanned)
    named = [c for c in (settings.outcome, settings.time_months, settings.event, *settings.predictors) if c]
    lost = [c for c in named if c not in frame]
    if lost:
        findings.append(Finding("error", f"column(s) {', '.join(lost)} missing; add them or change [clinical]"))
    for column in (settings.outcome, settings.event):
        if column in frame:
            findings += _binary(frame[column], column)
    if settings.time_months in frame:
        findings += _times(frame[settings.time_months], settings.time_months)
    if settings.outcome in frame and settings.predictors:
        findings += _events(frame, settings)
    return findings


def _patients(listed: set[str], scanned: set[str]) -> list[Finding]:
    without_row, without_scan = sorted(scanned - listed), sorted(listed - scanned)
    found = []
    if without_row:
        text = f"{len(without_row)} scanned patients have no clinical row ({_some(without_row)}); add rows"
        found.append(Finding("error", text))
    if without_scan:
        text = f"{len(without_scan)} clinical rows have no scan ({_some(without_scan)}); they will not be analysed"
        found.append(Finding("warning", text))
    return found


def _binary(column: pd.Series, name: str) -> list[Finding]:
    values = set(pd.unique(column.dropna()))
    found = []
    if not values <= {0, 1}:
        shown = ", ".join(sorted(map(str, values - {0, 1}))[:SHOWN])
        found.append(Finding("error", f"{name}: wanted 0 (no) and 1 (yes), found {shown}; recode"))
    elif len(values) < 2:
        found.append(Finding("error", f"{name}: wanted both 0 and 1, every value is {values or 'empty'}"))
    if empty := int(column.isna().sum()):
        found.append(Finding("warning", f"{name}: {empty} of {len(column)} values are empty"))
    return found


def _times(column: pd.Series, name: str) -> list[Finding]:
    times = pd.to_numeric(column, errors="coerce")
    wrong = int((times.isna() & column.notna()).sum())
    negative = int((times < 0).sum())
    found = []
    if wrong:
        found.append(Finding("error", f"{name}: wanted months as numbers, {wrong} values are not; recode"))
    if negative:
        found.append(Finding("error", f"{name}: {negative} negative times; an event cannot precede the start"))
    return found


def _events(frame: pd.DataFrame, settings: ClinicalSettings) -> list[Finding]:
    smaller = int(min((frame[settings.outcome] == value).sum() for value in (0, 1)))
    per_predictor = smaller / len(settings.predictors)
    text = f"{smaller} events for {len(settings.predictors)} predictors, {per_predictor:.1f} each"
    return (
        [Finding("warning", f"{text}; under {FEW_EVENTS}, expect overfitting")] if per_predictor < FEW_EVENTS else []
    )


def _some(ids) -> str:
    shown = ", ".join(map(str, list(ids)[:SHOWN]))
    return shown + (", .." if len(ids) > SHOWN else "")
