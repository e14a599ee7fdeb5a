"""The whole way on a simulated cohort: both studies' commands, one after the other, and what came of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gc_ray.errors import BundleError
from gc_ray.models.bundle import read_bundle
from gc_ray.runtime.audit import read_scores
from gc_ray.store import open_store

DONE, OVER_BUDGET = 0, 3  # exit codes after which a study goes on

# Two in three patients are of site A. The seed gives every cohort events, and every regression grade two patients;
# effects are three times the usual ones, so that forty patients can show some.
HOSPITALS = ("--sites=2", "--seed=58", "--strength=3", "--matrix=96")
COHORT = ("--patients=40", "--recurrence-rate=0.45", "--source-patients=10", "--defects=0.06", *HOSPITALS)
# The same hospitals go on: patients 41 to 46, two of them with a scan that cannot be used.
NEW = ("--patients=6", "--first=40", "--defects=0.3", "--reread-share=0", *HOSPITALS)


@dataclass(frozen=True)
class Course:
    """One study of the demo. networks: trained in this order; source: whether it needs the source task's scans."""

    study: str
    networks: tuple[str, ...]
    headline: str
    source: bool = False


COURSES = (
    Course("demo_liver_metastasis", ("autoencoder",), "fused"),
    Course("demo_recurrence", ("backbone", "head"), "dlfs", source=True),
)


@dataclass(frozen=True)
class Step:
    """One command of the demo. study: whose; empty for what both need."""

    title: str
    command: tuple[str, ...]
    study: str = ""


@dataclass(frozen=True)
class Ended:
    """How a step ended. code: of its command; None when it was left out, since an earlier one of its study failed."""

    step: Step
    code: int | None

    @property
    def failed(self) -> bool:
        """Whether the study cannot go on."""
        return self.code not in (DONE, OVER_BUDGET)


def steps_of(out: Path) -> tuple[Step, ...]:
    """Every step of the demo below a folder, in order."""
    new = (f"--out={out}/new", *NEW)
    return (
        Step(
            "a cohort of two hospitals as DICOM, outlined by two readers", ("synth", f"--out={out}/cohort", *COHORT)
        ),
        Step("new patients of the same hospitals", ("synth", *new)),
        *(step for course in COURSES for step in _of_course(course, out)),
    )


def _of_course(course: Course, out: Path) -> Iterator[Step]:
    name = course.study.removeprefix("demo_").replace("_", " ")
    cohort, store, study = out / "cohort", f"--store={out}/store", f"--study={course.study}"
    scans = ["site_A", "site_B", *(["source"] if course.source else [])]
    bundle = f"{out}/bundles/{course.study}"
    commands = (
        ("scans to features", "extract", *(f"--scans={cohort}/scans_{of}.csv" for of in scans), study, store),
        ("cohorts and folds", "split", f"--clinical={cohort}/clinical.csv", study, store),
        *((f"the {kind}", "train", kind, study, store) for kind in course.networks),
        *([("latent features", "embed", study, store)] if "autoencoder" in course.networks else []),
        ("signatures", "tune", study, store),
        ("the report", "evaluate", study, store),
        ("the frozen model", "bundle", f"--model={course.headline}", f"--out={bundle}", study, store),
        (
            "new scans scored", "rescore", f"--bundle={bundle}", f"--scans={out}/new/scans.csv",
            f"--clinical={out}/new/clinical.csv", f"--store={out}/scored", "--workers=0",
        ),
    )  # fmt: skip
    for title, *command in commands:
        yield Step(f"{name}: {title}", tuple(command), course.study)


def walk(steps: tuple[Step, ...], call: Callable[[tuple[str, ...]], int]) -> Iterator[Step | Ended]:
    """Each step before it is taken, and how it ended.

    call: runs a command and gives its exit code. A study one of whose steps fails is left there, the other goes on.
    """
    lost: set[str] = set()
    for step in steps:
        if lost & {step.study, ""}:
            yield Ended(step, None)
            continue
        yield step
        ended = Ended(step, call(step.command))
        yield ended
        if ended.failed:
            lost.add(step.study)


@dataclass(frozen=True)
class Result:
    """What came of a study. areas: its model's AUCs, rows of the table metrics; new_scans: how many by status."""

    study: str
    model: str
    areas: tuple[dict, ...]
    new_scans: dict[str, int]
    report: str


def results_of(out: Path) -> tuple[Result, ...]:
    """What the stores below a folder hold of the demo's studies; a study without a report is not among them."""
    return tuple(filter(None, (_result(course, out) for course in COURSES)))


def _result(course: Course, out: Path) -> Result | None:
    runs = sorted((out / "store" / "runs").glob("evaluate-*.json"))  # by time, which is part of the name
    records = [record for path in runs if (record := json.loads(path.read_text()))["study"]["name"] == course.study]
    if not records:
        return None
    folder = Path(records[-1]["folder"])
    metrics = json.loads((folder / "report.json").read_text())["tables"]["metrics"]
    wanted = {"model_id": course.headline, "variant": "leak_free", "subset": "all", "metric": "auc"}
    areas = [row for row in metrics if wanted.items() <= row.items() and row["kind"] in ("oof", "final")]
    return Result(course.study, course.headline, tuple(areas), _new_scans(course, out), str(folder / "index.html"))


def _new_scans(course: Course, out: Path) -> dict[str, int]:
    bundle, scored = open_store(f"{out}/bundles/{course.study}"), open_store(f"{out}/scored")
    try:
        rows = read_scores(scored, read_bundle(bundle, None).bundle_id)
    except BundleError:
        return {}
    return dict(Counter(rows["status"].to_pylist()))
