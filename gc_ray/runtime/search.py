"""The rounds of a search: every choice of a signature judged in every part, then the winners refitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gc_ray.models.nested import WHOLE, Choice, best, choices
from gc_ray.models.plans import TUNED, Book
from gc_ray.runtime.trials import Unit
from gc_ray.study_signatures import SignatureSettings

At = tuple[int, int]  # repeat and fold of a part
Run = Callable[[list[Unit]], list[dict]]
WHOLE_AT = (WHOLE, WHOLE)


@dataclass(frozen=True, eq=False)
class Resampled:
    """By signature the results of its parts; by part what the search chose; by signature why it could not be fitted.

    A signature that failed in one part has no results: what it would say of the others is not the whole procedure.
    """

    results: dict[str, dict[At, dict]]
    chosen: dict[At, dict[str, Choice]]
    failed: dict[str, str]


def resample(run: Run, parts: list[At], chosen: dict[At, dict[str, Choice]], names: tuple[str, ...]) -> Resampled:
    """The signatures ``names`` refitted in every part, by what was chosen there."""
    found = run([Unit(*at, chosen.get(at, {})) for at in parts])
    results: dict[str, dict[At, dict]] = {}
    failed: dict[str, str] = {}
    for name in names:
        errors = [
            (at, result[name]["error"]) for at, result in zip(parts, found, strict=True) if "error" in result[name]
        ]
        if errors:
            (repeat, fold), first = errors[0]
            failed[name] = f"in {len(errors)} of {len(parts)} outer folds, first repeat {repeat} fold {fold}: {first}"
        else:
            results[name] = {at: result[name] for at, result in zip(parts, found, strict=True)}
    return Resampled(results, chosen, failed)


def search(run: Run, parts: list[At], book: Book, samples: int) -> dict[At, dict[str, Choice]]:
    """The winner of each searched signature in each part, and in the whole training cohort: least inner deviance.

    A round judges the signatures whose inputs are settled, on the winners that these have in the same part. All its
    trials are known before any is run, so that results do not depend on which ends first.
    """
    places = [WHOLE_AT, *parts]
    winners: dict[At, dict[str, Choice]] = {at: {} for at in places}
    for signatures in _rounds(book):
        tried = {s.name: choices(s, samples, book.seed) for s in signatures}
        units = [
            Unit(*at, {**winners[at], name: choice}, name + TUNED)
            for at in places
            for name, several in tried.items()
            for choice in several
        ]
        found = iter(run(units))
        for at in places:
            won = {}
            for name, several in tried.items():
                losses = [next(found)["deviance"] for _ in several]
                won[name] = several[best(losses)]
            winners[at] |= won
    return winners


def _rounds(book: Book) -> list[list[SignatureSettings]]:
    """The searched signatures by how many rounds their inputs, in any choice, take."""
    round_of: dict[str, int] = {}
    for signature in book.signatures:
        inputs = {*signature.scores_of, *signature.predictors_of}
        for field in ("scores_of", "predictors_of"):
            inputs |= {name for value in signature.search.get(field, ()) for name in value}
        above = max((round_of[name] for name in inputs if name in round_of), default=-1)
        round_of[signature.name] = above + 1 if signature.search else max(above, 0)
    rounds: dict[int, list[SignatureSettings]] = {}
    for signature in book.searched:
        rounds.setdefault(round_of[signature.name], []).append(signature)
    return [rounds[number] for number in sorted(rounds)]
