"""The reference of how tables that users bring are read: formats, encodings, separators, gaps, numbers, limits."""

from __future__ import annotations

from gc_ray.cohort.features_table import DIAGNOSTICS, NO_FEATURES
from gc_ray.cohort.table_files.cells import EXCEL_ERRORS, GAP_WORDS, NONE
from gc_ray.cohort.table_files.limits import MAX_CELLS, MAX_COLUMNS, MAX_ROWS, MAX_SHEET_CELLS, MAX_TEXT
from generators.markdown import code, page, table
from generators.source import messages_of

MODULES = (
    "kinds",
    "encoding",
    "separated",
    "rows",
    "columns",
    "ids",
    "workbook",
    "parquet",
    "decimals",
    "limits",
    "read",
)

INTRO = """
The manifest, the clinical table, a table of features (`gc-ray ingest`) and a table of scores (`gc-ray evaluate`)
are read by one reader, so a rule holds for all of them. A table is read as it is meant, or refused in one line
that names the file, the row and the column. Rows are counted as a spreadsheet shows them: the header is row 1,
blank rows count, a line break inside a cell does not.

What the reader decided or left out is a note: the command prints it, and it is in the run record (`notes`);
`gc-ray check` lists it among its findings.
"""

FORMATS = (
    ("CSV, TSV and other text", "read; the separator and the encoding are found as below"),
    ("CSV or Parquet, gzipped", "read"),
    ("Excel workbook (`.xlsx`, `.xlsm`)", "read: values of the one visible sheet that is not empty"),
    ("Parquet", "read; columns of lists are left out with a note"),
    (
        "`.xls`, `.xlsb`, `.ods`, SPSS, Stata, SAS, R, pickle, Feather, ORC, HDF5, JSON, HTML, zip, bzip2, 7z, ..",
        "refused by name, with how to save the table instead",
    ),
)

TEXT = """
The bytes decide what a file is, not its name.

## Encodings

UTF-8 and UTF-16, with or without a byte order mark, are recognised (UTF-32 too). A table in another encoding is
refused, and the message names encodings that would fit. Save it as "CSV UTF-8", or name the encoding:

```
gc-ray split --study study.toml --clinical clinical.csv --store results --encoding gb18030
```

`gb18030` (also for GBK and GB2312), `big5`, `shift_jis`, `euc-kr`, `windows-1252` (also for Latin-1) and others
are known. The option holds for all tables of a command that are not UTF-8 or UTF-16.

## Separators and decimal signs

- Cells are separated by commas, semicolons, tabs or `|`: the sign that sets off `patient_id` in the header and
  fits the rows. Excel's first line `sep=;` is followed.
- Quotes `"` may hold separators and line breaks. Blanks between a quote and the separator beside it are removed;
  other text after a closing quote is refused. Lines may end with LF, CR LF or CR.
- In a column of numbers a decimal comma is read where commas do not separate cells. Beside semicolons `1,234` is
  1.234; beside tabs and `|` some number of the table must show that the comma is decimal, as `0,5` does: else the
  table is refused. So is a table with decimal commas and decimal points. `1.234,5` is never read.

## Rows and columns

- Empty rows, rows of separators alone, and repeated headers are left out and counted. So are empty columns without
  a name.
- A row with more cells than the header is refused: which cell is too many cannot be known.
- A row with fewer cells is empty where it ends, with a note; in a table of features it is refused. A last row that
  is cut short, without the end of its line, is refused.
- A title above the header is refused with the row that holds the column names.
- A column name that occurs twice is refused, also where the two differ in blanks or in Unicode form, and where
  pandas has renamed the second to `patient_id.1`, or readr both to `patient_id...1` and `patient_id...3`.
  `f.1` beside `f` is refused when both have the same values.
- A column without a name, or with one that pandas, R or readr gave it (`Unnamed: 0`, `...1`, `row.names`,
  `__index_level_0__`, `level_0`), is left out with a note.

## Cells

- Blanks around ids, labels, values and names are removed: white space of every kind, no-break and full-width
  blanks, zero-width characters. Accents are brought to one Unicode form (NFC). `="007"` is 007.
- Every cell is text: `007` keeps its zeros.
- Numbers are read to the last bit, also in full-width digits and with the minus sign U+2212. Refused with row and
  column: text such as `<0.1`, `5%`, `1_000`, `0x10`, dates, and numbers beyond a float64, such as `1e400`.
- An id such as `1.23457E+11` (a long number that a spreadsheet has shortened, also with a decimal comma) or `#N/A`
  is refused. So is a word for a gap as a patient's id, in every table: all patients without an id would be one. A
  control character in an id or label is refused.

## Words for a gap
"""

EXCEL = """
## Excel

- Numbers, dates and yes/no are read as a CSV would have them: 7, 0.1, 2017-01-31, 1.
- A whole number in an id column is read as its format shows it, with a note: 7 is 0007 by `0000`, and P007 by
  `"P"000`.
- Ids that are numbers of more than 15 digits are refused where all end in the zeros that Excel writes for the
  digits it lost.
- A formula is its value. One that no program has computed yet is refused: open the workbook in Excel and save it.
- Refused: several sheets that are not empty, merged cells in the table, an id or label that Excel has made a date.
- Hidden rows and columns are read, also those of no height or width; hidden sheets are not. All with a note.

## Parquet

Whole numbers have no point, whatever type they were stored in: pandas stores ids beside a missing one as 100000.0.
Dates are written 2017-01-31. The index of a data frame is a column when it has a name.

## Features

Columns that are no features are set aside, listed in a note and in the run record (`set_aside`):
"""

REFUSED = """
## What is refused

`<..>` stands for what is named in your case.
"""


def input_tables() -> str:
    """The page of the reader: what it accepts, decides, leaves out and refuses."""
    gaps = ", ".join(code(word) for word in GAP_WORDS if word.strip("-"))
    errors = ", ".join(code(word) for word in EXCEL_ERRORS)
    words = f"""
An empty cell, {code(NONE)}, one to three hyphens, and in any case of letters {gaps}. A word that the study file
names as a level stays a level. In a column of numbers or dates `none` is a gap too. Excel's {errors} are no gaps but
faults, and are refused.
"""
    aside = f"""
- {", ".join(code(name) for name in NO_FEATURES)}, and names that begin with {" or ".join(map(code, DIAGNOSTICS))},
  as a PyRadiomics batch table has them;
- other ids of a patient, scan or series, such as `ID`, `PatientID`, `MRN`, `SeriesInstanceUID`;
- row numbers: `X`, `index`, `No.` and the like, when they hold rising whole numbers.

`Reader`, `ROI`, `Site` and other spellings of a column of the scan key are refused: rename them.
"""
    limits = [
        ("rows", f"{MAX_ROWS:,}"),
        ("columns", f"{MAX_COLUMNS:,}"),
        ("cells", f"{MAX_CELLS:,}"),
        ("cells of an Excel sheet", f"{MAX_SHEET_CELLS:,}"),
        ("text out of a compressed file", f"{MAX_TEXT >> 20} MiB"),
    ]
    faults = [text for name in MODULES for text in messages_of(f"cohort/table_files/{name}.py", "TableError")]
    return page(
        "Tables you bring",
        INTRO,
        table(("file", "what happens"), FORMATS),
        TEXT,
        words,
        EXCEL,
        aside,
        "## Limits",
        table(("of", "at most"), limits),
        REFUSED,
        "\n".join(f"- {code(text)}" for text in dict.fromkeys(faults)),
    )
