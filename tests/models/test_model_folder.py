"""Model folders: whole or not there, verified on reading, never written twice."""

import pyarrow as pa
import pytest
import torch

from gc_ray.errors import BundleError
from gc_ray.models.model_folder import Model, model_id, read_card, read_model, write_model

MODEL = Model({"a.weight": torch.arange(6.0).reshape(2, 3)}, {"latent": 3}, {"curve": pa.table({"epoch": [1, 2]})})


def test_what_is_written_is_read(any_store):
    """Weights bit for bit, facts, tables, and what the runner adds to the card."""
    assert write_model(any_store, "m-1", MODEL, {"kind": "m"})
    found, card = read_model(any_store, "m-1")
    assert torch.equal(found.weights["a.weight"], MODEL.weights["a.weight"])
    assert (found.facts, found.tables["curve"]) == (MODEL.facts, MODEL.tables["curve"])
    assert (card["kind"], card["model_id"]) == ("m", "m-1")


def test_a_model_is_not_written_twice(any_store):
    """The second of two equal runs changes nothing."""
    write_model(any_store, "m-1", MODEL, {})
    before = [(e.key, e.stamp) for e in any_store.list("models")]
    assert not write_model(any_store, "m-1", Model({}, {}), {})
    assert [(e.key, e.stamp) for e in any_store.list("models")] == before


def test_a_folder_without_card_is_no_model(any_store):
    """Parts alone, as a run that was cut off leaves them, never load."""
    write_model(any_store, "m-1", MODEL, {})
    any_store.delete("models/m-1/card.json")
    assert read_card(any_store, "m-1") is None
    with pytest.raises(BundleError, match=r"model m-1: wanted models/m-1/card\.json .* train it first"):
        read_model(any_store, "m-1")


@pytest.mark.parametrize("what", ["weights", "curve"])
def test_a_missing_or_changed_part_is_named(any_store, what):
    """A truncated or deleted part is an error, not a model."""
    write_model(any_store, "m-1", MODEL, {})
    (part,) = [e.key for e in any_store.list("models") if what in e.key]
    any_store.put(part, any_store.get(part)[:-1])
    with pytest.raises(BundleError, match=f"model m-1: its part {what}.* has changed"):
        read_model(any_store, "m-1")
    any_store.delete(part)
    with pytest.raises(BundleError, match=f"model m-1: its part {what}.* is missing"):
        read_model(any_store, "m-1")


def test_the_name_follows_settings_data_and_code():
    """Any difference gives another name, the order of keys none."""
    one = {"settings": {"latent": 16}, "data": ["a", "b"], "code": "1"}
    assert model_id("m", one) == model_id("m", dict(reversed(one.items())))
    changed = [{**one, "settings": {"latent": 17}}, {**one, "data": ["a"]}, {**one, "code": "2"}]
    assert len({model_id("m", identity) for identity in [one, *changed]}) == 4
