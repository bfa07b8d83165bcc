"""Which shapes of several people mark the same object."""

from collections.abc import Iterator, Sequence

import numpy as np
import shapely
from scipy.optimize import linear_sum_assignment

from marketplace.quality.geometry import REACH, Shape, is_match, overlap


def candidates(shapes: Sequence[Shape]) -> Iterator[tuple[int, int]]:
    """Yield the pairs (i < j) of one label and family that touch at all, found by an R-tree, not by trying all."""
    outlines = np.array([_searched(shape) for shape in shapes], dtype=object)
    left, right = shapely.STRtree(outlines).query(outlines, predicate="intersects")
    for i, j in zip(left.tolist(), right.tolist(), strict=True):
        if i < j and shapes[i].label == shapes[j].label and shapes[i].family == shapes[j].family:
            yield i, j


def _searched(shape: Shape) -> shapely.Geometry:
    """A key point is looked for within twice its reach; beyond, it cannot be near."""
    return shape.outline.buffer(2 * REACH) if shape.family == "point" else shape.outline


def paired_overlap(one: Sequence[Shape], other: Sequence[Shape]) -> float:
    """Return the greatest sum of overlaps when each shape is paired with at most one of its label.

    The assignment problem, solved exactly (Kuhn 1955; scipy's implementation is Crouse's of 2016).
    """
    gain = np.zeros((len(one), len(other)))
    for i, j in candidates([*one, *other]):
        if i < len(one) <= j:
            gain[i, j - len(one)] = overlap(one[i], other[j - len(one)])
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return float(gain[rows, columns].sum())


def group(shapes: Sequence[Shape], owners: Sequence[int]) -> list[list[int]]:
    """Return groups of shapes that mark one object, each with at most one shape of an owner; indices in order.

    Pairs are joined from the best overlap down while they match; a group takes another in when, on average, their
    members match (average linkage), so that a chain of shapes, each half over the next, does not become one object.
    """
    pairs = [(overlap(shapes[i], shapes[j]), i, j) for i, j in candidates(shapes) if owners[i] != owners[j]]
    matching = {(i, j): alike for alike, i, j in pairs if is_match(shapes[i], shapes[j])}
    home = list(range(len(shapes)))
    groups: dict[int, list[int]] = {index: [index] for index in home}
    for (i, j), _ in sorted(matching.items(), key=lambda item: (-round(item[1], 9), item[0])):
        one, other = sorted((home[i], home[j]))
        if one != other and _joinable(groups[one], groups[other], owners, matching):
            groups[one] += groups.pop(other)
            for index in groups[one]:
                home[index] = one
    return [sorted(members) for _, members in sorted(groups.items())]


def _joinable(
    one: Sequence[int], other: Sequence[int], owners: Sequence[int], matching: dict[tuple[int, int], float]
) -> bool:
    if {owners[i] for i in one} & {owners[j] for j in other}:
        return False
    hits = sum((min(i, j), max(i, j)) in matching for i in one for j in other)
    return 2 * hits > len(one) * len(other)
