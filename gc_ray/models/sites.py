"""Features without what their site adds: ComBat learnt from the patients fitted on, and what new sites get."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gc_ray.errors import TableError
from gc_ray.models.harmonise import ComBat
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
        at = known & np.isfinite(out).all(axis=1)
        if self.combat is not None and at.any():
            out[at] = self.combat.transform(out[at], site[rows][at])
        if self.external == "reference":
            for name in new:
                mine = site[rows] == name
                out[mine] = self._brought(x, site == name, name)[rows[mine]]
        return out

    def _brought(self, x: np.ndarray, of: np.ndarray, name: str) -> np.ndarray:
        """All features, those of one new site brought to the training patients'."""
        at, out = of & np.isfinite(x).all(axis=1), x.copy()
        batch = np.array([TRAINING] * len(self.reference) + [name] * int(at.sum()))
        combat = ComBat(ref_batch=TRAINING).fit(np.vstack([self.reference, x[at]]), batch)
        out[at] = combat.transform(x[at], batch[len(self.reference) :])
        return out


def fit_sites(settings: Harmonise, names: tuple[str, ...], x: np.ndarray, site: np.ndarray) -> Harmonised:
    """ComBat fitted on rows x features and their sites; no covariate, so no outcome. TableError as ``ComBat.fit``."""
    sites = frozenset(site.tolist())
    if settings.external != "reference":
        return Harmonised(names, ComBat().fit(x, site), sites, settings.external)
    combat = ComBat().fit(x, site) if len(sites) > 1 else None
    reference = x if combat is None else combat.transform(x, site)
    return Harmonised(names, combat, sites, settings.external, reference)
