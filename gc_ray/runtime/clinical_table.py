"""A clinical table fetched from where it lies."""

from __future__ import annotations

import pandas as pd

from gc_ray.cohort.clinical import parse_clinical
from gc_ray.errors import TableError
from gc_ray.source import parent_of, read_bytes


def fetch_clinical(uri: str) -> tuple[pd.DataFrame, str]:
    """The table as text (see ``parse_clinical``) and its file name; TableError when it is not there or unreadable."""
    name = parent_of(uri)[1]
    try:
        return parse_clinical(read_bytes(uri), name), name
    except FileNotFoundError as error:
        raise TableError(f"{name}: wanted a clinical table, there is no such file; mend --clinical") from error
