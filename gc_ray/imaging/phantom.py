"""A CT of the upper abdomen made of ellipsoids, with a tumour in the gastric wall whose texture is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from gc_ray.imaging.grid import Grid
from gc_ray.imaging.volume import Mask, Volume

Box = tuple[slice, ...]  # z, y, x

AIR_HU = -1000.0
FAT_HU = -95.0
HU_RANGE = (-1024, 3071)  # what 12 bits with an intercept of -1024 can hold
WALL_MM = 5.0  # gastric wall, distended stomach
OUTGROWTH_MM = 3.0  # how far a tumour passes the serosa; the rest of its thickness grows into the lumen
RIM_MM = 3.0  # an outline is drawn this far inside the visible border, to keep out of its blur
SHAPE_ROUGHNESS = 0.2  # SD of the random field that dents the tumour's surface, in units of its squared radius
VARIED_HU = 4.0  # SD between persons of an organ's mean HU, about that of portal venous enhancement
VARIED_MM = 3.0  # SD between persons of an organ's place along each axis
SHAPE_CORRELATION_MM = 25.0  # dents of a few centimetres: lobes, not fringes


@dataclass(frozen=True)
class Ellipsoid:
    """An organ: name, mean HU, centre and semi-axes (x, y, z; LPS, mm); an infinite semi-axis makes a cylinder."""

    name: str
    hu: float
    centre_mm: tuple[float, float, float]
    semi_axes_mm: tuple[float, float, float]


@dataclass(frozen=True)
class Texture:
    """Heterogeneity of a tissue: its mean HU, the SD about it and the distance at which correlation is 1/e."""

    mean_hu: float
    sd_hu: float
    correlation_mm: float


@dataclass(frozen=True)
class Scanner:
    """What a scanner adds: SD of the noise, its correlation length in plane, and the blur (Gaussian SD) in plane."""

    noise_hu: float
    noise_correlation_mm: float
    blur_mm: float


STOMACH = Ellipsoid("stomach wall", 80.0, (40.0, -30.0, 0.0), (62.0, 45.0, 52.0))

_TUBE = float("inf")
# Later organs cover earlier ones. Sizes of an adult lying on the back, HU as in clinical portal venous scans. The
# stomach is distended with water, as for staging; air is left in front. Water matters: against air, the blur at the
# border is an order of magnitude above any texture.
ABDOMEN = (
    Ellipsoid("subcutaneous fat", -100.0, (0.0, 0.0, 0.0), (170.0, 122.0, _TUBE)),
    Ellipsoid("abdominal wall", 60.0, (0.0, 0.0, 0.0), (156.0, 108.0, _TUBE)),
    Ellipsoid("visceral fat", FAT_HU, (0.0, 0.0, 0.0), (148.0, 100.0, _TUBE)),
    Ellipsoid("liver", 110.0, (-70.0, -10.0, 5.0), (70.0, 62.0, 80.0)),
    Ellipsoid("spleen", 120.0, (108.0, 32.0, 0.0), (24.0, 34.0, 48.0)),
    Ellipsoid("right kidney", 165.0, (-58.0, 58.0, -45.0), (27.0, 24.0, 52.0)),
    Ellipsoid("left kidney", 165.0, (58.0, 58.0, -40.0), (27.0, 24.0, 52.0)),
    Ellipsoid("aorta", 150.0, (10.0, 38.0, 0.0), (10.0, 10.0, _TUBE)),
    Ellipsoid("spine", 200.0, (0.0, 72.0, 0.0), (21.0, 19.0, _TUBE)),
    STOMACH,
    Ellipsoid("gastric water", 10.0, STOMACH.centre_mm, tuple(a - WALL_MM for a in STOMACH.semi_axes_mm)),
    Ellipsoid("gastric air", -900.0, (40.0, -50.0, 0.0), (42.0, 14.0, 35.0)),
)

MOVABLE = frozenset({"liver", "spleen", "right kidney", "left kidney", "aorta", "spine"})


def _axes_mm(grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates along z, y, x that broadcast to the grid's shape; the grid is axis-aligned."""
    x, y, z = (o + s * np.arange(n) for o, s, n in zip(grid.origin_mm, grid.spacing_mm, grid.size, strict=True))
    return z[:, None, None], y[None, :, None], x[None, None, :]


def _in_plane_radius2(organ: Ellipsoid, grid: Grid) -> np.ndarray:
    _, y, x = _axes_mm(grid)
    (cx, cy, _), (ax, ay, _) = organ.centre_mm, organ.semi_axes_mm
    return (((x - cx) / ax) ** 2 + ((y - cy) / ay) ** 2)[0]


def inside(organ: Ellipsoid, grid: Grid) -> np.ndarray:
    """Which voxel centres of an axis-aligned grid lie in the organ: bool (z, y, x)."""
    z = _axes_mm(grid)[0]
    return _in_plane_radius2(organ, grid) <= 1 - ((z - organ.centre_mm[2]) / organ.semi_axes_mm[2]) ** 2


