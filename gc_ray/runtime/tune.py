"""The signatures of a study: searched, resampled, fitted to the training cohort, and stored with their tables."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from gc_ray import sealed, tables
from gc_ray.code_versions import SIGNATURES, code_version, library_versions
from gc_ray.cohort_tables import split_hash
from gc_ray.errors import TableError, some
from gc_ray.exit_codes import OVER_BUDGET, Problem, exit_code
from gc_ray.features.stability import icc
from gc_ray.models.cohort_data import CohortData
from gc_ray.models.nested import Choice, Part, auc, outer_parts
from gc_ray.models.plans import TUNED, Book
from gc_ray.models.recipe import AS_PUBLISHED, LEAK_FREE, Fitted, fit_each
from gc_ray.models.signature_tables import (
    coefficient_rows,
    fitted_rows,
    oof_rows,
    resampling_rows,
    selection_rows,
)
from gc_ray.models.unscored import Unscored
from gc_ray.run_records import write_record
from gc_ray.runtime.gather import Gathered, gather
from gc_ray.runtime.joined import LeftOut
from gc_ray.runtime.search import WHOLE_AT, At, Resampled, Run, resample, search
from gc_ray.runtime.trials import Nodes, Place, Unit, nodes_for_trials, run_units
from gc_ray.runtime.tune_card import card_of, inputs_of, unscored
from gc_ray.shards import parquet
from gc_ray.store import Store
from gc_ray.store_format import prepare
from gc_ray.study import Study, digest
from gc_ray.watch import Watch

WRITTEN = (tables.SCORES, tables.RESAMPLING, tables.COEFFICIENTS, tables.SELECTION)


@dataclass(frozen=True)
class Line:
    """A signature in one line. auc: mean over the outer folds; pooled: of all out-of-fold scores of the split's."""

    model_id: str
    auc: float
    pooled: float
    n: int
    events: int
    features: int
    chosen: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Tuned:
    """What ``tune`` stored. new: False when it was there already. failed: by signature, why there is none.

    notes: what is to be known of the features, such as which outlines an ICC compares, and nodes that got no work.
    """

    study_id: str
    tune_id: str
    new: bool
    lines: tuple[Line, ...]
    failed: dict[str, str]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...] = ()
    unscored: tuple[Unscored, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What an operator must know of the run."""
        return not_fitted(self.failed)


def not_fitted(failed: dict[str, str]) -> tuple[Problem, ...]:
    """The problem of signatures that could not be fitted; none when all were."""
    if not failed:
        return ()
    return (Problem(OVER_BUDGET, f"not fitted: {some(failed)}", {"signatures_failed": len(failed)}),)


def tune(
    store: Store, study: Study, workers: int | None, watch: Watch, run: str, *, allow_mixed_cpu: bool = False
) -> Tuned:
    """Search, resample and fit the study's signatures; the card, written last, commits their tables.

    The same call again takes up what was cut off. workers: trials at a time, None for all CPUs, 0 for this process
    without Ray. watch: as for ``extract``. run: the run's id. allow_mixed_cpu: nodes of several instruction sets
    compute. TableError and StudyError as the tables deserve; a signature that cannot be fitted costs itself alone.
    """
    prepare(store)
    gathered = gather(store, study)
    tune_id = identity(store, study, gathered)
    folder = f"signatures/{study.name}/{tune_id}"
    card = read_card(store, folder)
    new, nodes = card is None, ()
    if new:
        book = book_of(study)
        place = Place(gathered.data, book, study.tune.repeats, store, f"tune/{study.name}/{tune_id}")
        with nodes_for_trials(store, workers, allow_mixed_cpu=allow_mixed_cpu) as where:
            card = _bring_about(place, study, gathered, folder, lambda units: _ran(units, place, where, watch))
        nodes = where.refused.notes
    lines = tuple(Line(**line | {"warnings": tuple(line["warnings"])}) for line in card["lines"])
    without = tuple(Unscored(**one) for one in card["unscored"])
    notes = (*gathered.notes, *gathered.statements, *nodes)
    done = Tuned(study.name, tune_id, new, lines, card["failed"], gathered.left_out, notes, without)
    record = {"run": run, "command": "tune", "exit_code": exit_code(done.problems), **asdict(done)}
    write_record(store, run, record | {"study": study.model_dump(mode="json")})
    return done


def book_of(study: Study) -> Book:
    """The signatures of a study with what they need beside their settings."""
    return Book(
        study.signature, study.tune.inner_folds, study.tune.seed, lambda ratings, kind: icc(ratings, kind).icc
    )


def identity(store: Store, study: Study, gathered: Gathered) -> str:
    """The name of all that decides a signature: settings, split, data to the bit, code and libraries."""
    return digest(
        {
            "signatures": [signature.model_dump(mode="json") for signature in study.signature],
            "tune": study.tune.model_dump(mode="json"),
            "split": split_hash(store, study.name),
            "sources": gathered.sources,
            "data": gathered.data.digest(),
            "coding": gathered.data.coding,
            "code": code_version(SIGNATURES),
        }
    )


def tuned_with(store: Store, study: Study, known: list[str]) -> str | None:
    """Which of the tunings ``known`` is that of these settings, tables and libraries; None when none is."""
    tune_id = identity(store, study, gather(store, study))
    return tune_id if tune_id in known else None


def _ran(units: list[Unit], place: Place, nodes: Nodes, watch: Watch) -> list[dict]:
    return run_units(units, place, nodes, watch({"trials": len(units)}))


def _bring_about(place: Place, study: Study, gathered: Gathered, folder: str, run: Run) -> dict:
    book, data = place.book, place.data
    outer = outer_parts(data, place.repeats, book.seed)
    parts = [(part.repeat, part.fold) for part in outer]
    done = resample(run, parts, {}, tuple(s.name for s in book.signatures))
    won: dict[At, dict[str, Choice]] = {}
    tuned = Resampled({}, {}, {})
    if study.tune.samples and book.searched:
        won = search(run, parts, book, study.tune.samples)
        tuned = resample(run, parts, won, book.tuned(won[WHOLE_AT]))
    with threadpool_limits(1):
        fits = fit_each(book.plan(), data, data.train)
        looked = fit_each(book.plan(variant=AS_PUBLISHED), data, data.train)
        if won:
            more = fit_each(book.plan(won[WHOLE_AT]), data, data.train)
            fits |= {name: found for name, found in more.items() if name.endswith(TUNED)}
    failed = {name: str(found) for name, found in fits.items() if isinstance(found, TableError)}
    failed |= done.failed | tuned.failed
    failed |= {f"{name} ({AS_PUBLISHED})": str(f) for name, f in looked.items() if isinstance(f, TableError)}
    results = done.results | tuned.results
    kept = {name: fit for name, fit in fits.items() if name in results and name not in failed}
    looked = {name: fit for name, fit in looked.items() if not isinstance(fit, TableError)}
    if not kept:
        raise TableError(f"study {study.name}: no signature could be fitted; {next(iter(failed.values()))}")
    rows = _rows(study.name, data, outer, (kept, looked), results, won)
    lines = [_line(name, fit, data, outer, results[name], won.get(WHOLE_AT, {})) for name, fit in kept.items()]
    found = {"lines": lines, "failed": failed, "chosen": won.get(WHOLE_AT, {}), "code": code_version(SIGNATURES)}
    found |= {"libraries": library_versions(SIGNATURES.libraries)}
    found |= {"inputs": inputs_of(place.store, study, gathered)} | unscored(gathered, (kept, looked), outer, results)
    return _store(place.store, folder, rows, kept, card_of(study, gathered, kept, found))


def _rows(
    study_id: str,
    data: CohortData,
    outer: tuple[Part, ...],
    fits: tuple[dict[str, Fitted], dict[str, Fitted]],
    results: dict[str, dict[At, dict]],
    won: dict[At, dict[str, Choice]],
) -> dict[str, list[dict]]:
    """The rows of every table; fits: leak-free ones, and those as published."""
    rows: dict[str, list[dict]] = {table.name: [] for table in WRITTEN}
    for variant, fitted in zip((LEAK_FREE, AS_PUBLISHED), fits, strict=True):
        for name, fit in fitted.items():
            whose = {"study_id": study_id, "model_id": name, "variant": variant}
            resampled = results[name] if variant == LEAK_FREE else None
            rows["scores"] += fitted_rows(fit, data, whose)
            rows["coefficients"] += coefficient_rows(fit, data, whose)
            rows["selection"] += selection_rows(fit, resampled, whose)
            if resampled is not None:
                rows["scores"] += oof_rows(data, outer, resampled, whose)
                chosen = {at: _of(choice, name) for at, choice in won.items()}
                rows["resampling"] += resampling_rows(resampled, chosen, study_id, name)
    return rows


def _of(choice: dict[str, Choice], name: str) -> Choice:
    return choice.get(name.removesuffix(TUNED), {}) if name.endswith(TUNED) else {}


def _line(
    name: str, fit: Fitted, data: CohortData, outer: tuple[Part, ...], results: dict[At, dict], won: dict[str, Choice]
) -> dict:
    first = [part for part in outer if part.repeat == 0]
    linear = np.array([v for part in first for v in results[0, part.fold]["linear_predictor"]], dtype=np.float64)
    known = np.isfinite(linear)
    y, linear = np.concatenate([data.y[part.left_out] for part in first])[known], linear[known]
    areas = [result["auc_test"] for result in results.values() if result["auc_test"] is not None]
    line = Line(
        name,
        float(np.mean(areas)) if areas else float("nan"),
        auc(y, linear),
        len(y),
        int(y.sum()),
        len(fit.predictors),
        json.dumps(_of(won, name), sort_keys=True) if _of(won, name) else "as the study file says",
        fit.warnings,
    )
    return asdict(line)


def _store(store: Store, folder: str, rows: dict[str, list[dict]], kept: dict[str, Fitted], card: dict) -> dict:
    study_id, tune_id = folder.split("/")[1:]
    parts = {f"{folder}/{name}.json": fit.model.signature.to_json().encode() for name, fit in kept.items()}
    for table in WRITTEN:
        built = tables.sort_by_key(table, tables.build(table, rows[table.name]))
        parts[f"{table.name}/{study_id}/{tune_id}.parquet"] = parquet(built)
    for name, data in parts.items():
        if not store.create(name, data) and store.get(name) != data and read_card(store, folder) is None:
            store.put(name, data)  # of a run that was cut off: nobody reads it before the card is there
    objects = {name: sealed.sha256(data) for name, data in parts.items()}
    sealed.create(store, f"{folder}/card.json", {"tune_id": tune_id, **card, "objects": objects})
    return read_card(store, folder)


def read_card(store: Store, folder: str) -> dict | None:
    """The card of a folder of signatures; None where nothing is committed."""
    try:
        return sealed.read(store, f"{folder}/card.json")
    except FileNotFoundError:
        return None
