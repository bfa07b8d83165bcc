"""Shapes on an image, and how much two of them cover each other.

Boxes and polygons are areas in the plane (shapely), masks are areas of pixels (COCO's run-length code, pycocotools),
key points are places. The measure is intersection over union (Jaccard) for areas; key points have none, so that theirs
is the object keypoint similarity of COCO, exp(−d²/2s²), with one reach `s` for all, since no object's size is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import shapely
from pycocotools import mask as coco
from shapely.geometry.base import BaseGeometry

Floats = npt.NDArray[np.float64]
REACH: Final = 10.0
"""How far two key points may lie apart to count as near, in pixels."""
_NEAR: Final = 0.6065306597126334
"""exp(−½): the similarity of two key points at `REACH`."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A labelled shape of an answer.

    `outline` is its area in the plane, for a key point its place, for a mask the box around it. `runs` is a mask's
    compressed run-length code. `row` is the shape as it was given.
    """

    label: str
    type: str
    outline: BaseGeometry
    row: Mapping[str, Any]
    runs: dict[str, Any] | None = None

    @property
    def family(self) -> str:
        """What can be compared with it: "area" (boxes, polygons), "mask" or "point"."""
        return {"mask": "mask", "keypoint": "point"}.get(self.type, "area")


def read_shapes(value: Sequence[Mapping[str, Any]]) -> list[Shape]:
    """Read an answer's shapes."""
    return [_read_shape(row) for row in value]


def _read_shape(row: Mapping[str, Any]) -> Shape:
    label, kind = str(row["label"]), str(row["type"])
    if kind == "mask":
        runs = _compressed(row)
        left, top, width, height = coco.toBbox(runs)
        return Shape(label, kind, shapely.box(left, top, left + width, top + height), row, runs)
    if kind == "keypoint":
        return Shape(label, kind, shapely.Point(row["x"], row["y"]), row)
    if kind == "box":
        corner = (row["x"] + row["width"], row["y"] + row["height"])
        return Shape(label, kind, shapely.box(row["x"], row["y"], *corner), row)
    return Shape(label, kind, _polygon(row["points"]), row)


def _compressed(row: Mapping[str, Any]) -> dict[str, Any]:
    rows, columns = row["size"]
    runs: dict[str, Any] = coco.frPyObjects({"size": [rows, columns], "counts": list(row["counts"])}, rows, columns)
    return runs


def _polygon(points: Sequence[Sequence[float]]) -> BaseGeometry:
    """Return a polygon's area; outlines that cross themselves become what they enclose (even-odd rule)."""
    polygon = shapely.Polygon(points)
    return polygon if polygon.is_valid else shapely.make_valid(polygon)


def overlap(one: Shape, other: Shape) -> float:
    """Return how much two shapes cover each other, 0 to 1; shapes of different families do not."""
    if one.family != other.family:
        return 0.0
    if one.family == "point":
        distance = one.outline.distance(other.outline)
        return float(np.exp(-(distance**2) / (2 * REACH**2)))
    if one.runs is not None and other.runs is not None:
        if one.runs["size"] != other.runs["size"]:
            return 0.0
        return float(coco.iou([one.runs], [other.runs], [0])[0][0])
    union = one.outline.union(other.outline).area
    return float(one.outline.intersection(other.outline).area / union) if union else 0.0


def is_match(one: Shape, other: Shape, least: float = 0.5) -> bool:
    """Return whether two shapes mark one object: their overlap reaches `least`, key points lie within `REACH`."""
    bound = _NEAR if one.family == "point" else least
    return overlap(one, other) >= bound - 1e-9


def draw(shape: Shape) -> npt.NDArray[np.bool_]:
    """Return a mask's pixels, rows × columns."""
    counts = np.asarray(shape.row["counts"])
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(shape.row["size"], order="F")


def encode_mask(pixels: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return the size and run lengths of pixels, as an answer holds them."""
    flat = np.asarray(pixels, dtype=np.int8).ravel(order="F")
    changes = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
    counts = np.diff(np.concatenate([[0], changes, [flat.size]]))
    return {"size": list(pixels.shape), "counts": [int(count) for count in counts]}
