"""The name of a report: a digest of all that decides its files, known before anything is computed or drawn."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd

from gc_ray import __version__
from gc_ray.code_versions import library_versions, source_digest
from gc_ray.models.signature import Signature
from gc_ray.report.inputs import Inputs
from gc_ray.report.pictures import Picture
from gc_ray.study import Study, digest

LIBRARIES = ("jinja2", "matplotlib", "numpy", "pandas", "pillow", "pyarrow", "scipy", "statsmodels")
PACKAGE = Path(__file__).resolve().parents[1]


def report_id(inputs: Inputs) -> str:
    """The study's name and a digest of the inputs to the bit, the settings and the code; the same for equal ones."""
    decides = {field.name: _content(getattr(inputs, field.name)) for field in fields(inputs)}
    return f"{inputs.study.name}-{digest(decides | {'code': code()})}"


def code() -> dict[str, str]:
    """The versions of all that computes and draws, the kind of machine, and a digest of the package's own files."""
    found = {"gc_ray": __version__, "source": source_digest(PACKAGE), "python": platform.python_version()}
    return found | {"machine": platform.machine()} | library_versions(LIBRARIES)


def _content(value: object) -> object:
    """A part of the inputs as JSON types, tables and pictures as digests; TypeError for a part of an unknown kind."""
    if isinstance(value, pd.DataFrame):
        return [[str(name), str(column.dtype), _column(column)] for name, column in value.reset_index().items()]
    if isinstance(value, Study):
        return value.model_dump(mode="json", exclude={"publish"})
    if isinstance(value, Signature):
        return json.loads(value.to_json())
    if isinstance(value, Picture):
        return [value.name, value.title, value.alt, _sha256(value.png)]
    if isinstance(value, Mapping):
        return [[name, _content(part)] for name, part in value.items()]
    if isinstance(value, tuple | list):
        return [_content(part) for part in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{type(value).__name__} has no digest: say here how it decides a report")


def _column(column: pd.Series) -> str:
    """A digest of a column's values and their order: bits of numbers, text of anything else."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind != "O":
        return _sha256(column.to_numpy().tobytes())
    values = [value.tolist() if hasattr(value, "tolist") else value for value in column]
    return _sha256(repr(values).encode())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
