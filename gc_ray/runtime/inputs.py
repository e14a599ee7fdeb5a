"""What networks are given: the committed network inputs of a study's patients, read one at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gc_ray import ledger
from gc_ray.cohort.choose_scans import choose_scans, nobody_text
from gc_ray.cohort_tables import read_splits
from gc_ray.errors import StoreError, TableError
from gc_ray.models.autoencoder import Pair
from gc_ray.models.backbone import backbone_input
from gc_ray.patients import meet, meeting_text
from gc_ray.runtime.joined import SPLIT, check_sites, check_sources
from gc_ray.store import Store
from gc_ray.study import Study, digest
from gc_ray.tables import SCAN_KEY


def patients_of(store: Store, study: Study, cohorts: Collection[str]) -> dict[str, dict]:
    """Patient to row of the splits, of some cohorts; TableError when the study is not split."""
    rows = read_splits(store, study.name).to_pylist()
    return {row["patient_id"]: row for row in rows if row["cohort"] in cohorts}


def volume_rows(store: Store, study: Study, recipe: str, patients: Collection[str]) -> list[dict]:
    """The ledger row of one network input for each of the patients who have one, sorted by patient.

    TableError when no patient has one, when inputs of several settings or versions are mixed, when several scans of a
    patient are left (see ``choose_scans``), when a patient id is at two sites, and when two patients have one scan.
    """
    found = ledger.read_ledger(store)
    found = found.filter(pc.equal(found["feature_set"], f"volumes/{recipe}"))
    theirs = found.filter(pc.is_in(found["patient_id"], pa.array(sorted(patients), pa.string())))
    splits = read_splits(store, study.name).to_pandas().set_index("patient_id")
    check_sites({f"network inputs {recipe}": theirs}, splits, study)
    rows = choose_scans(theirs, study.scans).to_pylist()
    if not rows:
        why = _why_none(found, theirs, splits, study)
        raise TableError(
            f"study {study.name}: wanted network inputs {recipe} of {len(patients)} patients, the store has none "
            f"that is usable{why}; run gc-ray extract --volumes {recipe} on their scans"
        )
    check_sources(rows, study)
    for name in ("settings_hash", "code_version"):
        several = sorted({row[name] for row in rows})
        if len(several) > 1:
            raise TableError(
                f"study {study.name}: network inputs {recipe} were made with {name} {', '.join(several)}, which may "
                "differ in value; run extract over the whole cohort"
            )
    return rows


def _why_none(found: pa.Table, theirs: pa.Table, splits: pd.DataFrame, study: Study) -> str:
    """Why none of the patients has a usable input, as far as the store shows it."""
    if theirs.num_rows:
        return f" ({nobody_text(theirs, study.scans)})"
    meeting = meet(found["patient_id"].to_pylist(), splits.index)
    return f" ({meeting_text(meeting, 'the inputs', SPLIT)})" if found.num_rows and not meeting.both else ""


def identity_of(rows: list[dict]) -> str:
    """A digest of which inputs these are and what they hold: objects carry a digest of their content."""
    return digest([[*(row[name] for name in SCAN_KEY), row["object"]] for row in rows])


def read_pair(store: Store, row: dict) -> Pair:
    """(int16 HU, uint8 region), each z, y, x, of a ledger row. TableError when its object is gone or damaged."""
    try:
        volume = ledger.read_volume(store, row)
        shape = tuple(volume["size"][::-1])
        ct_hu = np.frombuffer(volume["ct_hu"], "<i2").reshape(shape)
        return ct_hu, np.frombuffer(volume["mask"], np.uint8).reshape(shape)
    except StoreError:
        raise
    except (OSError, ValueError, LookupError, TypeError, pa.ArrowException) as error:
        raise TableError(
            f"scan {row['scan_id']}: its network input is not in the store any more, or damaged; extract it again "
            "into another store"
        ) from error


@dataclass(frozen=True, eq=False)
class StoredVolumes(Sequence):
    """The inputs of a backbone, read from the store each time one is asked for: a cohort need not fit into memory."""

    store: Store
    rows: list[dict]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> np.ndarray:
        return backbone_input(read_pair(self.store, self.rows[index])[0])
