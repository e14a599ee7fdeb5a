"""The reference of what users bring: the manifest of scans, and the clinical table as a study declares it."""

from __future__ import annotations

import inspect

from gc_ray import tables
from gc_ray.cohort.manifest import DEFAULTS, REQUIRED
from gc_ray.study import Study, load_study
from gc_ray.study_cohort import Binary, Categorical, ClinicalSettings, Column, Date, Number, Ordinal
from gc_ray.study_file import packaged_studies
from generators.markdown import code, page, table
from generators.settings import fields_of
from generators.source import messages_of

MANIFEST = """
One [table](input-tables.md) (CSV, Excel or Parquet), local or `s3://`, one row for each outline: a region of a
scan, drawn once. Several manifests together are one cohort; one for each site is usual. Every cell is read as text,
so `007` keeps its zeros.

```
scan_id,patient_id,site,phase,image,mask,roi,reader,repeat
P001_PV,P001,centre_a,portal_venous,P001/ct,P001/seg.dcm,tumour,R1,0
P001_PV,P001,centre_a,portal_venous,P001/ct,P001/rt.dcm,GTV,R2,0
```
"""

MANIFEST_RULES = """
Bold columns are the key of an outline. Further columns are left alone, unless their name looks like a misspelt one of
these. Rows of one `scan_id` must agree in patient, site, phase, image and series: one scan is one image of one
patient.

Ids and paths of the manifest appear in messages, the ledger and, masked, in reports: put no names or hospital numbers
into them. What a DICOM header says of the patient is never repeated.
"""

MANIFEST_FAULTS = """
## What is refused

The whole table is turned down, with exit code 2 and before any scan is read, when one of these holds. `<..>` stands
for what is named in your case; rows are counted as a spreadsheet shows them, the header being row 1.
"""

CLINICAL = """
One [table](input-tables.md) (CSV, Excel or Parquet), local or `s3://`, one row for each patient. Which columns it
must have is decided by the study file: it maps columns to roles and declares what each holds. Columns that nothing
names are not read.

Always there: **`patient_id`**, the key, as the manifest writes it, and `site`. A cell that is empty or holds one of
the [words for a gap](input-tables.md#words-for-a-gap) has no value, unless the column has a level of that name.
`gc-ray check` and `gc-ray split` apply the same rules and list every value that does not fit.
"""

DECLARED = """
A column is declared in the study file by its kind and what goes with it:

```toml
[clinical.columns]
her2 = { kind = "binary", missing = "category" }
ct_stage = { kind = "ordinal", levels = ["T1", "T2", "T3", "T4"] }
cea_ng_ml = { kind = "number", unit = "ng/ml", low = 0, high = 1e5 }
```

Every kind takes:
"""

KINDS = (Binary, Ordinal, Categorical, Number, Date)

WRITTEN = {
    Binary: "`0`, `1`",
    Ordinal: "a level's name, letter by letter",
    Categorical: "a level's name, letter by letter",
    Number: "`12.5`, or `12,5` in a table of semicolons or tabs; no thousands separator, no `<`",
    Date: "`2017-01-31`",
}

CHECKS = """
## What is checked

- every patient stands once, and has a row when it has a scan;
- every value is of its column's kind, one of its levels, within its limits, not after the column it must not be
  after;
- the outcome agrees with its time (1 wants one, 0 must have none), the event with the follow-up;
- outcome and event have both 0 and 1; fewer than 10 events for each predictor is a warning, and so is every empty
cell that costs a patient.
"""


def manifest() -> str:
    """The page of the scans table."""
    rows = []
    for c in tables.SCANS.columns:
        name = f"**{code(c.name)}**" if c.name in tables.SCANS.key else code(c.name)
        default = "required" if c.name in REQUIRED else (code(DEFAULTS[c.name]) or "empty")
        rows.append((name, default, c.meaning))
    faults = "\n".join(f"- {code(text)}" for text in messages_of("cohort/manifest.py", "TableError"))
    return page(
        "The manifest of scans",
        MANIFEST,
        table(("column", "when left out", "meaning"), rows),
        MANIFEST_RULES,
        MANIFEST_FAULTS,
        faults,
    )


def clinical() -> str:
    """The page of the clinical table: roles, kinds of columns, and what each packaged study asks for."""
    roles = [
        (code(name), field.description)
        for name, field in ClinicalSettings.model_fields.items()
        if name not in ("columns", "rules")
    ]
    kinds = [(code(_kind(k)), inspect.getdoc(k), WRITTEN[k]) for k in KINDS]
    parts = ["## Roles", table(("role in `[clinical]`", "what the column holds"), roles)]
    parts += ["## Kinds of columns", table(("kind", "what it is", "how a cell is written"), kinds)]
    parts += [DECLARED, fields_of(Binary, leave_out=("kind",))]
    for kind in KINDS[1:]:
        parts += [f"And {code(_kind(kind))}:", fields_of(kind, leave_out=tuple(Binary.model_fields))]
    parts += [CHECKS]
    for name in packaged_studies():
        parts += [f"## Columns of the study {name}", _asked(load_study(name))]
    return page("The clinical table", CLINICAL, *parts)


def _kind(model: type) -> str:
    return model.__name__.lower()


def _asked(study: Study) -> str:
    columns = study.clinical.declared
    rows = [(code(name), _role(name, study.clinical), _what(column)) for name, column in columns.items()]
    return table(("column", "used as", "what it holds"), rows)


def _role(name: str, clinical: ClinicalSettings) -> str:
    single = ("outcome", "outcome_months", "time_months", "event", "source_label")
    roles = [code(role) for role in single if getattr(clinical, role) == name]
    roles += ["predictor"] if name in clinical.predictors else []
    roles += ["subgroup"] if name in clinical.subgroups else []
    roles += ["eligibility"] if any(c.column == name for rule in clinical.rules for c in rule.conditions) else []
    return ", ".join(roles)


def _what(column: Column) -> str:
    if isinstance(column, Number):
        text = f"number, {column.low:,g} to {column.high:,.12g} {column.unit}"
    elif isinstance(column, Date):
        text = f"date, {column.low} to {column.high}"
    elif isinstance(column, Binary):
        text = "0 or 1"
    else:
        text = f"{column.kind}: {', '.join(column.levels)}"
    not_after = getattr(column, "not_after", "")
    text += f"; not after {code(not_after)}" if not_after else ""
    return text if column.known_at_scan else f"{text}; not known at the scan"
