"""Pictures of a network in a report: taken as they are, in order, and shown without a network connection."""

from dataclasses import replace

from gc_ray.report.compute import evaluate_all
from gc_ray.report.files import PAGE, report_of
from gc_ray.report.inputs import from_store
from gc_ray.report.pictures import pictures_of
from gc_ray.store import open_store

PNG = b"\x89PNG\r\n\x1a\n"


def test_a_models_pictures_are_found_and_nothing_else_is(tmp_path):
    """Curve, maps by number, and the check; weights, tables and other models' pictures are left alone."""
    store = open_store(str(tmp_path))
    for name in ("curve.png", "card.json", "heatmaps/map-02.png", "heatmaps/map-01.png", "heatmaps/sanity.png"):
        store.put(f"models/head-1/{name}", PNG)
    store.put("models/head-2/curve.png", PNG)
    found = pictures_of(store, ["head-1"])
    assert [picture.name for picture in found] == ["learning-head", "heatmap-01", "heatmap-02", "heatmap-sanity"]
    assert pictures_of(store, ["guo2025"]) == ()


def test_a_report_holds_the_pictures_of_the_networks_it_is_about(run, quick):
    """In the page itself, as files, and with what each shows in words."""
    inputs = from_store(run.store, quick, None)
    assert inputs.pictures == ()
    run.store.put("models/head-0/heatmaps/map-01.png", PNG)
    try:
        with_one = replace(inputs, pictures=from_store(run.store, quick, None).pictures)
    finally:
        run.store.delete("models/head-0/heatmaps/map-01.png")
    report = report_of(evaluate_all(with_one))
    assert report.files["figures/heatmap-01.png"] == PNG
    page = report.files[PAGE].decode()
    assert "Heat-map 1, highest score first" in page
    assert f'src="{with_one.pictures[0].source}"' in page
    assert 'alt="CT slices' in page
