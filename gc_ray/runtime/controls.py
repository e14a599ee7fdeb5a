"""Negative controls of a study, on its own tables: nothing is found where nothing is, and a leak is caught."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from gc_ray import sealed
from gc_ray.exit_codes import FAILED, Problem, exit_code
from gc_ray.models.cohort_data import CohortData
from gc_ray.models.controls import Control, planted_leak, shuffled_features, shuffled_outcome
from gc_ray.models.nested import outer_parts
from gc_ray.models.plans import Book
from gc_ray.run_records import write_record
from gc_ray.runtime.gather import gather
from gc_ray.runtime.trials import Place, Unit, nodes_for_trials, run_units
from gc_ray.runtime.tune import book_of, identity
from gc_ray.store import Store
from gc_ray.store_format import prepare
from gc_ray.study import Study
from gc_ray.watch import Watch

NOT_CAUGHT = "NOT CAUGHT"


@dataclass(frozen=True)
class Controlled:
    """What a control found, by signature: a sentence each. passed: False when a leak was not caught."""

    study_id: str
    control: Control
    found: dict[str, str]
    passed: bool

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What an operator must know of the run."""
        if self.passed:
            return ()
        missed = sum(text == NOT_CAUGHT for text in self.found.values())
        text = f"control {self.control} of study {self.study_id}: a planted leak was not caught"
        return (Problem(FAILED, text, {"signatures": missed}),)


def control(
    store: Store, study: Study, which: Control, workers: int | None, watch: Watch, run: str | None = None
) -> Controlled:
    """Run a negative control; what it found is kept under ``controls/``, apart from everything that a study reports.

    ``shuffled-outcome`` and ``shuffled-features`` resample the signatures of the study file, without a search;
    ``planted-leak`` asks a fit for out-of-fold scores of its own patients. run: the run's id; its record is written
    last. Errors as ``tune``.
    """
    prepare(store)
    gathered = gather(store, study)
    name = f"{study.name}/{identity(store, study, gathered)}-{which}"
    book, seed = book_of(study), study.tune.seed
    if which == "planted-leak":
        caught = planted_leak(book.plan(), gathered.data, outer_parts(gathered.data, 1, seed)[0])
        found = {signature: "caught" if c else NOT_CAUGHT for signature, c in caught.items()}
        done = Controlled(study.name, which, found, bool(caught) and all(caught.values()))
    else:
        shuffle = shuffled_outcome if which == "shuffled-outcome" else shuffled_features
        found = _resampled(store, study, (shuffle(gathered.data, seed), book, name), workers, watch)
        done = Controlled(study.name, which, found, True)
    sealed.put(store, f"controls/{name}.json", asdict(done))
    if run:
        record = {"run": run, "command": "tune", "exit_code": exit_code(done.problems), **asdict(done)}
        write_record(store, run, record | {"study": study.model_dump(mode="json")})
    return done


def _resampled(
    store: Store, study: Study, what: tuple[CohortData, Book, str], workers: int | None, watch: Watch
) -> dict[str, str]:
    data, book, name = what
    parts = outer_parts(data, study.tune.repeats, study.tune.seed)
    place = Place(data, book, study.tune.repeats, store, f"tune/{name}")
    units = [Unit(part.repeat, part.fold, {}) for part in parts]
    with nodes_for_trials(store, workers, allow_mixed_cpu=True) as nodes:  # nothing is kept for a report
        results = run_units(units, place, nodes, watch({"trials": len(units)}))
    found = {}
    for signature in results[0]:
        aucs = [result[signature].get("auc_test") for result in results]
        aucs = [area for area in aucs if area is not None]
        said = f"AUC {np.mean(aucs):.3f}, " if aucs else ""
        found[signature] = f"{said}fitted in {len(aucs)} of {len(results)} outer folds"
    return found
