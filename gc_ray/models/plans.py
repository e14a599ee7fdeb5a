"""Which signatures a study fits: those of its file, and beside them the winners of the search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gc_ray.models.nested import Choice
from gc_ray.models.recipe import LEAK_FREE, Plan
from gc_ray.models.select import Agreement
from gc_ray.study_signatures import TUNED, SignatureSettings, changed


@dataclass(frozen=True, eq=False)
class Book:
    """The signatures of a study file, and all that a plan wants beside them."""

    signatures: tuple[SignatureSettings, ...]
    inner_folds: int
    seed: int
    agreement: Agreement

    @property
    def searched(self) -> tuple[SignatureSettings, ...]:
        """The signatures of which a search may change something."""
        return tuple(signature for signature in self.signatures if signature.search)

    def plan(self, choices: Mapping[str, Choice] | None = None, variant: str = LEAK_FREE) -> Plan:
        """The plan of the study file; with choices (by name, {} for the published one) each signature that has one

        becomes ``<name>_tuned``, and so does what builds on it.
        """
        renamed: dict[str, str] = {}
        planned = {}
        for signature in self.signatures:
            settings = changed(signature, (choices or {}).get(signature.name, {}))
            inputs = {*settings.scores_of, *settings.predictors_of}
            if signature.name in (choices or {}) or inputs & set(renamed):
                renamed[signature.name] = signature.name + TUNED
            settings = settings.model_copy(
                update={
                    "name": renamed.get(signature.name, signature.name),
                    "scores_of": tuple(renamed.get(name, name) for name in settings.scores_of),
                    "predictors_of": tuple(renamed.get(name, name) for name in settings.predictors_of),
                    "search": {},
                }
            )
            planned[settings.name] = settings
        return Plan(planned, self.inner_folds, self.agreement, (self.seed,), variant)

    def tuned(self, choices: Mapping[str, Choice]) -> tuple[str, ...]:
        """The names that ``plan`` gives to what the search changes."""
        return tuple(name for name in self.plan(choices).signatures if name.endswith(TUNED))
