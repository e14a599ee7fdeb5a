"""Heat-maps beside a trained head: of the extreme scores, with the check that says whether to believe them."""

import io

import numpy as np
import pandas as pd

from gc_ray.models.heatmap import CASCADE
from gc_ray.runtime.heatmaps import _extremes, draw_heatmaps
from gc_ray.runtime.networks import backbone_task, head_task
from gc_ray.runtime.train import Place, train
from gc_ray.study import load_study

SMALL = ("backbone.depth=10", "clinical.source_label=", "head.views=1", "head.epochs=2", "head.hidden=[4]",
         "embed.workers=0", "train.heatmaps=2", "split.folds=3")  # fmt: skip


def test_a_trained_head_has_maps_and_their_check(network_store, store):
    """Two scans, one sanity check over every stage; a second call leaves what is there as it is."""
    study = load_study("recurrence", SMALL)
    network_store(guo=False, cao=True)(store)
    place = Place(store, study.train)
    train(backbone_task(store, study), place, lambda *news: None, "run-b")
    card, _ = train(head_task(store, study), place, lambda *news: None, "run-h")
    head = card["model_id"]
    changed = draw_heatmaps(store, study, head)
    there = {e.key.rpartition("/")[2]: e.stamp for e in store.list(f"models/{head}/heatmaps")}
    assert set(there) == {"files.json", "map-01.png", "map-02.png", "maps.csv", "sanity.csv", "sanity.png"}
    assert store.get(f"models/{head}/heatmaps/map-01.png").startswith(b"\x89PNG")
    check = pd.read_csv(io.BytesIO(store.get(f"models/{head}/heatmaps/sanity.csv")))
    assert list(check["stage"].unique()) == list(CASCADE)
    assert isinstance(changed, bool)
    assert draw_heatmaps(store, study, head) == changed
    assert {e.key.rpartition("/")[2]: e.stamp for e in store.list(f"models/{head}/heatmaps")} == there
    assert draw_heatmaps(store, load_study("recurrence", (*SMALL, "train.heatmaps=0")), head) is None


def test_half_the_maps_are_of_the_highest_scores_and_half_of_the_lowest():
    """Of five asked, three are from the top; ties go by patient."""
    scores = pd.DataFrame({"patient_id": list("abcdefgh"), "linear_predictor": [3, 1, 2, 0, 2, -1, -2, 5]})
    assert list(_extremes(scores, 5)["patient_id"]) == ["h", "a", "c", "f", "g"]
    assert len(_extremes(scores, 20)) == len(scores)
    assert np.all(np.diff(_extremes(scores, 20)["linear_predictor"]) <= 0)
