"""What a features table holds, counted: rows, patients, gaps, features that say nothing, readers, sites."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from gc_ray.cohort.findings import some


@dataclass(frozen=True)
class FeaturesFacts:
    """What a features table holds.

    Attributes
    ----------
    rows, patients : int
    features : tuple of str
        In the order of the table.
    gaps : dict of str to int
        Rows without a value, of every feature that has such rows.
    constant : tuple of str
        Features with one and the same value in all rows.
    copies : dict of str to str
        Features that equal an earlier feature in all rows, and which.
    outlines : dict of str to int
        Rows of each reader and repeat.
    sites : dict of str to int
        Rows of each site; an empty name where the table says none.
    """

    rows: int
    patients: int
    features: tuple[str, ...]
    gaps: dict[str, int]
    constant: tuple[str, ...]
    copies: dict[str, str]
    outlines: dict[str, int]
    sites: dict[str, int]

    def notes(self) -> Iterator[str]:
        """What of it is worth knowing before a study is made of the table."""
        if self.gaps:
            yield (
                f"{sum(self.gaps.values())} values are missing, in {len(self.gaps)} features ({some(self.gaps)}): a "
                "feature without a value in one training patient is not used"
            )
        if self.constant:
            yield f"{len(self.constant)} features have the same value in all rows ({some(self.constant)}): not used"
        if self.copies:
            pairs = some(f"{name} = {of}" for name, of in self.copies.items())
            yield f"{len(self.copies)} features equal another one in all rows ({pairs})"
        if len(self.outlines) > 1:
            yield f"rows by reader: {', '.join(f'{outline}: {n}' for outline, n in self.outlines.items())}"


def features_facts(keys: pd.DataFrame, values: pd.DataFrame) -> FeaturesFacts:
    """Count a features table.

    Parameters
    ----------
    keys : DataFrame
        scan_id, reader, repeat, roi, patient_id and site of each row.
    values : DataFrame
        The features of the same rows, float64, NaN for a gap.
    """
    gaps = values.isna().sum()
    outlines = Counter(f"{r} repeat {n}" for r, n in zip(keys["reader"], keys["repeat"], strict=True))
    same = (
        (values.nunique(dropna=False) == 1) & values.notna().any()
        if len(values) > 1
        else pd.Series(False, index=values.columns)
    )
    return FeaturesFacts(
        len(keys),
        keys["patient_id"].nunique(),
        tuple(values.columns),
        {feature: int(n) for feature, n in gaps[gaps > 0].items()},
        tuple(values.columns[same]),
        _copies(values) if len(values) > 1 else {},
        dict(sorted(outlines.items())),
        dict(sorted(Counter(keys["site"]).items())),
    )


def _copies(values: pd.DataFrame) -> dict[str, str]:
    first: dict[bytes, str] = {}
    pairs = ((name, first.setdefault(values[name].to_numpy().tobytes(), name)) for name in values)
    return {name: earlier for name, earlier in pairs if earlier != name}
