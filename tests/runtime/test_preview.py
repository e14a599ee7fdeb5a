"""A dry run says what a run would do, and writes nothing."""

from pathlib import Path

import pytest

from gc_ray.cohort.manifest import ScanRow
from gc_ray.runtime.extract import Request, extract
from gc_ray.runtime.plan import Planned
from gc_ray.runtime.preview import Counts, MemoryClass, NodeSeen, Preview, _time, preview
from gc_ray.runtime.preview_lines import preview_lines
from gc_ray.runtime.scan_work import ScanTask, Wanted
from gc_ray.store import LocalStore
from gc_ray.study import load_study

GB = 1 << 30


def planned(site: str, memory: int, *products: str) -> Planned:
    """The plan of one new scan."""
    row = ScanRow("s", "r", 0, "1", "p", site, "portal", "image", "mask", "", "i", "m")
    return Planned(ScanTask(row, "stamp", tuple(Wanted(name, 1) for name in products)), memory)


def node(cpus: int, memory: int) -> NodeSeen:
    """A node that would work."""
    return NodeSeen("n", cpus, memory, "")


def test_the_time_is_that_of_the_site_and_the_product_over_all_slots():
    """A site with no history takes the product's; several products of a scan are one task."""
    medians = {("a", "x"): 10.0, (None, "x"): 20.0, (None, "y"): 30.0}
    plans = [planned("a", GB, "x"), planned("b", GB, "x"), planned("b", GB, "x", "y")]
    memory, seconds = _time(plans, [node(2, 4 * GB)], medians, None)
    assert memory == (MemoryClass(GB, 3, 2),)
    assert seconds == (10 + 20 + 30) / 2


@pytest.mark.parametrize(
    ("cpus", "memory", "workers", "slots"), [(8, 4 * GB, None, 4), (2, 9 * GB, None, 2), (8, 9 * GB, 3, 3)]
)
def test_slots_are_limited_by_cpus_memory_and_workers(cpus, memory, workers, slots):
    """As a run places its tasks."""
    found, _ = _time([planned("a", GB, "x")] * 9, [node(cpus, memory)], {(None, "x"): 1.0}, workers)
    assert found[0].at_a_time == slots


def test_a_time_that_no_history_supports_is_not_known():
    """No scan of a product yet: nothing is guessed."""
    _, seconds = _time([planned("a", GB, "x", "y")], [node(2, 4 * GB)], {("a", "x"): 1.0, (None, "x"): 1.0}, None)
    assert seconds is None
    assert "not known" in "\n".join(preview_lines(Preview(1, (), (MemoryClass(GB, 1, 2),), None, 0, ())))


def test_a_node_that_would_get_no_work_is_shown_with_its_reason():
    """In the words of the check of nodes."""
    refused = NodeSeen("n7", 4, 8 * GB, "n7: SimpleITK 2.4, the driver has 2.5")
    text = "\n".join(preview_lines(Preview(0, (), (), 0.0, 0, (refused, node(2, GB)))))
    assert "node n7: 4 CPUs, 8.0 GB, would get no work: n7: SimpleITK 2.4, the driver has 2.5" in text
    assert "nothing would be computed" in text


def all_files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.slow
def test_what_a_dry_run_counts_is_what_the_run_does(cohort, quick, tmp_path, ray_session):
    """Before the run: all new, no time. After a part of it: the rest, with a time. Never a file written."""
    store = LocalStore(str(tmp_path / "store"))
    manifests = tuple(map(str, sorted(cohort.glob("scans_site_*.csv"))))
    study = load_study(None, (f'extract.feature_sets=["{quick}"]',))

    def dry(**more) -> Preview:
        return preview(Request(manifests, store, study, **more))

    before = dry()
    assert not (tmp_path / "store").exists()
    assert (before.outlines, before.seconds) == (14, None)
    assert {(c.again, c.unchanged) for c in before.counts} == {(0, 0)}
    assert sum(c.new for c in before.counts) == sum(m.scans for m in before.memory) == 14
    request = Request(manifests, store, study, limit=5)
    extract(request, lambda totals: lambda site, status: None, "extract-1", iter(range(99)).__next__)
    files = all_files(tmp_path / "store")
    after = dry()
    assert sum(c.new for c in after.counts) == 9
    assert sum(c.unchanged for c in after.counts) == 5
    assert after.seconds > 0
    assert after.timed == 5
    assert sum(c.again for c in dry(verify=True).counts) == 5
    assert all_files(tmp_path / "store") == files
    assert isinstance(after.counts[0], Counts)
