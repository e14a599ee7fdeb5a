"""Scores judged: every table computed, every figure drawn, the report kept in the store and published."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from gc_ray.errors import StudyError
from gc_ray.report.identity import report_id
from gc_ray.report.inputs import Inputs, from_file, from_store
from gc_ray.report.publish import INDEX, Report, publish, read_report, whole_index
from gc_ray.run_records import write_record
from gc_ray.store import S3Store, Store, open_store
from gc_ray.store_format import prepare, refuse_newer
from gc_ray.study import Study

FOLDER = "reports"  # of a store; a published report lies directly below the address that was given


@dataclass(frozen=True)
class Request:
    """What is to be judged.

    scores, clinical: addresses, scores empty when those of the store are meant. encoding: of tables that are neither
    UTF-8 nor UTF-16. doubts: severity, flag, about and text of what speaks against the scores.
    """

    study: Study
    store: Store
    scores: str | None = None
    clinical: str | None = None
    tune: str | None = None
    published: str | None = None
    dry_run: bool = False
    encoding: str | None = None
    doubts: tuple[tuple[str, str, str, str], ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What was done.

    files: name to size, bytes; new: whether this call completed the report in the store. notes: of the
    reader of tables.
    """

    report_id: str
    folder: str
    new: bool
    published: str
    files: dict[str, int]
    numbers: tuple[dict, ...]
    sentences: tuple[str, ...]
    notes: tuple[str, ...] = ()


def evaluate(request: Request, run: str, told: Callable[[int, int], None] = lambda done, of: None) -> Outcome:
    """Judge scores and write the report; the run record is written last, and nothing at all in a dry run.

    A report that the store has whole is neither computed nor drawn again: its index says what to tell. run: the
    run's id. told: called as figures are drawn. TableError for scores or tables that cannot be judged; StudyError
    for settings that do not fit them; StoreError when the report cannot be written.
    """
    elsewhere = _target(request)
    refuse_newer(request.store)
    inputs = (
        from_file(request.scores, request.clinical, request.study, request.encoding)
        if request.scores
        else from_store(request.store, request.study, request.tune)
    )
    inputs = replace(inputs, doubts=(*request.doubts, *inputs.doubts))
    name = report_id(inputs)
    index, report, new = whole_index(request.store, FOLDER, name), None, False
    if index is None:
        report = _drawn(inputs, told)
        index = report.files[INDEX]
    if not request.dry_run:
        prepare(request.store)
        new = report is not None and publish(report, request.store, FOLDER)
        if elsewhere and whole_index(elsewhere, "", name) is None:
            publish(report or read_report(request.store, FOLDER, name), elsewhere, "")
    said = json.loads(index)
    outcome = Outcome(
        name,
        f"{request.store.uri}/{FOLDER}/{name}",
        new,
        f"{elsewhere.uri}/{name}" if elsewhere else "",
        _sizes(index),
        tuple(said["summary"]["numbers"]),
        tuple(said["summary"]["sentences"]),
        inputs.notes,
    )
    if not request.dry_run:
        record = {"run": run, "command": "evaluate", "exit_code": 0, **asdict(outcome)}
        record["study"] = request.study.model_dump(mode="json")
        write_record(request.store, run, record)
    return outcome


def _drawn(inputs: Inputs, told: Callable[[int, int], None]) -> Report:
    # here, since loading what computes and draws takes longer than finding a report that is there
    from gc_ray.report.compute import evaluate_all
    from gc_ray.report.files import report_of

    return report_of(evaluate_all(inputs), told)


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


def _sizes(index: bytes) -> dict[str, int]:
    files = json.loads(index)["files"]
    return dict(sorted({INDEX: len(index), **{name: file["bytes"] for name, file in files.items()}}.items()))
