"""Features without what their site adds: ComBat learnt from the patients fitted on, and what new sites get."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gc_ray.errors import TableError
from gc_ray.models.harmonise import EFFECTS, ComBat
from gc_ray.study_signatures import Harmonise

TRAINING = "(training)"  # the batch that the patients fitted on form where a new site is brought to them
TRANSDUCTIVE = (
    "scores of sites without training patients are transductive: their features were brought to those of training "
    "patients with the site's own unlabelled scans, and another set of scans would give other scores"
)


@dataclass(frozen=True, eq=False)
class Harmonised:
    """ComBat of some features, the sites it was fitted on, and what a patient of another site gets.

    combat: None where all patients fitted on are of one site. reference: their features (patients, names) without
    site effects, kept where new sites are brought to them.
    """

    names: tuple[str, ...]
    combat: ComBat | None
    sites: frozenset[str]
    external: str
    reference: np.ndarray | None = None

    def apply(self, x: np.ndarray, site: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The features (rows, names) of the patients ``rows``; a patient with a gap stays as they are.

        x (patients, names), site: of all patients, since a new site is brought to the training patients by all of its
        own, whoever is asked for. TableError for a patient of a site without training patients where the study says
        refuse, or where it says reference and the site has too few scans.
        """
        known = np.isin(site[rows], list(self.sites))
        new = sorted(set(site[rows][~known]))
        if self.external == "refuse" and new:
            raise TableError(
                f"harmonise: site {', '.join(new)} has no training patients; train with some of its patients, or set "
                "external to none"
            )
        out = x[rows].copy()
        at = known & _whole(out)
        if self.combat is not None and at.any():
            out[at] = self.combat.transform(out[at], site[rows][at])
        if self.external == "reference":
            for name in new:
                mine = site[rows] == name
                out[mine] = self._brought(x, site == name, name)[rows[mine]]
        return out

    def effects(self, x: np.ndarray, site: np.ndarray) -> dict[str, np.ndarray]:
        """By site that ``apply`` knows what to do with, ``ComBat.effects``; x, site: of all patients, as there."""
        untouched = np.full((len(EFFECTS), len(self.names)), np.nan)
        found = {name: self.combat.effects(name) if self.combat else untouched for name in sorted(self.sites)}
        if self.external == "reference":
            for name in sorted(set(site.tolist()) - self.sites):
                found[name] = self._bringing(x[_whole(x) & (site == name)], name).effects(name)
        return found

    def _brought(self, x: np.ndarray, of: np.ndarray, name: str) -> np.ndarray:
        """All features, those of one new site brought to the training patients'."""
        at, out = of & _whole(x), x.copy()
        out[at] = self._bringing(x[at], name).transform(x[at], [name] * int(at.sum()))
        return out

    def _bringing(self, x: np.ndarray, name: str) -> ComBat:
        """What brings the rows ``x`` of a new site to the training patients."""
        batch = np.array([TRAINING] * len(self.reference) + [name] * len(x))
        return ComBat(ref_batch=TRAINING).fit(np.vstack([self.reference, x]), batch)


def _whole(x: np.ndarray) -> np.ndarray:
    return np.isfinite(x).all(axis=1)


def fit_sites(settings: Harmonise, names: tuple[str, ...], x: np.ndarray, site: np.ndarray) -> Harmonised:
    """ComBat fitted on rows x features and their sites; no covariate, so no outcome. TableError as ``ComBat.fit``."""
    sites = frozenset(site.tolist())
    if settings.external != "reference":
        return Harmonised(names, ComBat().fit(x, site), sites, settings.external)
    combat = ComBat().fit(x, site) if len(sites) > 1 else None
    reference = x if combat is None else combat.transform(x, site)
    return Harmonised(names, combat, sites, settings.external, reference)
