"""A clinical table fetched from where it lies."""

from __future__ import annotations

from collections.abc import Collection

from gc_ray.cohort.clinical import ClinicalTable, read_clinical
from gc_ray.errors import TableError
from gc_ray.source import parent_of, read_bytes


def fetch_clinical(uri: str, numbers: Collection[str], encoding: str | None = None) -> ClinicalTable:
    """The table as text (see ``read_clinical``); TableError when it is not there or cannot be read.

    numbers: the columns that are to hold numbers. encoding: of a table that is neither UTF-8 nor UTF-16.
    """
    name = parent_of(uri)[1]
    try:
        return read_clinical(read_bytes(uri), name, encoding, numbers)
    except FileNotFoundError as error:
        raise TableError(f"{name}: wanted a clinical table, there is no such file; correct --clinical") from error
