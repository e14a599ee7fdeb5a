"""New rows of a features table for a bundle whose features were made elsewhere: compared by name, then committed."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import pandas as pd

from gc_ray.cohort.findings import some
from gc_ray.cohort.manifest import ScanRow, Scans
from gc_ray.errors import StudyError, TableError
from gc_ray.models.bundle import Bundle
from gc_ray.models.frozen_sites import known_sites
from gc_ray.patients import same_label
from gc_ray.runtime.bundled import stored_name
from gc_ray.runtime.ingest import read_features_table
from gc_ray.runtime.made_elsewhere import commit_table, held_rows, key_of
from gc_ray.source import parent_of
from gc_ray.store import Store

SAME_COMPUTATION = "how the features of this table were computed is not known here: the values alone were compared"


@dataclass(frozen=True, eq=False)
class Incoming:
    """The rows of a table, with the features that a bundle takes.

    Attributes
    ----------
    table : str
        Name of the table's file.
    keys : DataFrame
        scan_id, reader, repeat, roi, patient_id, site and phase of each row.
    values : DataFrame
        The features that the bundle takes, in its order, float64, NaN for a gap.
    notes : tuple of str
        What was left out of the table, and what cannot be known of it.
    """

    table: str
    keys: pd.DataFrame
    values: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def scans(self) -> Scans:
        """The rows as rows of a manifest, without files."""
        rows = self.keys.to_dict("records")
        return Scans.of(ScanRow(**row, **dict.fromkeys(NO_FILES, "")) for row in rows)

    def commit(self, store: Store, bundle: Bundle, rows: Scans) -> None:
        """Commit the values of some of the rows to the store, those that it does not hold yet."""
        name, wanted = stored_name(bundle), {row.key for row in rows}
        kept = [key_of(key) in wanted for key in self.keys.to_dict("records")]
        keys, values = self.keys[kept], self.values[kept]
        commit_table(store, name, keys, values, held_rows(store, name), self.table)


NO_FILES = ("image", "mask", "series_uid", "image_uri", "mask_uri")


def read_incoming(
    uri: str, bundle: Bundle, site: str, clinical: pd.DataFrame | None, encoding: str | None = None
) -> Incoming:
    """The rows of a features table that a bundle scores.

    Parameters
    ----------
    uri : str
        Address of the table.
    bundle : Bundle
        One whose features were made elsewhere.
    site : str
        Site of the rows that name none.
    clinical : DataFrame or None
        The clinical table as text by patient_id, whose ``site`` is that of a patient where the features name none.
    encoding : str, optional
        Of a table that is neither UTF-8 nor UTF-16.

    Raises
    ------
    TableError
        When the table cannot be read, or a column that the bundle takes is missing.
    StudyError
        When the bundle harmonises by site and no table says the site of a row.
    """
    table, found = parent_of(uri)[1], read_features_table(uri, encoding)
    keys, values = found.keys, found.values
    wanted = bundle.features["elsewhere"]["names"]
    check_columns(list(values.columns), wanted, table)
    more = [name for name in values.columns if name not in wanted]
    notes = [SAME_COMPUTATION, *found.notes]
    if more:
        notes.append(f"{len(more)} column(s) that the bundle does not take were left out: {some(more)}")
    keys = keys.assign(site=_sites(keys, bundle, site, clinical, table))
    return Incoming(table, keys, values[wanted], tuple(notes))


def check_columns(held: list[str], wanted: list[str], table: str) -> None:
    """Raises TableError that names the columns of ``wanted`` that a table lacks, with the nearest that it has."""
    lost = [name for name in wanted if name not in held]
    if not lost:
        return
    typed = {same_label(name): [name] for name in held}
    near = {name: typed.get(same_label(name)) or difflib.get_close_matches(name, held, 1) for name in lost[:3]}
    hints = some(f"{found[0]} for {name}" for name, found in near.items() if found)
    meant = f" (is it {hints}?)" if hints else ""
    raise TableError(
        f"{table}: {len(lost)} of {len(wanted)} columns that the bundle takes are missing: {some(lost)}{meant}; "
        "name the columns as in the table that the model was made of"
    )


def _sites(keys: pd.DataFrame, bundle: Bundle, site: str, clinical: pd.DataFrame | None, table: str) -> pd.Series:
    """The site of each row: its own, else that of the clinical table, else the one given."""
    found = keys["site"]
    if clinical is not None and "site" in clinical:
        found = found.where(found != "", keys["patient_id"].map(clinical["site"]).fillna(""))
    found = found.where(found != "", site)
    if (found == "").any() and (known := known_sites(bundle.harmonisation)):
        raise StudyError(
            f"{table}: wanted the site of each row, by which the bundle harmonises features; add a column site, or "
            f"give --site, one of {', '.join(known)} or another name for a new site"
        )
    return found
