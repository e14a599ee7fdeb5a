"""One table is one table: in every file format and encoding, as manifest, clinical table, features or scores."""

import gzip
import io

import openpyxl
import pandas as pd
import pytest

from gc_ray.cohort.clinical import parse_clinical, read_clinical
from gc_ray.cohort.features_table import parse_features
from gc_ray.cohort.manifest import parse_manifest
from gc_ray.cohort.scores_table import parse_scores
from gc_ray.errors import TableError

COLUMNS = {
    "patient_id": ["007", "P2", "患者3"],
    "scan_id": ["S1", "S2", "S3"],
    "site": ["A", "B", "北京"],
    "phase": ["pv", "pv", "pv"],
    "image": ["ct/1", "ct/2", "ct/3"],
    "mask": ["m/1", "m/2", "m/3"],
    "score": ["0.25", "0.5", "0.75"],
    "outcome": ["0", "1", "0"],
}
FEATURES = [c for c in COLUMNS if c not in ("image", "mask")]


def text(columns: list[str], separator: str = ",", around: str = "") -> str:
    """The table as text, with blanks around every cell."""
    rows = [columns, *zip(*(COLUMNS[c] for c in columns), strict=True)]
    return "".join(separator.join(f"{around}{cell}{around}" for cell in row) + "\n" for row in rows)


def workbook(columns: list[str]) -> bytes:
    """The table as a workbook, numbers as numbers."""
    book = openpyxl.Workbook()
    book.active.append(columns)
    for row in zip(*(COLUMNS[c] for c in columns), strict=True):
        book.active.append(
            [float(cell) if c in ("score", "outcome") else cell for c, cell in zip(columns, row, strict=True)]
        )
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def parquet(columns: list[str]) -> bytes:
    """The table as Parquet, numbers as numbers."""
    out = io.BytesIO()
    pd.DataFrame({c: COLUMNS[c] for c in columns}).astype(
        {c: float for c in ("score", "outcome") if c in columns}
    ).to_parquet(out, index=False)
    return out.getvalue()


FORMS = {
    "utf-8 mark": lambda c: text(c).encode("utf-8-sig"),
    "utf-16": lambda c: text(c).encode("utf-16"),
    "utf-16 be, no mark": lambda c: text(c).encode("utf-16-be"),
    "gb18030": lambda c: text(c).encode("gb18030"),
    "semicolons": lambda c: text(c, ";").replace("0.", "0,").encode(),
    "tabs": lambda c: text(c, "\t").encode(),
    "bars": lambda c: text(c, "|").encode(),
    "sep= line": lambda c: ("sep=;\n" + text(c, ";")).encode(),
    "CR": lambda c: text(c).replace("\n", "\r").encode(),
    "blanks around": lambda c: text(c, around="\u3000\u200b\xa0 ").encode(),
    "tabs around": lambda c: text(c, around="\t").encode(),
    "blank rows": lambda c: ("\n" + text(c).replace("\n", "\n,,\n\n") + "\n").encode(),
    "blank columns": lambda c: text(c).replace("\n", ",,\n").encode(),
    "row numbers": lambda c: "".join(
        f"{i - 1 if i else ''},{line}\n" for i, line in enumerate(text(c).splitlines())
    ).encode(),
    "gzip": lambda c: gzip.compress(text(c).encode()),
    "workbook": workbook,
    "parquet": parquet,
}


def parsed(kind: str, data: bytes):
    """The values of the table, as one of the four kinds."""
    if kind == "scans":
        return parse_manifest(data, "t.csv", "/c", "gb18030").table
    if kind == "clinical":
        frame = read_clinical(data, "t.csv", "gb18030", ("score", "outcome")).cells
        return frame.assign(score=frame["score"].astype(float), outcome=frame["outcome"].astype(float))
    if kind == "features":
        found = parse_features(data, "t.csv", "gb18030")
        return pd.concat([found.keys, found.values], axis=1)
    frame = parse_scores(data, "t.csv", ("outcome",), "gb18030")[0]
    return frame.astype({"outcome": float})


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["scans", "clinical", "features", "scores"])
def test_every_form_of_a_table_gives_the_same_values(kind, form):
    """Encodings, separators, blanks, empty rows and columns, row numbers, gzip, Excel and Parquet: one reader."""
    columns = FEATURES if kind == "features" else list(COLUMNS)
    plain, found = parsed(kind, text(columns).encode()), parsed(kind, FORMS[form](columns))
    assert found.equals(plain), f"{found}\n{plain}"


