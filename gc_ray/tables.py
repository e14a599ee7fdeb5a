"""Every table of the project: its columns, types, units and keys, checked on write and on read."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from gc_ray.errors import TableError

SCAN_KEY = ("scan_id", "reader", "repeat", "roi")


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, what it means (with the unit), and whether a null is allowed."""

    name: str
    type: pa.DataType
    meaning: str
    null: bool = False


@dataclass(frozen=True)
class Table:
    """A table's contract. ``more`` is the type of further columns whose names data decide (features), or None."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    more: pa.DataType | None = None

    def schema(self, more: tuple[str, ...] = ()) -> pa.Schema:
        """The Arrow schema, with the ``more`` columns after the fixed ones."""
        fields = [pa.field(c.name, c.type, c.null) for c in self.columns]
        return pa.schema(fields + [pa.field(name, self.more) for name in more])


def _text(name: str, meaning: str, null: bool = False) -> Column:
    return Column(name, pa.string(), meaning, null)


_KEY_COLUMNS = (
    _text("scan_id", "the scan's name in the manifest"),
    _text("reader", "who outlined the region"),
    Column("repeat", pa.int32(), "0, or 1, 2, .. for the same reader again"),
    _text("roi", "label number or name as asked for; empty when the mask holds just one"),
)
_WHOSE = (_text("patient_id", "the patient's name in the manifest"), _text("site", "where the scan was made"))

SCANS = Table(
    "scans",
    SCAN_KEY,
    (
        *_KEY_COLUMNS,
        *_WHOSE,
        _text("phase", "contrast phase, such as portal_venous"),
        _text("image", "DICOM folder, NIfTI, NRRD or MHA; relative to the manifest, absolute, or s3://"),
        _text("mask", "label map, DICOM SEG or RTSTRUCT; addressed like the image"),
        _text("series_uid", "which series of a folder with several; empty when it holds just one"),
    ),
)

LEDGER = Table(
    "ledger",
    (*SCAN_KEY, "feature_set"),
    (
        *_KEY_COLUMNS,
        _text("feature_set", "what was asked for: a feature set, or volumes/<recipe>"),
        *_WHOSE,
        _text("phase", "contrast phase, as the manifest has it"),
        _text("status", "ok, repaired (notes say what), refused or failed (reason says why)"),
        _text(
            "stage",
            "the last step begun: source, image, mask, features, volumes, done; worker: it died; store: object lost",
        ),
        _text("reason", "why the scan was refused or failed; empty otherwise"),
        Column("notes", pa.list_(pa.string()), "repairs first, then remarks"),
        _text("missing", "JSON: feature name to the reason why its value is NaN; {} when every value is there"),
        _text("geometry", "JSON: size, spacing_mm, origin_mm, direction of the CT (x, y, z); {} when unknown"),
        Column("mask_voxels", pa.int64(), "voxels of the region on the CT's grid", null=True),
        _text("object", "the object that this row commits; empty when the scan has none"),
        _text("source_stamp", "digest of the source's file names, sizes and times or ETags"),
        _text("source_sha256", "digest of the source's content; empty when it could not be read"),
        _text("settings_hash", "digest of the settings that decide the values"),
        _text("code_version", "version of the step's code and digest of the library versions that compute"),
        Column("generation", pa.int32(), "1, 2, .. each time this key is computed anew; the last one counts"),
        Column("seconds", pa.float64(), "wall time of the scan's whole task, s"),
        Column("peak_mb", pa.float64(), "largest resident memory of the worker during the task, MB"),
        _text("node", "the machine that computed it, by its host name; empty when none did or an older version"),
        _text("cpu", "that machine's instruction set, such as x86-64-v3; empty likewise"),
    ),
)

RADIOMICS = Table(
    "radiomics",
    (*SCAN_KEY, "feature_set"),
    (
        *_KEY_COLUMNS,
        _text("feature_set", "name of the feature set"),
        *_WHOSE,
        Column("generation", pa.int32(), "the ledger generation that committed the row"),
    ),
    more=pa.float64(),
)

VOLUMES = Table(
    "volumes",
    (*SCAN_KEY, "recipe"),
    (
        *_KEY_COLUMNS,
        _text("recipe", "name of the volume recipe"),
        *_WHOSE,
        Column("generation", pa.int32(), "the ledger generation that committed the row"),
        Column("size", pa.list_(pa.int32()), "voxels along x, y, z"),
        Column("spacing_mm", pa.list_(pa.float64()), "mm along x, y, z"),
        Column("origin_mm", pa.list_(pa.float64()), "LPS of the first voxel's centre, mm"),
        Column("direction", pa.list_(pa.float64()), "row-major 3 x 3, column j is index axis j in LPS"),
        Column("ct_hu", pa.large_binary(), "int16 little endian HU, C order z, y, x"),
        Column("mask", pa.large_binary(), "uint8 0 or 1, C order z, y, x"),
    ),
)

CLINICAL = Table(
    "clinical",
    ("patient_id",),
    _WHOSE,  # what further columns hold, the study file declares: see cohort_tables
)

SPLITS = Table(
    "splits",
    ("study_id", "patient_id"),
    (
        _text("study_id", "the study file's name"),
        *_WHOSE,
        Column("eligible", pa.bool_(), "whether the patient belongs to a cohort of the study"),
        _text("reason", "why not; empty otherwise"),
        _text(
            "cohort", "train, internal, external; source for patients of the backbone's task; empty when not eligible"
        ),
        Column("fold", pa.int32(), "0, 1, .. in the training cohort", null=True),
    ),
)

FLOW = Table(
    "flow",
    ("study_id", "number"),
    (
        _text("study_id", "the study file's name"),
        Column("number", pa.int32(), "0, 1, .. in the order in which the steps were applied"),
        _text("step", "what was asked of the patients"),
        Column("n_left", pa.int64(), "patients left after the step"),
        Column("n_removed", pa.int64(), "patients that the step took away"),
        _text("reason", "which columns or levels the numbers are about; empty where the step says it all"),
    ),
)

DEEP = Table(
    "deep",
    (*SCAN_KEY, "model_id"),
    (
        *_KEY_COLUMNS,
        _text("model_id", "the model that computed the row"),
        *_WHOSE,
        Column("generation", pa.int32(), "the ledger generation that committed the row"),
    ),
    more=pa.float64(),
)

VIEWS = Table(
    "views",
    (*SCAN_KEY, "model_id", "view"),
    (
        *_KEY_COLUMNS,
        _text("model_id", "the frozen backbone"),
        Column("view", pa.int32(), "0 = as stored; 1, 2, .. = augmented"),
        Column("values", pa.list_(pa.float32()), "the backbone's outputs"),
    ),
)

LEARNING = Table(
    "learning",
    ("fit", "epoch"),
    (
        _text("fit", "which of the model's fits, such as fold-2 or final"),
        Column("epoch", pa.int32(), "1, 2, .."),
        Column("train_loss", pa.float64(), "mean loss over the epoch's items"),
        Column("monitored", pa.float64(), "what early stopping watched, lower is better"),
        Column("best", pa.bool_(), "whether the fit's weights are of this epoch"),
    ),
)

SCORES = Table(
    "scores",
    ("study_id", "model_id", "variant", "patient_id", "kind"),
    (
        _text("study_id", "the study file's name"),
        _text("model_id", "which signature, such as radiomics or fused"),
        _text("variant", "leak_free, or as_published: the paper's in-sample steps, never used for a claim"),
        _text("patient_id", "the patient's name in the manifest"),
        _text("scan_id", "the scan whose features were used; empty when none were"),
        _text("cohort", "train, internal or external"),
        _text(
            "kind", "oof: by a fit without the patient; final: by the fit to the training cohort; apparent: in-sample"
        ),
        Column("score", pa.float64(), "0 to 1, higher = higher risk"),
        Column("linear_predictor", pa.float64(), "log odds"),
    ),
)

RESAMPLING = Table(
    "resampling",
    ("study_id", "model_id", "repeat", "fold"),
    (
        _text("study_id", "the study file's name"),
        _text("model_id", "which signature"),
        Column("repeat", pa.int32(), "0 = the folds of the splits; 1, 2, .. = drawn anew"),
        Column("fold", pa.int32(), "0, 1, .. the part that was left out while every step was repeated"),
        Column("n_train", pa.int64(), "patients fitted on"),
        Column("events_train", pa.int64(), "events among them"),
        Column("n", pa.int64(), "patients left out who have a score"),
        Column("events", pa.int64(), "events among them"),
        _text("chosen", "JSON: the outer choices that this fold's training part led to"),
        Column("features", pa.list_(pa.string()), "predictors of the signature fitted here"),
        Column("auc_train", pa.float64(), "AUC of that signature on its own patients", null=True),
        Column("auc_test", pa.float64(), "AUC on those left out; null with one class", null=True),
        Column("brier_test", pa.float64(), "Brier score on those left out"),
        Column("deviance_test", pa.float64(), "mean binomial deviance on those left out"),
    ),
)

COEFFICIENTS = Table(
    "coefficients",
    ("study_id", "model_id", "variant", "term"),
    (
        _text("study_id", "the study file's name"),
        _text("model_id", "which signature"),
        _text("variant", "leak_free or as_published"),
        _text("term", "a predictor, or (Intercept)"),
        Column("coef", pa.float64(), "log odds per unit of the predictor as it is stored"),
        Column("se", pa.float64(), "its standard error; null where the fit has none", null=True),
        Column("lower", pa.float64(), "95 % limit of coef", null=True),
        Column("upper", pa.float64(), "95 % limit of coef", null=True),
        Column("p_value", pa.float64(), "Wald test of coef = 0", null=True),
        Column("odds_ratio", pa.float64(), "exp(coef)"),
        Column("or_lower", pa.float64(), "95 % limit", null=True),
        Column("or_upper", pa.float64(), "95 % limit", null=True),
        Column("n", pa.int64(), "patients fitted on"),
        Column("events", pa.int64(), "events among them"),
    ),
)

SELECTION = Table(
    "selection",
    ("study_id", "model_id", "variant", "feature"),
    (
        _text("study_id", "the study file's name"),
        _text("model_id", "which signature"),
        _text("variant", "leak_free or as_published"),
        _text("feature", "the candidate"),
        _text("family", "clinical, radiomics, deep or score"),
        _text("step", "the step at which it left; kept when it is in the signature"),
        Column("statistic", pa.float64(), "what the step looked at", null=True),
        Column("p_value", pa.float64(), "where the step is a test", null=True),
        _text("reason", "why it left, in words; empty when kept"),
        Column("stability", pa.float64(), "share of the resampling fits that kept it", null=True),
    ),
)

RESCORES = Table(
    "rescores",
    ("bundle_id", *SCAN_KEY, "input_hash"),
    (
        _text("bundle_id", "digest of the bundle's bytes"),
        _text("study_id", "the study whose signature it is"),
        _text("model_id", "which signature"),
        *_KEY_COLUMNS,
        *_WHOSE,
        _text("phase", "contrast phase as the manifest has it; empty when it is not stated"),
        _text("input_hash", "digest of what was scored: content of scan and mask, clinical values, phase, site"),
        _text("status", "scored, or refused: reasons say why"),
        Column("score", pa.float64(), "risk, 0 to 1; null when refused", null=True),
        Column("linear_predictor", pa.float64(), "log odds; null when refused", null=True),
        Column("lower", pa.float64(), "95 % limit of score; null where the signature has no covariance", null=True),
        Column("upper", pa.float64(), "95 % limit of score", null=True),
        _text("interval", "what the limits are about"),
        _text("risk_group", "high above the bundle's cutoff, low otherwise; empty when refused"),
        _text("verdict", "in-domain, borderline or refused"),
        Column("reasons", pa.list_(pa.string()), "why the scan is not in-domain"),
        _text("predictors", "JSON: value of each predictor; {} when the image could not be used"),
        _text("scored_at", "UTC, ISO 8601"),
        _text("run", "which run"),
    ),
)

DRIFT = Table(
    "drift",
    ("bundle_id", "name"),
    (
        _text("bundle_id", "digest of the bundle's bytes"),
        _text("name", "a predictor (head: log odds of the network head), score, refusals or calibration"),
        Column("n", pa.int64(), "scans of the window"),
        Column("statistic", pa.float64(), "KS distance, share refused, or observed over expected events", null=True),
        Column("psi", pa.float64(), "population stability index, deciles of training", null=True),
        Column("p_value", pa.float64(), "of the statistic", null=True),
        Column("q_value", pa.float64(), "after Benjamini and Hochberg over predictors and score", null=True),
        _text("verdict", "stable, watch, alert, or too few"),
    ),
)

TABLES = {
    table.name: table
    for table in (
        SCANS,
        LEDGER,
        RADIOMICS,
        VOLUMES,
        CLINICAL,
        SPLITS,
        FLOW,
        DEEP,
        VIEWS,
        LEARNING,
        SCORES,
        RESAMPLING,
        COEFFICIENTS,
        SELECTION,
        RESCORES,
        DRIFT,
    )
}


# columns that version 0.1.0 did not have, and what stands for them in rows that do not say
LATER = {"ledger": {"node": "", "cpu": ""}}


def build(table: Table, rows: list[dict], more: tuple[str, ...] = ()) -> pa.Table:
    """The Arrow table of ``rows`` in the table's schema, checked; TableError when a row does not fit."""
    schema = table.schema(more)
    rows = [LATER.get(table.name, {}) | row for row in rows]
    for row in rows:
        if set(row) != set(schema.names):
            lost = sorted(set(schema.names) - set(row))
            extra = sorted(set(row) - set(schema.names))
            raise TableError(f"table {table.name}: a row lacks {lost[:5]} and has unknown {extra[:5]}")
    try:
        built = pa.Table.from_pylist(rows, schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TableError(f"table {table.name}: a value does not fit its column: {error}") from error
    return check(table, built)


def check(table: Table, found: pa.Table) -> pa.Table:
    """``found`` itself when it has the table's columns, types and a unique key; TableError otherwise."""
    names = found.column_names  # pyarrow lists all 2,000 anew whenever it is asked
    fixed = {c.name for c in table.columns}
    more = tuple(name for name in names if name not in fixed)
    if more and table.more is None:
        raise TableError(f"table {table.name}: unknown columns {', '.join(more[:5])}")
    present = set(names)
    for field in table.schema(more):
        if field.name not in present:
            raise TableError(f"table {table.name}: column {field.name} ({field.type}) is missing")
        column = found.column(field.name)
        if column.type != field.type:
            raise TableError(f"table {table.name}: column {field.name} is {column.type}, wanted {field.type}")
        if column.null_count and not field.nullable:
            raise TableError(f"table {table.name}: column {field.name} has {column.null_count} empty values")
    _check_unique(table, found)
    return found


def _check_unique(table: Table, found: pa.Table) -> None:
    if found.num_rows < 2:
        return  # a single row, as workers commit them, needs no grouping
    key = [*table.key, *(("generation",) if "generation" in found.column_names else ())]
    counts = found.group_by(key).aggregate([([], "count_all")])
    doubled = counts.filter(pc.greater(counts["count_all"], 1))
    if doubled.num_rows:
        first = {name: doubled[name][0].as_py() for name in key}
        raise TableError(f"table {table.name}: {doubled.num_rows} keys stand more than once, the first is {first}")


def sort_by_key(table: Table, found: pa.Table) -> pa.Table:
    """``found`` in the order of its key, in one chunk, so that equal content compares equal."""
    return found.sort_by([(name, "ascending") for name in table.key]).combine_chunks()
