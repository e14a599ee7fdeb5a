"""PyRadiomics' calculators on grey levels handed over as they are, with the aggregations and norms of IBSI-1."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import radiomics

from gc_ray.features.glcm import Glcm
from gc_ray.features.ibsi import grey_levels

# Features that PyRadiomics has and IBSI-1 does not define.
NOT_IN_THE_STANDARD = {
    "shape": ("Maximum2DDiameterColumn", "Maximum2DDiameterRow", "Maximum2DDiameterSlice"),
    "firstorder": ("TotalEnergy",),
    "glcm": ("MCC",),
}
CLASSES = ("shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
DIRECTIONAL = ("glcm", "glrlm")  # one matrix a direction: features are averaged, or the matrices merged before
MERGED = "_merged"


def standard_features(merged: bool) -> dict[str, list[str]]:
    """The features of each class that IBSI-1 defines; ``merged`` adds the second aggregation of glcm and glrlm."""
    known = radiomics.getFeatureClasses()
    features = {}
    for name in CLASSES:
        left_out = NOT_IN_THE_STANDARD.get(name, ())
        names = known[name].getFeatureNames().items()
        features[name] = [feature for feature, deprecated in names if not deprecated and feature not in left_out]
        if merged and name in DIRECTIONAL:
            features[name] += [feature + MERGED for feature in features[name]]
    return features


def calculator_class(name: str, settings: dict[str, Any]) -> type:
    """PyRadiomics' class of this name; the standard's when the settings hold a ``discretisation``."""
    upstream = Glcm if name == "glcm" else radiomics.getFeatureClasses()[name]
    if "discretisation" not in settings:
        return upstream
    parts = (*_DEVIATIONS.get(name, (_GivenLevels,)), upstream)
    return type(upstream.__name__, parts, {"__module__": upstream.__module__})


class _GivenLevels:
    """Grey levels of the standard; PyRadiomics' own would start at 1 in every region, whatever its darkest voxel."""

    def _applyBinning(self, matrix: np.ndarray) -> np.ndarray:  # noqa: N802 - PyRadiomics' name
        levels = grey_levels(matrix, self.maskArray, self.settings["discretisation"])
        self.coefficients["grayLevels"] = np.unique(levels[self.maskArray])
        self.coefficients["Ng"] = int(self.coefficients["grayLevels"][-1])
        return levels


class _BothAggregations:
    """Answers to ``getX_mergedFeatureValue`` with feature X of the matrix summed over all directions."""

    @cached_property
    def _merged(self) -> Any:
        merging = self.settings | {"weightingNorm": "no_weighting"}
        calculator = type(self)(self.inputImage, self.inputMask, **merging)
        calculator._initCalculation()
        return calculator

    def __getattr__(self, name: str) -> Any:
        if not name.endswith(f"{MERGED}FeatureValue"):
            raise AttributeError(name)
        return getattr(self._merged, name.replace(MERGED, ""))


class _SymmetricMatrix:
    """The standard lists the sum average too; PyRadiomics warns on every region that it repeats the joint average."""

    def getSumAverageFeatureValue(self) -> np.ndarray:  # noqa: N802 - PyRadiomics' name
        return 2 * self.getJointAverageFeatureValue()


class _SampleCovariance:
    """Axis lengths from the covariance over N - 1, as the standard's values have it; PyRadiomics divides by N."""

    def _initSegmentBasedCalculation(self) -> None:  # noqa: N802 - PyRadiomics' name
        super()._initSegmentBasedCalculation()
        voxels = len(self.labelledVoxelCoordinates[0])
        self.eigenValues = self.eigenValues * voxels / max(voxels - 1, 1)


# Where the standard differs from PyRadiomics, class by class; the others only take the standard's grey levels.
_DEVIATIONS = {
    "shape": (_SampleCovariance,),
    "glcm": (_SymmetricMatrix, _BothAggregations, _GivenLevels),
    "glrlm": (_BothAggregations, _GivenLevels),
}