PARSERS = {
    "scans": lambda data: parse_manifest(data, "t.csv", "/c"),
    "clinical": lambda data: parse_clinical(data, "t.csv"),
    "features": lambda data: parse_features(data, "t.csv"),
    "scores": lambda data: parse_scores(data, "t.csv", ()),
}


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.replace("\n", ",\n", 2).replace(",\n", "\n", 1), "row 2 has 7 cells, the header has 6"),
        (lambda t: t.replace("site", "patient_id", 1), r"column\(s\) patient_id occur twice"),
        (lambda t: t.replace("site", "patient_id.1", 1), "column patient_id.1 is a second column patient_id"),
        (lambda t: t.replace("patient_id", "PatientID", 1), "did you mean"),
        (lambda t: t.replace("007", "1.2346E+11"), r"row 2, column patient_id \(A\): '1.2346E\+11' is a long number"),
        (lambda t: t.replace("007", ""), "patient_id is empty in 1 row"),
        (lambda t: t.encode("utf-16-le")[:-1], "UTF-16 throughout"),
        (lambda t: t.encode("gbk"), "wanted UTF-8, row 4 .*--encoding"),
        (lambda t: "Table 1\n" + t, "column names are in row 2"),
        (lambda t: t.replace("P2", '"P2'), "quotation mark"),
        (lambda t: "", "the table is empty"),
    ],
)
def test_every_kind_of_table_is_refused_for_the_same_faults(parse, change, said):
    """In one line that names the file, whichever command reads it."""
    columns = ["patient_id", "site", "scan_id", "phase", "score", "outcome"]
    columns = ["patient_id", "site", "scan_id", "phase", "image", "mask"] if parse == "scans" else columns
    data = change(text(columns))
    with pytest.raises(TableError, match=rf"^t\.csv: .*({said})") as refusal:
        PARSERS[parse](data if isinstance(data, bytes) else data.encode())
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("parse", PARSERS)
def test_rows_are_counted_as_a_spreadsheet_shows_them(parse):
    """The header is row 1, blank rows count, a line break inside a cell does not."""
    columns = [*COLUMNS, "note"]
    columns = [c for c in columns if c not in ("image", "mask", "note")] if parse == "features" else columns
    rows = text([c for c in columns if c != "note"]).splitlines()
    if parse != "features":
        rows = [f"{rows[0]},note", *(f'{row},"two\nlines"' for row in rows[1:])]
    data = "\n".join([rows[0], "", rows[1], ",,", rows[2].replace("P2", ""), rows[3]]) + "\n"
    with pytest.raises(TableError, match="the first is row 5"):
        PARSERS[parse](data.encode())


def test_ids_of_two_tables_meet_whatever_program_wrote_them():
    """Zeros, blanks, composed accents, ="007" and Excel's numbers: the id is the same text in every kind."""
    clinical = parse_clinical('patient_id,age\n"=""007""",61\nMu\u0308ller\u200b,55\n'.encode(), "c.csv")
    features = parse_features("patient_id,f\n\u3000007,1\nM\xfcller\xa0,2\n".encode(), "f.csv")
    assert sorted(clinical.index) == sorted(features.keys["patient_id"])


def test_addresses_of_files_keep_their_letters():
    """A folder's name is the bytes that the disk has, composed or not."""
    head = "scan_id,patient_id,site,phase,image,mask\n"
    (row,) = parse_manifest(f"{head}S,P,A,pv, cafe\u0301/ct ,m\n".encode(), "s.csv", "/c")
    assert row.image == "cafe\u0301/ct"


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    ("written", "said"),
    [
        *(
            (word, rf"patient_id is empty in 1 row\(s\), the first is row 2 \('{word}'\)")
            for word in ("nan", "NA", "none")
        ),
        ("1,23457E+11", r"'1,23457E\+11' is a long number that a spreadsheet has shortened"),
        ('"P\n1"', "holds a control character or a line break"),
        ("#REF!", "is an error of Excel"),
    ],
)
def test_what_is_no_id_is_refused_in_every_kind_of_table(parse, written, said):
    """A word for a gap would make one patient of all who have it."""
    columns = FEATURES if parse == "features" else list(COLUMNS)
    with pytest.raises(TableError, match=said):
        PARSERS[parse](text(columns, ";").replace("007", written, 1).encode())
