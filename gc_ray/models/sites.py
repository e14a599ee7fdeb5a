"""Features without what their site adds: ComBat learnt from the patients fitted on, and what new sites get."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gc_ray.errors import TableError
from gc_ray.models.harmonise import ComBat
from gc_ray.study_signatures import Harmonise


@dataclass(frozen=True, eq=False)
class Harmonised:
    """ComBat of some features, the sites it was fitted on, and what a row of another site gets."""

    names: tuple[str, ...]
    combat: ComBat
    sites: frozenset[str]
    external: str

    def apply(self, x: np.ndarray, site: np.ndarray) -> np.ndarray:
        """The features (rows, names) of some sites without their effects; rows with a gap stay as they are.

        TableError for a row of a site without training patients where the study says refuse.
        """
        known = np.isin(site, list(self.sites))
        if self.external == "refuse" and not known.all():
            raise TableError(
                f"harmonise: site {', '.join(sorted(set(site[~known])))} has no training patients; train with some "
                "of its patients, or set external to none"
            )
        at = known & np.isfinite(x).all(axis=1)
        out = x.copy()
        if at.any():
            out[at] = self.combat.transform(x[at], site[at])
        return out


def fit_sites(settings: Harmonise, names: tuple[str, ...], x: np.ndarray, site: np.ndarray) -> Harmonised:
    """ComBat fitted on rows x features and their sites; no covariate, so no outcome. TableError as ``ComBat.fit``."""
    return Harmonised(names, ComBat().fit(x, site), frozenset(site.tolist()), settings.external)