def paint(organs: Sequence[Ellipsoid], grid: Grid) -> np.ndarray:
    """Mean HU of every voxel (float32; z, y, x) in air with the organs laid one over another."""
    image = np.full(grid.shape, AIR_HU, np.float32)
    z = _axes_mm(grid)[0].ravel()
    for organ in organs:
        radius2 = _in_plane_radius2(organ, grid)
        for k, room in enumerate(1 - ((z - organ.centre_mm[2]) / organ.semi_axes_mm[2]) ** 2):
            if room > 0:
                image[k][radius2 <= room] = organ.hu
    return image


def gaussian_field(shape: Sequence[int], sigma: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """A smooth random field (float32) of mean 0 and variance 1 at every point.

    sigma: SD in voxels of the Gaussian kernel along each axis of ``shape``. Two points at distance d correlate by
    exp(-(d / 2 sigma)^2), so 2 sigma is the distance at which the correlation is 1/e. The field is periodic.
    """
    field = rng.standard_normal(tuple(shape), dtype=np.float32)
    for axis, (n, s) in enumerate(zip(shape, sigma, strict=True)):
        impulse = np.zeros(n)
        impulse[0] = 1
        gain = np.linalg.norm(ndimage.gaussian_filter1d(impulse, s, mode="wrap"))
        field = ndimage.gaussian_filter1d(field, s, axis=axis, mode="wrap") / np.float32(gain)
    return field


def correlated_field(grid: Grid, correlation_mm: float, rng: np.random.Generator) -> np.ndarray:
    """A ``gaussian_field`` on the grid (z, y, x) whose correlation is 1/e at ``correlation_mm``."""
    return gaussian_field(grid.shape, [correlation_mm / 2 / s for s in grid.spacing_mm[::-1]], rng)


def wall_tumour(
    grid: Grid,
    direction: Sequence[float],
    length_mm: float,
    thickness_mm: float,
    rng: np.random.Generator,
    stomach: Ellipsoid = STOMACH,
) -> Mask:
    """A lens of random outline that follows the gastric wall: the largest connected part.

    direction: from the stomach's centre to the tumour's (x, y, z; any length).
    length_mm, thickness_mm: extent along the wall and across it, before the outline is roughened.
    """
    centre, axes = np.asarray(stomach.centre_mm), np.asarray(stomach.semi_axes_mm)
    unit = np.asarray(direction, float) / np.linalg.norm(np.asarray(direction, float) / axes)
    box, part = _around(grid, centre + unit, length_mm + thickness_mm)
    offsets = [c - o for c, o in zip(_axes_mm(part)[::-1], centre, strict=True)]
    reach = np.sqrt(sum(d**2 for d in offsets))
    radius = np.maximum(np.sqrt(sum((d / a) ** 2 for d, a in zip(offsets, axes, strict=True))), 1e-6)
    depth = reach * (1 - 1 / radius)
    along2 = sum((d / radius - u) ** 2 for d, u in zip(offsets, unit, strict=True))
    middle = OUTGROWTH_MM - thickness_mm / 2
    lens = along2 / (length_mm / 2) ** 2 + ((depth - middle) / (thickness_mm / 2)) ** 2
    rough = SHAPE_ROUGHNESS * correlated_field(part, SHAPE_CORRELATION_MM, rng)
    rough -= rough[lens < 1].mean()  # dents, not another size
    array = np.zeros(grid.shape, np.uint8)
    array[box] = _largest_part(lens < 1 + rough)
    return Mask(array, grid)


def _around(grid: Grid, centre_mm: np.ndarray, reach_mm: float) -> tuple[Box, Grid]:
    """The part of the grid within ``reach_mm`` of a point along every axis: slices (z, y, x) and its grid."""
    low, high = grid.mm_to_index(centre_mm - reach_mm), grid.mm_to_index(centre_mm + reach_mm)
    return _part(grid, np.ceil(low).astype(int), np.floor(high).astype(int) + 1)


def _about(mask: Mask, margin_mm: float) -> tuple[Box, Grid]:
    """The part of the grid that holds the region and ``margin_mm`` about it: slices (z, y, x) and its grid."""
    start, size = np.array(mask.bounding_box())
    margin = np.ceil(margin_mm / np.array(mask.grid.spacing_mm)).astype(int)
    return _part(mask.grid, start - margin, start + size + margin)


def _part(grid: Grid, low: np.ndarray, high: np.ndarray) -> tuple[Box, Grid]:
    """The voxels from ``low`` up to, not including, ``high`` (x, y, z) that are on the grid."""
    low, high = (np.clip(edge, 0, grid.size) for edge in (low, high))
    box = tuple(slice(int(a), int(b)) for a, b in zip(low[::-1], high[::-1], strict=True))
    return box, grid.crop(tuple(low), tuple(high - low))


def _largest_part(region: np.ndarray) -> np.ndarray:
    parts, count = ndimage.label(region)
    if count < 2:
        return region.astype(np.uint8)
    return (parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])).astype(np.uint8)


