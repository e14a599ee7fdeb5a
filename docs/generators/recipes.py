"""The page of what can be computed of a scan: feature sets and network inputs by name, from their definitions."""

from __future__ import annotations

import inspect
from collections import Counter
from dataclasses import fields

from gc_ray.features.feature_set import PRESETS, FeatureSet, feature_set
from gc_ray.features.ibsi_sets import IBSI_SETS
from gc_ray.imaging.voi import RECIPES, VoiRecipe
from generators.markdown import code, page, table

INTRO = """
`--feature-set` (or `extract.feature_sets` in the study file) takes a name from this page, or the path of a
PyRadiomics parameter file. `--volumes` (or `extract.volumes`) takes a network input.
"""

SETS = """
`ibsi-digital` and `ibsi-a` to `ibsi-e` are for comparison with the published values of the standard; all `ibsi-`
sets are described [with it](../ibsi.md). Columns bear PyRadiomics' names, `<image>_<class>_<feature>`.
"""

PARAMETER_FILE = """
## A parameter file of your own

`--feature-set lung.yaml` is read and checked as PyRadiomics does it; the table is called after the file. What
PyRadiomics would pass over in silence, such as a filter whose library is missing, is an error. Beside PyRadiomics'
sections it may have `gc_ray` (`pixel_type`, `clip_hu`, `window_hu`, as `guo2025` has them, and `max_grey_levels`) or
[`ibsi`](../ibsi.md). A scan with more than `max_grey_levels` grey levels in one image is refused: 2,000 unless given,
since a matrix of all their pairs in 13 directions then takes 0.4 GB
([what is refused](../readers.md#grey-values-far-beyond-tissue)).
"""


def feature_sets() -> str:
    """The page: names, columns, images and preprocessing, then the network inputs with their assumptions."""
    names = (*PRESETS, *IBSI_SETS)
    rows = [_row(feature_set(name)) for name in names]
    parts = [INTRO, "## Feature sets", table(("name", "columns", "images", "before features"), rows), SETS]
    for name in PRESETS:
        found = feature_set(name)
        parts += [f"### Columns of {name}", table(("images", "columns of each"), _images(found))]
    parts += [PARAMETER_FILE, "## Network inputs"]
    for recipe in RECIPES:
        parts += [f"### {recipe.name}", _sizes(recipe), "\n".join(f"- {text}" for text in recipe.assumptions)]
    return page("Feature sets and network inputs", *parts)


def _row(found: FeatureSet) -> tuple[str, ...]:
    setting, own = found.settings["setting"], found.settings.get("gc_ray", {})
    spacing = setting.get("resampledPixelSpacing")
    said = [f"resampled to {' x '.join(f'{v:g}' if v else 'own' for v in spacing)} mm"] if spacing else []
    if "clip_hu" in own:
        said.append("HU clipped to [{:g}, {:g}]".format(*own["clip_hu"]))
    if "window_hu" in own:
        said.append(f"window of level {own['window_hu']['level']:g} and width {own['window_hu']['width']:g} HU")
    if "binWidth" in setting:
        said.append(f"bins of {setting['binWidth']} HU")
    if "ibsi" in found.settings:
        said.append("the standard's, see there")
    return code(found.name), f"{len(found.names):,}", ", ".join(found.settings["imageType"]), "; ".join(said)


def _images(found: FeatureSet) -> list[tuple[str, ...]]:
    """A row for each kind of image that features are taken of: which, and the columns of each by class."""
    parts = [name.rsplit("_", 2) for name in found.names]
    alike: dict[str, list[str]] = {}
    for image in dict.fromkeys(image for image, _, _ in parts):
        classes = Counter(kind for of, kind, _ in parts if of == image)
        said = f"{sum(classes.values())}: {', '.join(f'{kind} {number}' for kind, number in classes.items())}"
        alike.setdefault(said, []).append(code(image))
    return [(f"{', '.join(images)}", said) for said, images in alike.items()]


def _sizes(recipe: VoiRecipe) -> str:
    rows = [
        (code(f.name), str(getattr(recipe, f.name) if getattr(recipe, f.name) is not None else "as it is"))
        for f in fields(recipe)
        if f.name not in ("name", "assumptions")
    ]
    return f"{inspect.getdoc(VoiRecipe).splitlines()[0]}\n\n{table(('setting', 'value'), rows)}\n\nAssumptions:"
