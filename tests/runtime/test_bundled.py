"""The networks of a bundle in another store: the same latents and log odds, whoever else is scored."""

import numpy as np
import pytest
import torch

from gc_ray import ledger
from gc_ray.errors import BundleError
from gc_ray.models.autoencoder import Autoencoder, autoencoder_network, encode
from gc_ray.models.backbone import backbone_input, backbone_network, features, untrained_backbone
from gc_ray.models.bundle import Bundle, read_bundle, write_bundle
from gc_ray.models.head import HeadNetwork, score_head
from gc_ray.models.model_folder import Model, write_model
from gc_ray.models.recalibrate import Recalibration
from gc_ray.models.world import repeatable
from gc_ray.runtime.bundle import network_of
from gc_ray.runtime.bundled import compute_networks
from gc_ray.runtime.inputs import read_pair
from gc_ray.store import Store, open_store
from gc_ray.study import load_study

RECALIBRATION = {"intercept": -0.5, "slope": 2.0, "method": "maximum likelihood"}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Bundle:
    """An autoencoder, a backbone and its head with fresh weights, by way of a store and a bundle on disk."""
    training, study = open_store(str(tmp_path_factory.mktemp("training"))), load_study("recurrence")
    torch.manual_seed(0)
    head = HeadNetwork(torch.zeros(512), torch.ones(512), (8,)).state_dict()
    models = {
        "autoencoder-a": ("autoencoder", Autoencoder(16, 4, 8).state_dict(), {"watched": ["P00"]}),
        "backbone-a": ("backbone", untrained_backbone(10, 0).state_dict(), {"watched": ["P01"]}),
        "head-a": ("head", head, {"backbone": "backbone-a", "recalibration": RECALIBRATION}),
    }
    for name, (kind, weights, facts) in models.items():
        write_model(training, name, Model(weights, facts), {"kind": kind, "identity": {}})
    networks = {name: network_of(training, study, name) for name in models}
    scoring = {"order": [], "networks": list(networks)}
    bundle = Bundle({"environment": {}}, {}, scoring, {"radiomics": None}, {}, {}, {}, networks)
    out = open_store(str(tmp_path_factory.mktemp("bundle")))
    write_bundle(out, bundle)
    return read_bundle(out)


def volumes(store: Store, patients: int, network_store) -> list[list[dict]]:
    """Both network inputs of the first patients of a made-up store: ledger rows by scan."""
    rows = ledger.read_ledger(network_store(guo=True, cao=True)(store)).to_pylist()
    scans = sorted({row["scan_id"] for row in rows})[:patients]
    return [sorted((r for r in rows if r["scan_id"] == s), key=lambda r: r["feature_set"])[::-1] for s in scans]


def test_a_bundle_names_no_patient_of_its_networks(made):
    """Who stopped a fit stands in the model's card, not in the bundle."""
    assert all("watched" not in network.facts for network in made.networks.values())


def test_latents_and_log_odds_are_those_of_the_networks_whoever_else_is_there(made, network_store, tmp_path):
    """Equal to the networks run by hand, to the bit, for one scan alone and among others."""
    many, alone = (open_store(str(tmp_path / name)) for name in ("many", "alone"))
    rows = volumes(many, 3, network_store)
    together = compute_networks(made, many, rows, 0, "run-1")
    single = compute_networks(made, alone, volumes(alone, 1, network_store), 0, "run-1")
    key = tuple(rows[0][0][name] for name in ("scan_id", "reader", "repeat", "roi"))
    assert together.of(key) == single.of(key)
    assert len(together.head) == 3
    embedded = {row["scan_id"] for row in ledger.read_ledger(alone).to_pylist() if row["feature_set"][:4] == "deep"}
    assert embedded == {key[0]}  # the store holds inputs of 25 more scans, which nobody asked about
    with repeatable(threads=1):
        pair, image = read_pair(many, rows[0][0]), backbone_input(read_pair(many, rows[0][1])[0])
        latent = encode(autoencoder_network(made.networks["autoencoder-a"].weights), [pair])[0]
        outputs = features(backbone_network(made.networks["backbone-a"].weights), [image])
        logit = score_head(made.networks["head-a"].weights, Recalibration(**RECALIBRATION), outputs)[0]
    found, head, fault = single.of(key)
    np.testing.assert_array_equal(np.array(list(found.values())), latent.astype(np.float64))
    assert (list(found), head, fault) == ([f"deep_{i:03d}" for i in range(4)], logit, "")


def damage(store: Store, name: str) -> None:
    """Half of an object, as a full disk leaves it."""
    data = store.get(name)
    store.put(name, data[: len(data) // 2])


def flip(store: Store, name: str) -> None:
    """One bit in the midst of an object: its voxels are others then, and it is read without complaint."""
    data, at = store.get(name), len(store.get(name)) // 2
    store.put(name, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def test_a_scan_whose_network_input_is_damaged_costs_no_other_scan(made, network_store, tmp_path):
    """A cut input, changed ones, a lost one, one of another scan and cut views are each a fault of their own scan.

    Inputs are failed in the ledger, so that the next run extracts them again.
    """
    store = open_store(str(tmp_path / "store"))
    rows = volumes(store, 6, network_store)
    keys = [tuple(scan[0][name] for name in ("scan_id", "reader", "repeat", "roi")) for scan in rows]
    alone = compute_networks(made, store, rows[4:5], 0, "run-1")
    (views,) = [entry.key for entry in store.list("views")]
    damage(store, views)
    damage(store, rows[0][1]["object"])
    store.delete(rows[1][1]["object"])
    store.put(rows[2][1]["object"], store.get(rows[2][0]["object"]))
    flip(store, rows[3][0]["object"])
    found = compute_networks(made, store, rows, 0, "run-2")
    lost = [rows[0][1], rows[1][1], rows[2][1], rows[3][0]]
    wanted = [f"{row['feature_set']}: its object {row['object']} is gone or damaged" for row in lost]
    assert all(reason in found.faults[key] for reason, key in zip(wanted, keys[:4], strict=True))
    failed = {tuple(row[name] for name in ledger.KEY): row for row in ledger.read_ledger(store).to_pylist()}
    failed = {key: row for key, row in failed.items() if row["stage"] == "store"}
    assert {key: row["generation"] for key, row in failed.items()} == {
        tuple(row[name] for name in ledger.KEY): 2 for row in lost
    }
    assert {row["status"] for row in failed.values()} == {"failed"}
    assert set(found.faults) == set(keys[:5])
    assert "views/backbone-a" in found.faults[keys[4]] and keys[4] in alone.head
    assert keys[5] in found.head and len(found.features[keys[5]]) == 4


def test_another_model_of_the_same_name_is_not_used(made, network_store, tmp_path):
    """The store's own model is neither replaced nor taken for the bundle's."""
    store = open_store(str(tmp_path / "store"))
    other = {name: weight + 1 for name, weight in made.networks["autoencoder-a"].weights.items()}
    write_model(store, "autoencoder-a", Model(other, {}), {"kind": "autoencoder", "identity": {}})
    with pytest.raises(BundleError, match="autoencoder-a"):
        compute_networks(made, store, [], 0, "run-1")
    assert ledger.read_ledger(store).num_rows == 0
