"""Resume: what is committed and unchanged is left alone, everything else is computed anew."""

from dataclasses import replace

import pytest

from gc_ray.cohort.manifest import parse_manifest
from gc_ray.runtime.plan import Done, plan_scan
from gc_ray.runtime.products import products_of, settings_hash
from gc_ray.runtime.scan_work import Job
from gc_ray.runtime.survey import Survey
from gc_ray.store import open_store
from gc_ray.study import ExtractSettings

(ROW,) = parse_manifest(b"scan_id,patient_id,site,phase,image,mask\n1,P,A,pv,ct,seg\n", "s.csv", "/c")
SURVEY = Survey("stamp", 10**9)


@pytest.fixture
def job(quick, tmp_path) -> Job:
    """Features and one network input."""
    products = products_of(ExtractSettings(feature_sets=(quick,), volumes=("guo2025",)))
    return Job(open_store(str(tmp_path)), products, "1-x", 60.0)


def done(job, **changes) -> Done:
    """Ledger rows that say everything is committed."""
    rows = {
        (*ROW.key, name): {
            "status": "ok",
            "stage": "done",
            "settings_hash": settings_hash(product),
            "code_version": "1-x",
            "source_stamp": "stamp",
            "source_sha256": "sha",
            "generation": 2,
        }
        | changes
        for name, product in job.products.items()
    }
    return Done(rows)


def test_a_new_scan_wants_every_product_in_its_first_generation(job):
    """Nothing in the ledger: everything is wanted."""
    planned = plan_scan(ROW, SURVEY, Done({}), job, verify=False)
    assert [(w.product, w.generation, w.unless_sha256) for w in planned.task.wanted] == [
        ("quick", 1, ""),
        ("volumes/guo2025", 1, ""),
    ]


@pytest.mark.parametrize("status", ["ok", "repaired", "refused"])
def test_a_committed_unchanged_scan_is_left_alone(job, status):
    """A refusal is a result too: it stands until its source changes."""
    assert plan_scan(ROW, SURVEY, done(job, status=status), job, verify=False) is None


@pytest.mark.parametrize(
    "change", [{"status": "failed"}, {"settings_hash": "other"}, {"code_version": "2-x"}], ids=lambda c: next(iter(c))
)
def test_a_failure_or_other_settings_or_code_are_computed_anew(job, change):
    """A failure is never cached, and no value of older settings or code is kept: whatever the source's content."""
    planned = plan_scan(ROW, SURVEY, done(job, **change), job, verify=False)
    assert [(w.generation, w.unless_sha256) for w in planned.task.wanted] == [(3, ""), (3, "")]


def test_another_stamp_asks_for_the_content_and_so_does_verify(job):
    """Only where the stamp differs is the content hashed; --verify hashes it always."""
    for survey, verify in ((Survey("later", 10**9), False), (SURVEY, True)):
        planned = plan_scan(ROW, survey, done(job), job, verify)
        assert {w.unless_sha256 for w in planned.task.wanted} == {"sha"}


def test_a_stamp_whose_content_was_found_equal_is_known(job):
    """A cohort that was moved is hashed once, not on every run; --verify hashes it still."""
    contents = frozenset({(ROW.key_id, "later", "sha")})
    moved, before = Survey("later", 10**9), Done(done(job).rows, contents)
    assert plan_scan(ROW, moved, before, job, verify=False) is None
    assert plan_scan(ROW, moved, before, job, verify=True) is not None
    assert plan_scan(ROW, Survey("latest", 10**9), before, job, verify=False) is not None


def test_another_recipe_does_not_recompute_the_features(job):
    """Each product has a key of its own."""
    before = done(job)
    del before.rows[(*ROW.key, "volumes/guo2025")]
    planned = plan_scan(ROW, SURVEY, before, job, verify=False)
    assert [w.product for w in planned.task.wanted] == ["volumes/guo2025"]


def test_a_scan_that_was_not_there_is_looked_for_again(job):
    """It may lie on a mount that one node lacked; the same answer is then not committed a second time."""
    planned = plan_scan(ROW, SURVEY, done(job, status="refused", stage="source"), job, verify=False)
    assert [(w.generation, w.unless_sha256, w.unless_absent) for w in planned.task.wanted] == [(3, "", True)] * 2


@pytest.mark.parametrize(
    ("again", "wanted"), [((), 0), (("failed",), 0), (("refused",), 2), (("failed", "refused"), 2)]
)
def test_refused_scans_are_computed_again_when_that_is_asked_for(job, again, wanted):
    """Files unchanged or not: whatever the content, so that a fault that was no fault of the files is undone."""
    before = done(job, status="refused")
    planned = plan_scan(ROW, SURVEY, before, replace(job, again=again), verify=False)
    assert [w.unless_sha256 for w in planned.task.wanted] == [""] * wanted if wanted else planned is None
    assert plan_scan(ROW, SURVEY, done(job), replace(job, again=again), verify=False) is None


def test_a_task_says_whether_the_first_look_saw_its_files(job):
    """A node that sees nothing there then lacks a mount."""
    for seen in (True, False):
        assert plan_scan(ROW, Survey("later", 1, seen), done(job), job, verify=False).task.seen is seen
