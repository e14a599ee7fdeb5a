"""Regions of random grey values, sizes and settings, for the feature kernels."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from fuzzing.mutate import Files, Rng, pick

MAX_VOXELS = 2000  # of a region
INTEGERS = ("u1", "i1", "u2", "i2", "i2", "i2", "i2", "u4", "i4", "i8")
REALS = ("f4", "f4", "f8")
SPACINGS = ((1.0, 1.0, 1.0), (0.8, 0.8, 3.0), (0.5, 0.5, 2.5), (0.7, 0.9, 2.337), (3.0, 3.0, 3.0), (0.2, 1.0, 7.0))
TEXTURES = ("glcm", "glrlm", "glszm", "gldm", "ngtdm")
FILTERS: dict[str, dict[str, Any]] = {
    "LoG": {"sigma": [1.0, 2.5]},
    "Wavelet": {},
    "Square": {},
    "SquareRoot": {},
    "Logarithm": {},
    "Exponential": {},
    "Gradient": {},
    "LBP3D": {"binWidth": 0.5},
}


def random_region(_: Files, rng: Rng) -> Files:
    """One case: image and mask as NumPy files, spacing and the parameters of the feature set as JSON."""
    mask = _mask(rng)
    image = _values(mask.shape, rng)
    case = {"spacing": pick(rng, SPACINGS), "parameters": _parameters(image, mask, rng)}
    return {"image.npy": _file(image), "mask.npy": _file(mask), "case.json": json.dumps(case).encode()}


def region_seeds(_: object) -> list[Files]:
    """Cases that call every kernel once, so that all is compiled before memory is limited."""
    return [random_region({}, np.random.default_rng([20, number])) for number in range(20)]


def _file(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _mask(rng: Rng) -> np.ndarray:
    """A box, a ball, specks, a line or a slice of at most ``MAX_VOXELS`` voxels, somewhere in an image."""
    inner = rng.integers(2, 15, 3)
    if rng.random() < 0.1:
        inner[rng.integers(3)] = 1
    if rng.random() < 0.04:
        inner = rng.permutation([1, 1, int(rng.integers(2, 40))])
    kind = pick(rng, ("box", "ball", "ball", "specks", "specks", "specks", "few"))
    inside = np.ones(inner, bool)
    if kind == "ball":
        axes = np.meshgrid(*[np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in inner], indexing="ij")
        inside = sum(axis**2 for axis in axes) <= 1.2
    elif kind != "box":
        inside = rng.random(inner) < (rng.uniform(0.1, 0.95) if kind == "specks" else 0.03)
    places = np.flatnonzero(inside)
    inside.flat[rng.permutation(places)[MAX_VOXELS:]] = False
    if not inside.any():
        inside.flat[rng.integers(inside.size)] = True
    margins = rng.integers(0, 7, (3, 2)) * (rng.random((3, 2)) < 0.8)
    return np.pad(inside.astype(np.uint8), margins)


def _values(shape: tuple[int, ...], rng: Rng) -> np.ndarray:
    """Noise, plateaus, a flat image, few values, extremes; whole numbers or fractions, some far from any HU."""
    noise = rng.normal(size=shape)
    kind = pick(rng, ("noise", "noise", "plateau", "flat", "two", "metal", "metal", "extremes", "ramp", "tiny"))
    array = 40 + 10 ** rng.uniform(0, 2.5) * noise
    if kind == "plateau":
        array = array.clip(*np.sort(rng.normal(40, 60, 2)))
    elif kind == "flat":
        array = np.full(shape, pick(rng, (0.0, 1.0, -1024.0, 25.0, 3071.0, 99.9)))
    elif kind == "two":
        array = np.where(noise > 0, *rng.integers(-1000, 1000, 2))
    elif kind == "metal":
        array[rng.random(shape) < 0.02] = pick(rng, (3071, 30710, 32700, 32767, -32768, 65535, 1e5))
    elif kind == "ramp":
        array = array * 0 + np.arange(array.size).reshape(shape) * pick(rng, (0.01, 1, 7))
    elif kind == "tiny":
        array = noise * 1e-5
    code = pick(rng, INTEGERS if rng.random() < 0.7 else REALS)
    if kind == "extremes":
        return _extremes(shape, np.dtype(code), rng)
    limits = np.iinfo(code) if code[0] != "f" else np.finfo(np.float32)
    return np.clip(array, float(limits.min), min(float(limits.max), 2.0**62)).astype(code)


def _extremes(shape: tuple[int, ...], kind: np.dtype, rng: Rng) -> np.ndarray:
    """Values at or near the ends of the type, or far from 0."""
    if kind.kind == "f":
        return (pick(rng, (1e6, 1e12, 1e30, -1e30)) * (1 + rng.normal(size=shape) * 1e-3)).astype(kind)
    limits = np.iinfo(kind)
    ends = [min(limits.max, 2**40), max(limits.min, -(2**40)), min(limits.max, 2**40) - int(rng.integers(100)), 0]
    return rng.choice(np.array(ends[: int(rng.integers(1, 5))], np.int64), shape).astype(kind)


def _parameters(image: np.ndarray, mask: np.ndarray, rng: Rng) -> dict[str, Any]:
    """Sections of a parameter file; mostly bins that make 2 to 300 levels."""
    filters = [name for name in FILTERS if rng.random() < 0.15]
    types = {"Original": {}} | {name: dict(FILTERS[name]) for name in filters}
    if filters and rng.random() < 0.1:
        del types["Original"]
    classes: dict[str, Any] = {name: None for name in ("shape", "firstorder", *TEXTURES) if rng.random() < 0.85}
    setting = _bins(image[mask == 1], rng) | _grid(rng) | _rare(rng)
    if not classes or rng.random() < 0.03:
        classes = {"firstorder": None}
    if setting.get("force2D") and rng.random() < 0.3:
        classes["shape2D"] = None
    found = {"imageType": types, "featureClass": classes, "setting": setting}
    # above some hundred levels PyRadiomics takes minutes
    return found | {"gc_ray": {"max_grey_levels": int(pick(rng, (60, 200, 350)))}}


def _bins(values: np.ndarray, rng: Rng) -> dict[str, Any]:
    if rng.random() < 0.2:
        return {"binCount": int(pick(rng, (1, 2, 8, 32, 60)))}
    if rng.random() < 0.3:
        return {"binWidth": pick(rng, (25, 25.0, 5, 200, 300, 70000, 0.01, 1e9))}
    spread = float(values.max()) - float(values.min())
    width = spread / 10 ** rng.uniform(0.3, 2.3) or 25.0
    return {"binWidth": max(1, round(width)) if rng.random() < 0.6 else width}


def _grid(rng: Rng) -> dict[str, Any]:
    if rng.random() < 0.35:
        return {"preCrop": True, "padDistance": int(rng.integers(0, 6))} if rng.random() < 0.3 else {}
    spacing = pick(rng, ([1, 1, 1], [1, 1, 1], [2, 2, 2], [1, 1, 0], [0.9, 1.1, 1.7]))
    interpolator = pick(rng, ("sitkBSpline", "sitkBSpline", "sitkBSpline", "sitkLinear", "sitkNearestNeighbor"))
    return {
        "resampledPixelSpacing": spacing,
        "interpolator": interpolator,
        "padDistance": int(pick(rng, (0, 3, 5, 10))),
    }


def _rare(rng: Rng) -> dict[str, Any]:
    """Settings that few use, some of them together."""
    choices: dict[str, Any] = {
        "normalize": True,
        "removeOutliers": 2,
        "resegmentRange": pick(rng, ([-1, 1], [0.2, 0.9], [0, 100], [2, 3], [-200])),
        "resegmentMode": pick(rng, ("sigma", "relative", "absolute")),
        "resegmentShape": True,
        "force2D": True,
        "force2Ddimension": int(rng.integers(3)),
        "distances": pick(rng, ([1, 2], [2], [3])),
        "weightingNorm": pick(rng, ("euclidean", "no_weighting", "infinity")),
        "gldm_a": 1,
        "symmetricalGLCM": False,
        "voxelArrayShift": pick(rng, (1000, -5, 10**12)),
        "minimumROIDimensions": int(pick(rng, (1, 1, 3))),
        "minimumROISize": 5,
    }
    return {name: value for name, value in choices.items() if rng.random() < 0.12}
