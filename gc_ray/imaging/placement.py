"""Where the voxels of one grid fall on another, when every voxel centre of one is a voxel centre of the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gc_ray.errors import MaskError
from gc_ray.imaging.grid import Grid
from gc_ray.imaging.scan import Notes

SAME_GRID_MM = 1e-3  # float32 and decimal headers of one scan differ by up to 6e-5 mm
REMARKED_MM = 1e-6  # PyRadiomics' own tolerance: above it the difference is noted
AXES = "xyz"


@dataclass(frozen=True)
class Placement:
    """How a mask's voxels lie on a CT's grid, without any resampling.

    Attributes
    ----------
    axes : tuple of int
        For each axis of the CT (x, y, z) the axis of the mask that runs along it.
    reversed : tuple of bool
        For each axis of the CT whether the mask's runs the other way.
    start, size : tuple of int
        The part of the CT's grid that the mask covers (x, y, z); it may reach beyond the grid.
    distance_mm : float
        The largest distance between voxel centres that are taken as equal.
    """

    axes: tuple[int, int, int]
    reversed: tuple[bool, bool, bool]
    start: tuple[int, int, int]
    size: tuple[int, int, int]
    distance_mm: float

    @property
    def turned(self) -> bool:
        """Whether axes are exchanged or reversed."""
        return self.axes != (0, 1, 2) or any(self.reversed)

    def inside(self, ct: Grid) -> bool:
        """Whether the CT's grid holds every voxel of the mask."""
        return all(s >= 0 and s + n <= m for s, n, m in zip(self.start, self.size, ct.size, strict=True))

    def overlaps(self, ct: Grid) -> bool:
        """Whether the CT's grid holds any voxel of the mask."""
        return all(s < m and s + n > 0 for s, n, m in zip(self.start, self.size, ct.size, strict=True))


def find_placement(mask: Grid, ct: Grid) -> Placement | None:
    """The placement of a grid on another, None when voxel centres do not coincide within 1e-3 mm."""
    first = ct.mm_to_index(mask.index_to_mm(np.zeros(3)))
    steps = ct.mm_to_index(mask.index_to_mm(np.eye(3))) - first  # row j: one voxel along the mask's axis j
    if not (np.isfinite(steps).all() and np.abs(first).max() < 2**31 and np.abs(steps).max() < 2**31):
        return None
    whole, origin = np.rint(steps).astype(int), np.rint(first).astype(int)
    if not ((np.abs(whole).sum(axis=0) == 1).all() and (np.abs(whole).sum(axis=1) == 1).all()):
        return None
    # one step, since an axis of a single voxel has no second corner that would show another spacing
    if not np.linalg.norm((steps - whole) * np.asarray(ct.spacing_mm), axis=1).max() <= SAME_GRID_MM:
        return None
    last = np.array(mask.size) - 1
    corners = np.stack(np.meshgrid(*[(0, n) for n in last], indexing="ij"), -1).reshape(-1, 3)
    apart = mask.index_to_mm(corners) - ct.index_to_mm(corners @ whole + origin)
    distance = float(np.linalg.norm(apart, axis=1).max())
    if not distance <= SAME_GRID_MM:
        return None
    axes = np.abs(whole).argmax(axis=0)
    back = whole.sum(axis=0) < 0
    size = np.array(mask.size)[axes]
    start = origin - np.where(back, size - 1, 0)
    return Placement(_ints(axes), tuple(back.tolist()), _ints(start), _ints(size), distance)


def match_grid(mask: Grid, ct: Grid, name: str, hints: tuple[str, ...] = ()) -> tuple[Placement, Notes]:
    """The placement of a mask on its CT, with repair notes when it is no identity.

    Parameters
    ----------
    mask, ct : Grid
        The two grids.
    name : str
        The mask's file, for messages.
    hints : tuple of str
        What else is known of the mask's header and may explain a refusal.

    Raises
    ------
    MaskError
        When voxel centres do not coincide; when a mask of the CT's size is shifted; and when a mask whose axes run
        another way reaches beyond the CT: its header is doubtful then.
    """
    placed = find_placement(mask, ct)
    if placed is None or not placed.overlaps(ct) or not (placed.inside(ct) or _only_larger(placed, ct)):
        known = "".join(f" ({hint})" for hint in hints)
        raise MaskError(
            f"{name}: geometry mismatch with the CT: {_difference(mask, ct)}{known}; make the mask on this CT's grid"
        )
    repairs = []
    if placed.turned:
        repairs.append(
            f"{name}: axes run another way than the CT's ({_turn(placed)}): exact index flip, values equal"
        )
    if placed.size != ct.size:
        repairs.append(f"{name}: {_cover(placed, ct)}")
    if placed.distance_mm > REMARKED_MM:
        repairs.append(
            f"{name}: grid differs from the CT's by {placed.distance_mm:.1e} mm (origin or rounding), taken as equal"
        )
    return placed, Notes(tuple(repairs))


