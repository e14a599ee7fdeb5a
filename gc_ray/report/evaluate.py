"""Scores judged: every table computed, every figure drawn, the report kept in the store and published."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from gc_ray.errors import StudyError
from gc_ray.report.compute import evaluate_all
from gc_ray.report.files import Report, report_of
from gc_ray.report.inputs import from_file, from_store
from gc_ray.report.publish import publish
from gc_ray.report.words import summary
from gc_ray.store import S3Store, Store, open_store
from gc_ray.study import Study

FOLDER = "reports"  # of a store; a published report lies directly below the address that was given


@dataclass(frozen=True)
class Request:
    """What is to be judged. scores, clinical: addresses, scores empty when those of the store are meant."""

    study: Study
    store: Store
    scores: str | None = None
    clinical: str | None = None
    tune: str | None = None
    published: str | None = None
    dry_run: bool = False


@dataclass(frozen=True)
class Outcome:
    """What was done. files: name to size, bytes; new: whether this call completed the report in the store."""

    report_id: str
    folder: str
    new: bool
    published: str
    files: dict[str, int]
    numbers: tuple[dict, ...]
    sentences: tuple[str, ...]


def evaluate(request: Request, run: str, told: Callable[[int, int], None] = lambda done, of: None) -> Outcome:
    """Judge scores and write the report; the run record is written last, and nothing at all in a dry run.

    run: the run's id. told: called as figures are drawn. TableError for scores or tables that cannot be judged;
    StoreError when the report cannot be written.
    """
    elsewhere = _target(request)
    inputs = (
        from_file(request.scores, request.clinical, request.study)
        if request.scores
        else from_store(request.store, request.study, request.tune)
    )
    done = evaluate_all(inputs)
    report = report_of(done, told)
    new = False
    if not request.dry_run:
        new = publish(report, request.store, FOLDER)
        if elsewhere:
            publish(report, elsewhere, "")
    said = summary(done)
    address = f"{elsewhere.uri}/{report.report_id}" if elsewhere else ""
    outcome = Outcome(
        report.report_id,
        f"{request.store.uri}/{FOLDER}/{report.report_id}",
        new,
        address,
        _sizes(report),
        tuple(said["numbers"]),
        tuple(said["sentences"]),
    )
    if not request.dry_run:
        record = {"run": run, "command": "evaluate", "exit_code": 0, **asdict(outcome)}
        record["study"] = request.study.model_dump(mode="json")
        request.store.put(f"runs/{run}.json", json.dumps(record, indent=1).encode())
    return outcome


def _target(request: Request) -> Store | None:
    """The store to publish to, with its encryption; StudyError when that cannot be."""
    if request.published is None:
        return None
    store, asked = open_store(request.published), request.study.publish
    if not asked.encryption:
        return store
    if not isinstance(store, S3Store):
        raise StudyError(
            f"publish.encryption = {asked.encryption} wants s3://bucket/prefix, not a folder; leave it out"
        )
    return replace(store, encryption=asked.encryption, kms_key=asked.kms_key)


def _sizes(report: Report) -> dict[str, int]:
    return {name: len(data) for name, data in sorted(report.files.items())}
