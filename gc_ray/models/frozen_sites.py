"""Harmonisation frozen for scoring: what the features of each known site go through, and a scan of another site."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np

from gc_ray.models.cohort_data import CohortData
from gc_ray.models.domain import BORDERLINE, REFUSED
from gc_ray.models.harmonise import EFFECTS
from gc_ray.models.sites import Harmonised

NONE = {"method": "none", "statement": "features enter as they were extracted, site effects included"}


def freeze(harmonised: Mapping[str, Harmonised], data: CohortData, wanted: Collection[str]) -> dict:
    """As JSON types: by family, site and feature the numbers of ComBat; of the features in ``wanted`` alone.

    whole: the features without one of which a scan stays as it is. A feature that a site's ComBat leaves alone has no
    numbers there.
    """
    if not harmonised:
        return NONE
    families = {}
    for family, sites in harmonised.items():
        at = [i for i, name in enumerate(sites.names) if name in wanted]
        columns = [data.families[family].names.index(name) for name in sites.names]
        effects = sites.effects(data.families[family].values[:, columns], data.site)
        families[family] = {
            "external": sites.external,
            "whole": list(sites.names),
            "sites": {
                site: {
                    sites.names[i]: dict(zip(EFFECTS, found[:, i].tolist(), strict=True))
                    for i in at
                    if np.isfinite(found[:, i]).all()
                }
                for site, found in effects.items()
            },
        }
    known = sorted({site for held in families.values() for site in held["sites"]})
    statement = f"{' and '.join(families)} features enter without what sites {', '.join(known)} add, by ComBat"
    return {"method": "ComBat", "statement": statement, "families": families}


def needed_features(names: Collection[str], harmonisation: Mapping) -> set[str]:
    """The features without which a scan cannot be scored as the study's patients were.

    names: the predictors; beside them those of every harmonised family, since a gap in one leaves all as they are.
    """
    whole = (name for held in harmonisation.get("families", {}).values() for name in held["whole"])
    return {*names, *whole}


def known_sites(harmonisation: Mapping) -> list[str]:
    """The sites that a bundle's harmonisation knows; empty where it does nothing."""
    families = harmonisation.get("families", {})
    return sorted({site for held in families.values() for site in held["sites"]})


def freed(
    harmonisation: Mapping, values: Mapping[str, float], site: str
) -> tuple[dict[str, float], list[tuple[str, str]]]:
    """(one scan's image features without what its site adds, a domain verdict with its reason where they keep it)."""
    out, found = dict(values), []
    for family, held in harmonisation.get("families", {}).items():
        gaps = sum(not math.isfinite(values.get(name, math.nan)) for name in held["whole"])
        if site not in held["sites"]:
            found.append(_of_another_site(family, held["external"], site))
        elif gaps:
            reason = f"{gaps} of its {family} features have no value, so all keep what site {site} adds"
            found.append((BORDERLINE, reason))
        else:
            out |= {name: _adjusted(values[name], **effect) for name, effect in held["sites"][site].items()}
    return out, found


def _of_another_site(family: str, external: str, site: str) -> tuple[str, str]:
    said = f"site {site} has no training patients"
    if external == "refuse":
        return REFUSED, f"{said}, and the study refuses {family} features of such sites"
    if external == "reference":
        return BORDERLINE, f"{said}: one scan cannot be brought to theirs, its {family} features are taken as theirs"
    return BORDERLINE, f"{said}: its {family} features keep what it adds"


def _adjusted(value: float, mean: float, sd: float, shift: float, stretch: float) -> float:
    """As ``ComBat.transform`` does it, operation by operation."""
    return ((value - mean) / sd - shift) / math.sqrt(stretch) * sd + mean
