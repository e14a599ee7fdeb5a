"""Missing values: a policy for each column, fitted on given rows, applied to any, and counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from gc_ray.errors import TableError

Policy = Literal["complete_case", "median", "mode"]
POLICIES = ("complete_case", "median", "mode")


@dataclass(frozen=True)
class Completed:
    """A table without missing values in the columns of the policies, and what it took."""

    table: pd.DataFrame  # the rows that stay, with their index
    kept: pd.Series  # bool, for every row that came
    counts: pd.DataFrame  # column, policy, missing, fill (None for complete_case)


@dataclass(frozen=True)
class Completion:
    """Policies with the values that they fill in, as learnt from the rows of the fit."""

    policies: Mapping[str, Policy]
    fills: Mapping[str, object]

    def apply(self, table: pd.DataFrame) -> Completed:
        """``table`` with each policy applied; TableError for a missing column. ``table`` itself is not changed.

        A column filled by its median becomes float64; one filled by its mode takes the type that its values suggest.
        """
        _check_columns(self.policies, table)
        missing = table[list(self.policies)].isna()
        required = [column for column, policy in self.policies.items() if policy == "complete_case"]
        kept = ~missing[required].any(axis=1)
        counts = pd.DataFrame(
            [
                {
                    "column": column,
                    "policy": policy,
                    "missing": int(missing[column].sum()),
                    "fill": self.fills.get(column),
                }
                for column, policy in self.policies.items()
            ],
            columns=["column", "policy", "missing", "fill"],
        )
        filled = {column: _filled(table[column], fill) for column, fill in self.fills.items()}
        return Completed(table.assign(**filled)[kept], kept, counts)


def fit_completion(table: pd.DataFrame, policies: Mapping[str, Policy]) -> Completion:
    """The completion that fills in what the rows of ``table`` say: the median, or the mode (the least of ties).

    policies: for each column ``complete_case`` (a row without it is dropped), ``median`` or ``mode``. Raises
    TableError for an unknown policy, a missing column, a median of text, or a column without a value to learn from.
    """
    _check_columns(policies, table)
    fills: dict[str, object] = {}
    for column, policy in policies.items():
        if policy not in POLICIES:
            raise TableError(f"missing values: column {column}: wanted {', '.join(POLICIES)}, got {policy}")
        if policy == "complete_case":
            continue
        known = table[column].dropna()
        if known.empty:
            raise TableError(
                f"missing values: column {column}: wanted values to impute from, all are missing; drop it"
            )
        if policy == "median" and not pd.api.types.is_numeric_dtype(known):
            raise TableError(f"missing values: column {column}: wanted numbers for a median, got text; take mode")
        fills[column] = float(known.median()) if policy == "median" else known.mode().iloc[0]
    return Completion(dict(policies), fills)


def _filled(values: pd.Series, fill: object) -> pd.Series:
    if isinstance(fill, float):
        return values.astype("float64").fillna(fill)
    whole = values.astype(object)
    whole[whole.isna()] = fill
    return whole.infer_objects()


def _check_columns(policies: Mapping[str, Policy], table: pd.DataFrame) -> None:
    lost = [column for column in policies if column not in table]
    if lost:
        raise TableError(f"missing values: wanted columns {', '.join(lost[:5])}, not in the table")
