"""Agreement on answers that are alike rather than equal: shapes (intersection over union), texts, sets of options."""

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from marketplace.quality.agreement.measure import bootstrap


class SimilarityAgreement(NamedTuple):
    """The mean similarity of pairs of answers to the same task, 0 to 1, with its 95 % interval; None where none."""

    mean: float | None
    low: float | None
    high: float | None
    pairs: int


def similarity_of(
    task: npt.ArrayLike,
    similarity: Callable[[int, int], float],
    *,
    seed: int = 0,
    resamples: int = 200,
    most_pairs: int = 20,
) -> SimilarityAgreement:
    """Average `similarity(i, j)` over pairs of answers `i`, `j` (places in `task`) to one task, then over the tasks.

    A task weighs the same however many answers it has. Of a task with more than `most_pairs` pairs that many are drawn,
    so that the cost grows with the answers. The interval is that of `measure.bootstrap`.
    """
    codes = np.asarray(task).reshape(-1)
    random = np.random.default_rng(seed)
    means: list[float] = []
    pairs = 0
    for places in _groups(codes):
        chosen = list(combinations(places, 2))
        if len(chosen) > most_pairs:
            chosen = [chosen[index] for index in sorted(random.choice(len(chosen), most_pairs, replace=False))]
        if chosen:
            means.append(float(np.mean([similarity(one, other) for one, other in chosen])))
            pairs += len(chosen)
    if not means:
        return SimilarityAgreement(None, None, None, 0)
    values = np.array(means)
    ((low, high),) = bootstrap([lambda weight: float(weight @ values / weight.sum())], len(values), seed, resamples)
    return SimilarityAgreement(float(values.mean()), low, high, pairs)


def _groups(codes: npt.NDArray[np.generic]) -> Iterator[list[int]]:
    order = np.argsort(codes, kind="stable")
    _, starts = np.unique(codes[order], return_index=True)
    for places in np.split(order, starts[1:]):
        yield [int(place) for place in places]
