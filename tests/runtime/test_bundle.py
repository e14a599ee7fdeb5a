"""A signature on a network head frozen: the reference knows the head's score, the card its training scans."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from gc_ray import sealed
from gc_ray.evaluate.drift import drift
from gc_ray.models.backbone import untrained_backbone
from gc_ray.models.bundle import Bundle, read_bundle, write_bundle
from gc_ray.models.domain import judge
from gc_ray.models.head import HeadNetwork
from gc_ray.models.model_folder import Model, write_model
from gc_ray.models.scoring import score
from gc_ray.runtime.bundle import bundle
from gc_ray.runtime.train import unwatched
from gc_ray.runtime.tune import tune
from gc_ray.store import Store, open_store
from gc_ray.study import digest, load_study

STUDY = """
name = "recurrence"
[clinical]
outcome = "recurrence"
[[signature]]
name = "dls"
scores_of = ["head"]
model = "score"
[[signature]]
name = "fitted"
scores_of = ["dls"]
[tune]
head_model = "head-a"
inner_folds = 2
samples = 0
"""
TRAIN = [f"P{i:02d}" for i in range(12)]  # as the fixture splits them
RECALIBRATION = {"intercept": -0.5, "slope": 2.0, "method": "maximum likelihood"}


def head_scores() -> pd.Series:
    """Log odds of the head by patient, out of fold in the training cohort."""
    return pd.Series(np.random.default_rng(0).normal(size=20), [f"P{i:02d}" for i in range(20)])


def store_head(store: Store) -> None:
    """A backbone and a head with fresh weights, and made-up scores of the study's patients."""
    torch.manual_seed(0)
    scores = pa.table({"patient_id": head_scores().index.to_list(), "linear_predictor": head_scores().to_numpy()})
    backbone = Model(untrained_backbone(10, 0).state_dict(), {"provenance": {"statement": "untrained"}})
    facts = {"backbone": "backbone-a", "recalibration": RECALIBRATION, "provenance": {"statement": "untrained"}}
    weights = HeadNetwork(torch.zeros(512), torch.ones(512), (8,)).state_dict()
    write_model(store, "backbone-a", backbone, {"kind": "backbone", "identity": {}})
    head = Model(weights, facts, {"scores": scores, "as_published": scores})
    write_model(store, "head-a", head, {"kind": "head", "identity": {}})


@pytest.fixture(scope="module", params=["dls", "fitted"])
def made(request, network_store, tmp_path_factory) -> Bundle:
    """The head's score as it is, and a regression on it."""
    folder: Path = tmp_path_factory.mktemp("head")
    store = network_store(guo=False, cao=True)(open_store(str(folder / "store")))
    store_head(store)
    (folder / "study.toml").write_text(STUDY)
    study = load_study(str(folder / "study.toml"))
    tune(store, study, 0, unwatched, "tune-1")
    out = open_store(str(folder / "bundle"))
    bundle_id, _ = bundle(store, study, request.param, out, None, "bundle-1")
    record = sealed.read(store, "runs/bundle-1.json")
    assert (record["bundle_id"], record["model"], record["sealed"]) == (bundle_id, request.param, False)
    return read_bundle(out)


def test_the_reference_holds_the_out_of_fold_scores_of_the_head(made):
    """Of the training cohort alone, in log odds, under the name that a result's predictors have."""
    held = made.reference["predictors"]
    assert list(held) == made.card["feature_order"] == ["head"]
    np.testing.assert_allclose(held["head"]["quantiles"], np.quantile(head_scores()[TRAIN], np.linspace(0, 1, 101)))
    assert "head" in score(made, {}, None, 0.25).values


def test_a_scan_is_judged_by_its_head_score(made):
    """Within the training range in-domain, within as much again borderline, beyond it refused."""
    low, high = head_scores()[TRAIN].min(), head_scores()[TRAIN].max()
    wanted = {head_scores()[TRAIN].median(): "in-domain", high + 0.2 * (high - low): "borderline", 99.0: "refused"}
    for head, verdict in wanted.items():
        values = score(made, {}, None, head).values
        said, reasons = judge(made.reference, values, {}, "")
        assert said == verdict
        assert verdict == "in-domain" or any(
            reason.startswith(f"head (log odds of the network head) is {head:.4g}") for reason in reasons
        )


def test_a_shift_of_the_head_score_is_drift(made):
    """Named beside the score; were the training cohort as large as this window, it would alert."""
    large = {name: held | {"n": 100} for name, held in made.reference["predictors"].items()}
    window = pd.DataFrame({"head": np.random.default_rng(1).normal(3, size=100)})
    rows = {row["name"]: row for row in drift(made.reference | {"predictors": large}, window, np.zeros(100), 0, 100)}
    assert (rows["head"]["n"], rows["head"]["verdict"]) == (100, "alert")


def test_a_bundle_made_before_the_head_was_looked_at_is_still_read(made, tmp_path):
    """Its reference has no head: it is scored as it was, and judged by what it knows."""
    reference = made.reference | {"predictors": {}, "distance": None}
    store = open_store(str(tmp_path / "old"))
    write_bundle(store, replace(made, reference=reference))
    old = read_bundle(store)
    now, then = score(made, {}, None, 99.0), score(old, {}, None, 99.0)
    assert now == then
    assert judge(old.reference, then.values, {}, "") == ("in-domain", [])


def test_the_card_names_the_scans_that_the_head_was_trained_on(made):
    """By a digest of their ids, as where features have them."""
    assert made.card["training"]["scans"] == digest([f"s-{patient}" for patient in TRAIN])
