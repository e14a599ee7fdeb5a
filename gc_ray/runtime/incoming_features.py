"""New rows of a features table for a bundle whose features were made elsewhere: compared by name, then committed."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from gc_ray.cohort.choose_scans import check_asked
from gc_ray.cohort.findings import some
from gc_ray.cohort.manifest import ScanRow, Scans
from gc_ray.errors import StudyError, TableError
from gc_ray.models.bundle import Bundle
from gc_ray.models.frozen_sites import known_sites
from gc_ray.runtime.bundled import stored_name
from gc_ray.runtime.ingest import read_features_table
from gc_ray.runtime.made_elsewhere import commit_table
from gc_ray.source import parent_of
from gc_ray.store import Store
from gc_ray.study_cohort import ScansSettings

SAME_COMPUTATION = "how the features of this table were computed is not known here: the values alone were compared"


@dataclass(frozen=True, eq=False)
class Incoming:
    """The rows of a table that a bundle is about.

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

    def commit(self, store: Store, bundle: Bundle) -> int:
        """Commit the values to the store; how many rows are new or have other values than before."""
        return commit_table(store, stored_name(bundle), self.keys, self.values, self.table)


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
        When a column that the bundle takes is missing, no row is of its reader and repeat, or the sites of the two
        tables contradict each other.
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
    scans = ScansSettings.model_validate(bundle.scoring["scans"]).model_copy(update={"phase": ""})
    kept = (keys["reader"] == scans.reader) & (keys["repeat"] == scans.repeat)
    kept &= (keys["roi"] == scans.roi) | (not scans.roi)
    if not kept.any():
        check_asked(pa.Table.from_pandas(keys, preserve_index=False), scans)
    if not kept.all():
        which = f"reader {scans.reader}, repeat {scans.repeat}" + (f", roi {scans.roi}" if scans.roi else "")
        notes.append(f"{int((~kept).sum())} row(s) that are not of {which} were left out")
    keys, values = keys[kept].reset_index(drop=True), values.loc[kept, wanted].reset_index(drop=True)
    return Incoming(table, keys.assign(site=_sites(keys, bundle, site, clinical, table)), values, tuple(notes))


def check_columns(held: list[str], wanted: list[str], table: str) -> None:
    """Raises TableError that names the columns of ``wanted`` that a table lacks, with the nearest that it has."""
    lost = [name for name in wanted if name not in held]
    if not lost:
        return
    near = {name: difflib.get_close_matches(name, held, 1) for name in lost[:3]}
    hints = some(f"{found[0]} for {name}" for name, found in near.items() if found)
    meant = f" (is it {hints}?)" if hints else ""
    raise TableError(
        f"{table}: {len(lost)} of {len(wanted)} columns that the bundle takes are missing: {some(lost)}{meant}; "
        "name the columns as in the table that the model was made of"
    )


def _sites(keys: pd.DataFrame, bundle: Bundle, site: str, clinical: pd.DataFrame | None, table: str) -> pd.Series:
    """The site of each row: its own, else that of the clinical table, else the one given."""
    own, said = keys["site"], pd.Series("", index=keys.index)
    if clinical is not None and "site" in clinical:
        said = keys["patient_id"].map(clinical["site"]).fillna("")
    clash = keys["patient_id"][(own != "") & (said != "") & (own != said)]
    if len(clash):
        raise TableError(
            f"{table}: {len(clash)} row(s) have another site than in the clinical table (patients {some(clash)}); "
            "one patient has one site, correct one of the tables"
        )
    found = own.where(own != "", said)
    found = found.where(found != "", site)
    if (found == "").any() and (known := known_sites(bundle.harmonisation)):
        raise StudyError(
            f"{table}: wanted the site of each row, by which the bundle harmonises features; add a column site, or "
            f"give --site, one of {', '.join(known)} or another name for a new site"
        )
    return found