def scan(
    organs: Sequence[Ellipsoid], tumour: Mask, texture: Texture, scanner: Scanner, rng: np.random.Generator
) -> Volume:
    """The CT (int16 HU) of the organs and a tumour of this outline and texture, with the scanner's blur and noise.

    The tumour's tissue reaches ``RIM_MM`` beyond its outline. Noise is correlated within a slice, not between slices.
    """
    grid = tumour.grid
    image = paint(organs, grid)
    _fill(image, tumour, texture, rng, RIM_MM)
    blur, grain = (
        [mm / s for s in grid.spacing_mm[1::-1]] for mm in (scanner.blur_mm, scanner.noise_correlation_mm / 2)
    )
    voxels = np.empty(grid.shape, np.int16)
    for k in range(grid.size[2]):
        noise = scanner.noise_hu * gaussian_field(image[k].shape, grain, rng)
        voxels[k] = np.rint(np.clip(ndimage.gaussian_filter(image[k], blur) + noise, *HU_RANGE))
    return Volume(voxels, grid)


def _fill(image: np.ndarray, region: Mask, texture: Texture, rng: np.random.Generator, rim_mm: float) -> None:
    """Write the texture into ``image`` in the region and ``rim_mm`` about it; mean and SD are met in the region."""
    box, part = _about(region, rim_mm)
    chosen = region.array[box] == 1
    field = correlated_field(part, texture.correlation_mm, rng)
    spread = max(float(field[chosen].std()), 1e-6)  # a single voxel has none
    near = ndimage.distance_transform_edt(~chosen, part.spacing_mm[::-1]) <= rim_mm
    image[box][near] = (texture.mean_hu + texture.sd_hu * (field - field[chosen].mean()) / spread)[near]


def varied(organs: Sequence[Ellipsoid], rng: np.random.Generator) -> tuple[Ellipsoid, ...]:
    """The organs of another person: each mean HU changed a little, each of ``MOVABLE`` moved a little."""
    changed = []
    for organ in organs:
        hu, shift = rng.normal(0, VARIED_HU), rng.normal(0, VARIED_MM, 3)
        moved = tuple(float(v) for v in organ.centre_mm + shift)
        changed.append(
            replace(organ, hu=organ.hu + hu, centre_mm=moved if organ.name in MOVABLE else organ.centre_mm)
        )
    return tuple(changed)


def redrawn(mask: Mask, dice: float, rng: np.random.Generator) -> Mask:
    """The region as another hand would outline it: its border moved at random until the Dice overlap is ``dice``.

    The border moves by a smooth random field, whose amplitude is found by bisection; the overlap is met as closely
    as whole voxels allow, and at least one voxel is kept.
    """
    box, part = _about(mask, SHAPE_CORRELATION_MM / 2)
    region, spacing = mask.array[box] == 1, part.spacing_mm[::-1]
    distance = ndimage.distance_transform_edt(region, spacing) - ndimage.distance_transform_edt(~region, spacing)
    push = correlated_field(part, SHAPE_CORRELATION_MM / 2, rng)
    weak, strong = 0.0, float(distance.max())
    for _ in range(12):  # 12 halvings: finer than the voxels can show
        amplitude = (weak + strong) / 2
        overlap = dice_of(region, distance + amplitude * push > 0)
        weak, strong = (amplitude, strong) if overlap > dice else (weak, amplitude)
    moved = np.zeros_like(mask.array)
    moved[box] = distance + weak * push > 0
    return Mask(moved, mask.grid)


def dice_of(one: np.ndarray, other: np.ndarray) -> float:
    """Dice overlap of two boolean arrays of one shape, of which at least one is not empty."""
    return 2 * float(np.count_nonzero(one & other)) / float(np.count_nonzero(one) + np.count_nonzero(other))


def textured_ball(
    radius_mm: float = 10.0,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    texture: Texture = Texture(95.0, 20.0, 4.0),
    rng: np.random.Generator | None = None,
) -> tuple[Volume, Mask]:
    """A textured ball (int16 HU) in uniform fat, and its mask, with 5 voxels of margin: a small scan for tests.

    rng: seed 0 by default, so that the ball without arguments is always the same one.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    size = tuple(2 * (int(radius_mm / s) + 5) + 1 for s in spacing_mm)
    grid = Grid(size, spacing_mm, tuple(-s * (n - 1) / 2 for s, n in zip(spacing_mm, size, strict=True)))
    ball = Ellipsoid("ball", texture.mean_hu, (0.0, 0.0, 0.0), (radius_mm,) * 3)
    mask = Mask(inside(ball, grid).astype(np.uint8), grid)
    image = np.full(grid.shape, FAT_HU, np.float32)
    _fill(image, mask, texture, rng, rim_mm=0.0)
    return Volume(np.rint(image).astype(np.int16), grid), mask
