"""The contents of a store in lines that a person reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from gc_ray.runtime.progress import duration

if TYPE_CHECKING:  # these lines are loaded by every command
    from gc_ray.runtime.active_runs import ActiveRun
    from gc_ray.runtime.show import Contents, Ingested, Product, StoredModel, StoredSplit, StoredTuning

REASONS = 10  # shown; all are in the ledger
HALF = "HALF-WRITTEN: no readable card; being written, or cut off: run its command again"
COLUMNS = ("ok", "repaired", "refused", "failed", "absent")


def contents_lines(found: Contents) -> Iterator[str]:
    """A section for each kind of thing that the store has; kinds that it lacks are named in the last line."""
    volumes, deep, features = [], [], []
    ingested = {table.feature_set for table in found.ingested}
    for product in found.products:
        if product.feature_set in ingested:
            continue
        kind = product.feature_set.partition("/")[0]
        (volumes if kind == "volumes" else deep if kind == "deep" else features).append(product)
    sections = {
        "scans": _products(features),
        "network inputs": _products(volumes),
        "deep tables": _products(deep),
        **({"features made elsewhere": [_ingested(table) for table in found.ingested]} if found.ingested else {}),
        "refused and failed results, by reason": _reasons(found),
        "splits": [line for split in found.splits for line in _split(split)],
        "models": [_model(model) for model in found.models],
        "tunings": [line for tuning in found.tunings for line in _tuning(tuning)],
        "reports": [f"{page.folder}/index.html" if page.whole else f"{page.folder}  {HALF}" for page in found.pages],
        "scored by bundles": _bundles(found),
        "latest runs, the last one below": _runs(found),
        **({"runs that have not ended": [_active(one) for one in found.active]} if found.active else {}),
    }
    yield f"store {found.store}: {found.outlines} outlines"
    for title, lines in sections.items():
        if lines:
            yield from ("", title, *(f"  {line}" for line in lines))
    if lacking := [title for title, lines in sections.items() if not lines]:
        yield from ("", f"none of: {', '.join(lacking)}")


def _products(products: list[Product]) -> list[str]:
    rows = [(p.feature_set, p.site, *(str(getattr(p, name)) for name in COLUMNS)) for p in products]
    return _aligned([("", "site", *COLUMNS), *rows]) if rows else []


def _ingested(table: Ingested) -> str:
    return (
        f"{table.feature_set}: {table.rows} rows of {table.patients} patients, {table.features} features; how these "
        f"were computed is not known (digest of their names {table.settings})"
    )


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows in columns, the first two to the left."""
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, wide, strict=True)))
        for row in rows
    ]


def _reasons(found: Contents) -> list[str]:
    lines = [f"{r.results:>6} {r.status}: {r.reason} (such as {r.example})" for r in found.reasons[:REASONS]]
    more = found.reasons[REASONS:]
    return [*lines, *([f"and {len(more)} more reasons, all in the ledger"] if more else [])]


def _split(split: StoredSplit) -> Iterable[str]:
    sizes = [f"{c.name} {c.n}" + ("" if c.events is None else f" ({c.events} events)") for c in split.cohorts]
    left_out = split.patients - sum(cohort.n for cohort in split.cohorts)
    yield f"{split.study_id} {split.hash}: {', '.join(sizes)}; {split.folds} folds; {left_out} not eligible"


def _model(model: StoredModel) -> str:
    if not model.whole:
        return f"{model.model_id}  {HALF}"
    about = [model.study_id and f"study {model.study_id}", model.backbone and f"on {model.backbone}", model.statement]
    return "  ".join((model.model_id, *filter(None, about)))


def _tuning(tuning: StoredTuning) -> Iterable[str]:
    name = f"{tuning.study_id} {tuning.tune_id}"
    if not tuning.whole:
        yield f"{name}  {HALF} ({tuning.trials} trials are kept)"
        return
    of = ", ".join(f"{kind} {source}" for kind, source in tuning.sources.items())
    yield f"{name}: {', '.join(tuning.models)}" + (f"; of {of}" if of else "")
    for model, why in tuning.failed.items():
        yield f"  {model} not fitted: {why}"


def _bundles(found: Contents) -> list[str]:
    lines = []
    for b in found.bundles:
        whose = f" ({b.study_id}, {b.model_id})" if b.model_id else ""
        last = "" if b.waiting is None else f"; in its last run {b.waiting} waiting, {b.failed} failed"
        lines.append(f"{b.bundle_id}{whose}: {b.scored} scored, {b.refused} refused{last}")
        if b.drift:
            lines[-1] += f"; drift: {b.drift}"
    return lines


def _active(one: ActiveRun) -> str:
    seen = f"last sign {duration(one.age_s)} ago, {one.results} results"
    return f"{one.run} on {one.host or 'an unknown host'}: {one.state}; {seen}"


def _runs(found: Contents) -> list[str]:
    rows = [
        (r.run, "cut off" if r.cut_off else f"exit {r.exit_code}", duration(r.seconds) if r.seconds else "")
        for r in found.runs
    ]
    return [line.rstrip() for line in _aligned(rows)] if rows else []
