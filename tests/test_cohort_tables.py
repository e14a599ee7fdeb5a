"""A study's split in the store: written once and whole, read back as it was, never replaced."""

import dataclasses
import json

import pandas as pd
import pyarrow as pa
import pytest

from gc_ray import tables
from gc_ray.cohort_tables import (
    CohortTables,
    clinical_table,
    read_clinical,
    read_coding,
    read_flow,
    read_splits,
    split_hash,
    store_cohort,
)
from gc_ray.errors import TableError
from gc_ray.store import LocalStore, Store, open_store

TYPES = {"relapse": pa.int8(), "age": pa.float64(), "stage": pa.string(), "seen": pa.date32()}


def cohort(fold: int = 0, age: float | None = 50.5) -> CohortTables:
    """A split of two patients."""
    day = pd.Timestamp("2015-01-31").date()
    clinical = tables.build(
        clinical_table(TYPES, {"age": "years"}),
        [
            {"patient_id": "P1", "site": "A", "relapse": 1, "age": age, "stage": "I", "seen": day},
            {"patient_id": "P2", "site": "B", "relapse": None, "age": 61.0, "stage": None, "seen": None},
        ],
    )
    whose = {"study_id": "s", "reason": ""}
    splits = tables.build(
        tables.SPLITS,
        [
            {**whose, "patient_id": "P1", "site": "A", "eligible": True, "cohort": "train", "fold": fold},
            {**whose, "patient_id": "P2", "site": "B", "eligible": True, "cohort": "external", "fold": None},
        ],
    )
    step = {"study_id": "s", "number": 0, "step": "all", "n_left": 2, "n_removed": 0, "reason": ""}
    return CohortTables(clinical, splits, tables.build(tables.FLOW, [step]), {"age": {"kind": "number"}})


@pytest.fixture
def store(tmp_path) -> Store:
    """An empty local store."""
    return open_store(str(tmp_path / "store"))


def test_what_is_stored_is_read_back(any_store):
    """Tables, coding and hash; once stored, the same again changes nothing."""
    asked = cohort()
    digest, new = store_cohort(any_store, "s", asked)
    before = [(e.key, e.stamp) for e in any_store.list("")]
    assert new
    assert store_cohort(any_store, "s", cohort()) == (digest, False)
    assert [(e.key, e.stamp) for e in any_store.list("")] == before
    assert split_hash(any_store, "s") == digest
    assert read_splits(any_store, "s").equals(asked.splits)
    assert read_flow(any_store, "s").equals(asked.flow)
    assert read_coding(any_store, "s") == asked.coding


def test_the_clinical_frame_has_one_type_for_each_kind(store):
    """0/1 and numbers are float64 whether or not a value is missing, levels are text or None."""
    store_cohort(store, "s", cohort())
    frame = read_clinical(store, "s")
    assert frame.dtypes.astype(str).to_dict() == {
        "patient_id": "object",
        "site": "object",
        "relapse": "float64",
        "age": "float64",
        "stage": "object",
        "seen": "datetime64[ms]",
    }
    assert frame["stage"].to_list() == ["I", None]


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (cohort(fold=1), "splits: P1 differs in fold"),
        (cohort(age=51.0), "clinical: P1 differs in age"),
        (
            dataclasses.replace(cohort(), clinical=cohort().clinical[:1]),
            "clinical: P2 is there and not in this table",
        ),
        (dataclasses.replace(cohort(), coding={"age": {"kind": "binary"}}), "coding of column age"),
    ],
)
def test_another_split_under_the_same_name_is_refused(store, other, difference):
    """The first difference is named, values are not, and the store stays as it was."""
    store_cohort(store, "s", cohort())
    before = [(e.key, e.stamp) for e in store.list("")]
    with pytest.raises(
        TableError, match=f"study s is split already, and not like this: {difference}; .* another name"
    ):
        store_cohort(store, "s", other)
    assert [(e.key, e.stamp) for e in store.list("")] == before


class Cut(LocalStore):
    """A store whose machine dies after some writes."""

    def create(self, key: str, data: bytes) -> bool:
        """Write unless this is the card."""
        if key.endswith("card.json"):
            raise KeyboardInterrupt
        return super().create(key, data)


def test_a_run_cut_off_before_the_card_has_stored_nothing(store):
    """Parts without a card do not count: another split can still be stored."""
    with pytest.raises(KeyboardInterrupt):
        store_cohort(Cut(store.root), "s", cohort())
    with pytest.raises(TableError, match="study s has no split; run gc-ray split for it first"):
        read_splits(store, "s")
    assert store_cohort(store, "s", cohort(fold=1))[1]
    assert read_splits(store, "s").equals(cohort(fold=1).splits)


def test_a_part_that_was_changed_or_deleted_is_refused(store):
    """Nobody reads a split that is not the committed one."""
    store_cohort(store, "s", cohort())
    (part,) = (e.key for e in store.list("splits/s") if e.key.endswith(".parquet"))
    good, (other,) = store.get(part), [e.key for e in store.list("flow/s")]
    store.put(part, store.get(other))
    with pytest.raises(TableError, match="was changed after it was stored"):
        read_splits(store, "s")
    store.put(part, good[:100])
    with pytest.raises(TableError, match="was changed after it was stored; restore it"):
        read_splits(store, "s")
    store.delete(part)
    with pytest.raises(TableError, match="is gone; restore it"):
        read_splits(store, "s")


def test_the_hash_follows_content_and_not_the_file(store):
    """Rows and types decide; how Parquet lays them out does not."""
    digest, _ = store_cohort(store, "s", cohort())
    card = json.loads(store.get("splits/s/card.json"))
    whole = cohort()
    pieces = pa.concat_tables([whole.splits[:1], whole.splits[1:]])
    assert store_cohort(store, "s", dataclasses.replace(whole, splits=pieces)) == (digest, False)
    assert card["hash"] == digest
