"""How much two shapes on an image cover each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
_GRID: Final = 128
_POINT_REACH: Final = 10.0
"""How far two key points may lie apart in each direction to be the same, in pixels."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A labelled shape: the corners of a polygon (a box has four), or the single place of a point."""

    label: str
    points: Points
    is_box: bool


def read_shapes(value: list[Mapping[str, Any]]) -> list[Shape]:
    """Read an answer's shapes."""
    return [_read_shape(shape) for shape in value]


def _read_shape(shape: Mapping[str, Any]) -> Shape:
    label = str(shape["label"])
    if shape["type"] == "box":
        left, top = shape["x"], shape["y"]
        right, bottom = left + shape["width"], top + shape["height"]
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        return Shape(label, np.array(corners, dtype=np.float64), is_box=True)
    corners = shape["points"] if shape["type"] == "polygon" else [(shape["x"], shape["y"])]
    return Shape(label, np.array(corners, dtype=np.float64), is_box=False)


def overlap(one: Shape, other: Shape) -> float:
    """Return the intersection over union of two areas; of two points, whether they are near."""
    if len(one.points) == 1 or len(other.points) == 1:
        if len(one.points) != len(other.points):
            return 0.0
        return float(np.abs(one.points - other.points).max() <= _POINT_REACH)
    low = np.maximum(one.points.min(axis=0), other.points.min(axis=0))
    high = np.minimum(one.points.max(axis=0), other.points.max(axis=0))
    if (high <= low).any():
        return 0.0
    if one.is_box and other.is_box:
        common = float(np.prod(high - low))
        return common / (_area(one.points) + _area(other.points) - common)
    return _raster_overlap(one.points, other.points)


def _area(points: Points) -> float:
    """Return a polygon's area by the shoelace formula."""
    x, y = points[:, 0], points[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _raster_overlap(one: Points, other: Points) -> float:
    """Sample the common bounding box on a fixed grid (an error of about 1/_GRID, always the same)."""
    both = np.vstack([one, other])
    low, high = both.min(axis=0), both.max(axis=0)
    steps = (np.arange(_GRID) + 0.5) / _GRID
    x, y = np.meshgrid(low[0] + steps * (high[0] - low[0]), low[1] + steps * (high[1] - low[1]))
    in_one, in_other = _inside(one, x, y), _inside(other, x, y)
    union = int((in_one | in_other).sum())
    return int((in_one & in_other).sum()) / union if union else 0.0


def _inside(corners: Points, x: Points, y: Points) -> npt.NDArray[np.bool_]:
    """Return which places lie inside a polygon, by the even-odd rule."""
    inside = np.zeros(x.shape, dtype=bool)
    ends = np.roll(corners, -1, axis=0)
    for (x0, y0), (x1, y1) in zip(corners, ends, strict=True):
        if y0 == y1:
            continue
        crosses = (y0 > y) != (y1 > y)
        inside ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return inside
