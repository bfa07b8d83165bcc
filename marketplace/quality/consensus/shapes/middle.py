"""The geometry of an object from the shapes that several workers drew of it, each with a weight.

Boxes: the weighted median of each side, which one bad corner does not move. Key points: the weighted geometric median
(Weiszfeld 1937). Polygons and masks: what more than half of the weight covers; for polygons exactly, by cutting the
plane along all outlines; for masks pixel by pixel.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

from marketplace.quality.geometry import Shape, draw, encode_mask

Floats = npt.NDArray[np.float64]
_ROUNDS: Final = 100
_STILL: Final = 1e-6
_TINY: Final = 1e-9
_SMOOTH: Final = 0.5
"""How far, in pixels, a polygon's outline may move when points that say nothing are left out."""


def middle_shape(shapes: Sequence[Shape], weights: Sequence[float]) -> Mapping[str, Any]:
    """Return the shape in the middle of these, as an answer holds it; they share label and family.

    Of boxes among polygons the majority by weight decides the type.
    """
    share = np.array(weights, dtype=np.float64)
    if len(shapes) == 1:
        return shapes[0].row
    label = shapes[0].label
    if shapes[0].family == "point":
        x, y = geometric_median(np.array([[s.row["x"], s.row["y"]] for s in shapes], dtype=np.float64), share)
        return {"type": "keypoint", "label": label, "x": x, "y": y}
    if shapes[0].family == "mask":
        return _common_mask(shapes, share)
    boxes = np.array([shape.type == "box" for shape in shapes])
    if share[boxes].sum() * 2 >= share.sum():
        return _middle_box([s for s in shapes if s.type == "box"], share[boxes], label)
    return _common_area(shapes, share)


def weighted_median(numbers: Floats, share: Floats) -> float:
    """Return the number below and above which half of the weight lies; the middle of two where it falls between."""
    order = np.argsort(numbers, kind="stable")
    reached = np.cumsum(share[order]) / share.sum()
    index = int(np.searchsorted(reached, 0.5 - _TINY))
    value = float(numbers[order][index])
    if abs(reached[index] - 0.5) < _TINY and index + 1 < len(numbers):
        return (value + float(numbers[order][index + 1])) / 2
    return value


def geometric_median(points: Floats, share: Floats) -> tuple[float, float]:
    """Return the place with the least weighted distance to all points (n × 2), by Weiszfeld's iteration."""
    place = np.average(points, axis=0, weights=share)
    for _ in range(_ROUNDS):
        pull = share / np.maximum(np.hypot(*(points - place).T), _TINY)
        nearer = np.average(points, axis=0, weights=pull)
        if np.hypot(*(nearer - place)) < _STILL:
            break
        place = nearer
    return float(place[0]), float(place[1])


def _middle_box(boxes: Sequence[Shape], share: Floats, label: str) -> dict[str, Any]:
    sides = np.array([shape.outline.bounds for shape in boxes])
    left, top, right, bottom = (weighted_median(sides[:, side], share) for side in range(4))
    return {"type": "box", "label": label, "x": left, "y": top, "width": right - left, "height": bottom - top}


def _common_area(shapes: Sequence[Shape], share: Floats) -> Mapping[str, Any]:
    """Return the outline of what most of the weight covers: the largest piece, without holes.

    Where nothing is covered by more than half, the shape with the greatest weight stays as it was drawn.
    """
    lines = shapely.union_all([shape.outline.boundary for shape in shapes])
    faces = shapely.get_parts(shapely.polygonize([lines]))
    inner = shapely.point_on_surface(faces)
    covered = sum(w * shapely.covers(s.outline, inner) for s, w in zip(shapes, share, strict=True))
    kept = faces[np.asarray(covered) > share.sum() / 2 + _TINY] if len(faces) else faces
    pieces = [piece for piece in shapely.get_parts(shapely.union_all(kept)) if isinstance(piece, shapely.Polygon)]
    if not pieces:
        return shapes[int(np.argmax(share))].row
    largest = max(pieces, key=lambda piece: piece.area)
    return {"type": "polygon", "label": shapes[0].label, "points": _corners(largest)}


def _corners(area: BaseGeometry) -> list[list[float]]:
    outer = shapely.Polygon(area.exterior)
    smooth = outer.simplify(_SMOOTH)
    ring = (smooth if isinstance(smooth, shapely.Polygon) and not smooth.is_empty else outer).exterior
    return [[float(x), float(y)] for x, y in ring.coords[:-1]]


def _common_mask(shapes: Sequence[Shape], share: Floats) -> Mapping[str, Any]:
    covered = sum(weight * draw(shape) for shape, weight in zip(shapes, share, strict=True))
    pixels = np.asarray(covered) > share.sum() / 2 + _TINY
    if not pixels.any():
        return shapes[int(np.argmax(share))].row
    return {"type": "mask", "label": shapes[0].label, **encode_mask(pixels)}
