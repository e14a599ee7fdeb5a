"""Views of a frozen backbone: computed once, resumed scan by scan, the same bits whoever else is there."""

import numpy as np
import pytest

from gc_ray import ledger
from gc_ray.errors import TableError
from gc_ray.models.augment import view
from gc_ray.models.backbone import ZERO_HU, backbone_input, backbone_network, features
from gc_ray.models.model_folder import read_model
from gc_ray.runtime.inputs import read_pair
from gc_ray.runtime.networks import backbone_task
from gc_ray.runtime.train import Place, train, unwatched
from gc_ray.runtime.views import Viewer, Views, compute_views, read_views
from gc_ray.study import EmbedSettings, load_study
from gc_ray.tables import SCAN_KEY

HERE = EmbedSettings(workers=0)


@pytest.fixture
def views(network_store, store) -> Views:
    """An untrained backbone of ten layers in a store with volumes."""
    network_store(guo=False, cao=True)(store)
    study = load_study("recurrence", ("backbone.depth=10", "clinical.source_label=''"))
    task = backbone_task(store, study)
    train(task, Place(store, study.train), lambda *news: None, "run")
    return Views(store, task.model_id, seed=3)


def items_of(views: Views, numbers: dict[str, int]) -> list[dict]:
    """Items of some scans, with how many views each shall get."""
    rows = {row["scan_id"]: row for row in ledger.read_ledger(views.store).to_pylist()}
    names = (*SCAN_KEY, "object")
    return [{**{n: rows[scan][n] for n in names}, "views": k} for scan, k in numbers.items()]


def test_views_are_those_of_the_network_and_do_not_depend_on_companions(views):
    """Bit-equal to the backbone run on that scan's views alone; fewer views repeat the last one."""
    items = items_of(views, {"s-P00": 3, "s-P01": 1, "s-P02": 3})
    assert compute_views(views, items, HERE, unwatched) == 3
    found = read_views(views, items)
    network = backbone_network(read_model(views.store, views.model)[0].weights)
    for item, values in zip(items, found, strict=True):
        image = backbone_input(read_pair(views.store, item)[0])
        alone = [features(network, [view(image, 3, item["scan_id"], k, ZERO_HU)])[0] for k in range(item["views"])]
        np.testing.assert_array_equal(values[: item["views"]], alone)
    assert (found[1] == found[1][0]).all()
    assert not (found[0][0] == found[0][1]).all()


def test_only_what_is_missing_is_computed(views):
    """A second run computes nothing, a further scan just itself; another seed or number of views is other objects."""
    items = items_of(views, {"s-P00": 2, "s-P01": 1})
    assert compute_views(views, items[:1], HERE, unwatched) == 1
    before = {e.key: e.stamp for e in views.store.list("views")}
    assert compute_views(views, items, HERE, unwatched) == 1
    assert compute_views(views, items, HERE, unwatched) == 0
    after = {e.key: e.stamp for e in views.store.list("views")}
    assert before.items() < after.items()
    assert Views(views.store, views.model, seed=4).name(items[0]) not in after
    assert views.name(items[0] | {"views": 3}) not in after


def test_a_lost_input_costs_no_other_scan(views):
    """The error names the scan; the others are stored. Reading views that are not there names the scan too."""
    items = items_of(views, {"s-P00": 1, "s-P01": 1})
    views.store.delete(items[0]["object"])
    with pytest.raises(TableError, match="scan s-P00: its network input is not in the store"):
        compute_views(views, items, HERE, unwatched)
    assert read_views(views, items[1:]).shape == (1, 1, 512)
    with pytest.raises(TableError, match="scan s-P00: its views by backbone-"):
        read_views(views, items)


@pytest.mark.slow
def test_actors_give_the_views_of_one_process(views, ray_session, tmp_path):
    """By Ray Data with two actors: the same bytes."""
    items = items_of(views, {f"s-P{i:02d}": 1 + i % 2 for i in range(6)})
    told = []
    compute_views(views, items, EmbedSettings(workers=2), lambda totals: lambda *news: told.append(news))
    assert told == [("views", "ok")] * 6
    by_actors = read_views(views, items)
    for entry in list(views.store.list("views")):
        views.store.delete(entry.key)
    assert [outcome["status"] for outcome in Viewer(views, "cpu")(items)] == ["ok"] * 6
    np.testing.assert_array_equal(read_views(views, items), by_actors)