def put_on_grid(inside: np.ndarray, placed: Placement, ct: Grid, what: str) -> np.ndarray:
    """A region on the CT's grid.

    Parameters
    ----------
    inside : array (z, y, x) of the mask's own grid
        Boolean or 0 and 1.
    placed : Placement
        From ``match_grid``.
    what : str
        Whose region it is, for the message.

    Returns
    -------
    array (z, y, x) of the CT's grid, uint8

    Raises
    ------
    MaskError
        When voxels of the region lie outside the CT's grid.
    """
    turned = inside.transpose(2, 1, 0).transpose(placed.axes)  # x, y, z of the CT
    turned = turned[tuple(slice(None, None, -1 if back else 1) for back in placed.reversed)]
    begin, end = np.maximum(placed.start, 0), np.minimum(np.add(placed.start, placed.size), ct.size)
    part = turned[tuple(slice(b - s, e - s) for b, e, s in zip(begin, end, placed.start, strict=True))]
    outside = np.count_nonzero(turned) - np.count_nonzero(part) if part.size < turned.size else 0
    if outside:
        raise MaskError(
            f"{what}: {outside} of its voxels lie outside the CT's grid; wanted the mask of this CT, or the whole CT"
        )
    whole = np.zeros(ct.shape, np.uint8)
    whole.transpose(2, 1, 0)[tuple(slice(b, e) for b, e in zip(begin, end, strict=True))] = part
    return whole


def _only_larger(placed: Placement, ct: Grid) -> bool:
    """Whether a mask reaches beyond the CT without its axes turned, and is not simply the CT's size shifted."""
    return not placed.turned and placed.size != ct.size


def _turn(placed: Placement) -> str:
    back = [AXES[i] for i, is_back in enumerate(placed.reversed) if is_back]
    parts = [f"{' and '.join(back)} reversed"] if back else []
    if placed.axes != (0, 1, 2):
        parts.append("its axes " + ", ".join(AXES[a] for a in placed.axes) + " along the CT's x, y, z")
    return ", ".join(parts)


def _cover(placed: Placement, ct: Grid) -> str:
    if placed.inside(ct):
        return f"covers a part of the CT's grid ({placed.size} voxels from {placed.start} on), cropped; padded with 0"
    return (
        f"covers {placed.size} voxels from {placed.start} on where the CT has {ct.size}; cropped to the CT, outside "
        "which the region must have no voxel, and padded with 0"
    )


def _difference(mask: Grid, ct: Grid) -> str:
    size = f"size {mask.size} where the CT has {ct.size} voxels"
    if not np.allclose(mask.direction, ct.direction, atol=1e-4):
        what = "direction differs (axes flipped, permuted or rotated), and voxels do not coincide"
    elif not np.allclose(mask.spacing_mm, ct.spacing_mm, rtol=0, atol=1e-4):
        what = f"spacing {_vector(mask.spacing_mm)} where the CT has {_vector(ct.spacing_mm)} mm"
    else:
        shift = np.subtract(mask.origin_mm, ct.origin_mm)
        what = f"origin differs by {_vector(shift)} mm, {_vector(ct.mm_to_index(mask.origin_mm))} voxels"
    return what if mask.size == ct.size else f"{size}, {what}"


def _vector(values: np.ndarray | tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{round(float(v), 3) + 0.0:.3f}" for v in values) + ")"


def _ints(values: np.ndarray) -> tuple[int, int, int]:
    x, y, z = (int(v) for v in values)
    return x, y, z
