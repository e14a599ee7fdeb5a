"""Every table of the project: its columns, types, units and keys, checked on write and on read."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from gc_ray.errors import TableError
from gc_ray.score_tables import COEFFICIENTS, DRIFT, RESAMPLING, RESCORES, SCORES, SELECTION
from gc_ray.table_schema import KEY_COLUMNS, PATIENT_COLUMNS, SCAN_KEY, Column, Table, text_column

SCANS = Table(
    "scans",
    SCAN_KEY,
    (
        *KEY_COLUMNS,
        *PATIENT_COLUMNS,
        text_column("phase", "contrast phase, such as portal_venous"),
        text_column("image", "DICOM folder, NIfTI, NRRD or MHA; relative to the manifest, absolute, or s3://"),
        text_column("mask", "label map, DICOM SEG or RTSTRUCT; addressed like the image"),
        text_column("series_uid", "which series of a folder with several; empty when it holds just one"),
    ),
)

LEDGER = Table(
    "ledger",
    (*SCAN_KEY, "feature_set"),
    (
        *KEY_COLUMNS,
        text_column("feature_set", "what was asked for: a feature set, or volumes/<recipe>"),
        *PATIENT_COLUMNS,
        text_column("phase", "contrast phase, as the manifest has it"),
        text_column("status", "ok, repaired (notes say what), refused or failed (reason says why)"),
        text_column(
            "stage",
            "the last step begun: source, image, mask, features, volumes, done; worker: it died; store: object lost",
        ),
        text_column("reason", "why the scan was refused or failed; empty otherwise"),
        Column("notes", pa.list_(pa.string()), "repairs first, then remarks"),
        text_column("missing", "JSON: feature name to the reason why its value is NaN; {} when every value is there"),
        text_column("geometry", "JSON: size, spacing_mm, origin_mm, direction of the CT (x, y, z); {} when unknown"),
        Column("mask_voxels", pa.int64(), "voxels of the region on the CT's grid", null=True),
        text_column("object", "the object that this row commits; empty when the scan has none"),
        text_column("source_stamp", "digest of the source's file names, sizes and times or ETags"),
        text_column("source_sha256", "digest of the source's content; empty when it could not be read"),
        text_column("settings_hash", "digest of the settings that decide the values"),
        text_column("code_version", "version of the step's code and digest of the library versions that compute"),
        Column("generation", pa.int32(), "1, 2, .. each time this key is computed anew; the last one counts"),
        Column("seconds", pa.float64(), "wall time of the scan's whole task, s"),
        Column("peak_mb", pa.float64(), "largest resident memory of the worker during the task, MB"),
        text_column(
            "node", "the machine that computed it, by its host name; empty when none did or an older version"
        ),
        text_column("cpu", "that machine's instruction set, such as x86-64-v3; empty likewise"),
    ),
)

RADIOMICS = Table(
    "radiomics",
    (*SCAN_KEY, "feature_set"),
    (
        *KEY_COLUMNS,
        text_column("feature_set", "name of the feature set"),
        *PATIENT_COLUMNS,
        Column("generation", pa.int32(), "the ledger generation that committed the row"),
    ),
    more=pa.float64(),
)

VOLUMES = Table(
    "volumes",
    (*SCAN_KEY, "recipe"),
    (
        *KEY_COLUMNS,
        text_column("recipe", "name of the volume recipe"),
        *PATIENT_COLUMNS,
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
    PATIENT_COLUMNS,  # what further columns hold, the study file declares: see cohort_tables
)

SPLITS = Table(
    "splits",
    ("study_id", "patient_id"),
    (
        text_column("study_id", "the study file's name"),
        *PATIENT_COLUMNS,
        Column("eligible", pa.bool_(), "whether the patient belongs to a cohort of the study"),
        text_column("reason", "why not; empty otherwise"),
        text_column(
            "cohort", "train, internal, external; source for patients of the backbone's task; empty when not eligible"
        ),
        Column("fold", pa.int32(), "0, 1, .. in the training cohort", null=True),
    ),
)

FLOW = Table(
    "flow",
    ("study_id", "number"),
    (
        text_column("study_id", "the study file's name"),
        Column("number", pa.int32(), "0, 1, .. in the order in which the steps were applied"),
        text_column("step", "what was asked of the patients"),
        Column("n_left", pa.int64(), "patients left after the step"),
        Column("n_removed", pa.int64(), "patients that the step took away"),
        text_column("reason", "which columns or levels the numbers are about; empty where the step says it all"),
    ),
)

DEEP = Table(
    "deep",
    (*SCAN_KEY, "model_id"),
    (
        *KEY_COLUMNS,
        text_column("model_id", "the model that computed the row"),
        *PATIENT_COLUMNS,
        Column("generation", pa.int32(), "the ledger generation that committed the row"),
    ),
    more=pa.float64(),
)

VIEWS = Table(
    "views",
    (*SCAN_KEY, "model_id", "view"),
    (
        *KEY_COLUMNS,
        text_column("model_id", "the frozen backbone"),
        Column("view", pa.int32(), "0 = as stored; 1, 2, .. = augmented"),
        Column("values", pa.list_(pa.float32()), "the backbone's outputs"),
    ),
)

LEARNING = Table(
    "learning",
    ("fit", "epoch"),
    (
        text_column("fit", "which of the model's fits, such as fold-2 or final"),
        Column("epoch", pa.int32(), "1, 2, .."),
        Column("train_loss", pa.float64(), "mean loss over the epoch's items"),
        Column("monitored", pa.float64(), "what early stopping watched, lower is better"),
        Column("best", pa.bool_(), "whether the fit's weights are of this epoch"),
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
LATER = {"ledger": {"node": "", "cpu": ""}, "rescores": {"sequence": 0}}


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
