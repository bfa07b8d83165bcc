"""Copying: pairs of workers who agree more often than two who look for themselves would.

For a common task with posterior P(c), two independent workers agree with q = Σ_c P(c) Σ_k A_ck B_ck; over their common
tasks z = (agreements − Σq) / √Σq(1−q). Hard tasks make honest workers err together, so z is set against the pairs'
own spread where there are enough of them (Efron, "Large-Scale Simultaneous Hypothesis Testing: The Choice of a Null
Hypothesis", JASA 99, 2004), and never against less than theory's. Pairs stand by Benjamini and Hochberg's rule.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, triu

from marketplace.quality.fraud.tails import at_least, discoveries, upper_tail, z_score
from marketplace.quality.fraud.votes import Fit, Votes

MIN_COMMON: Final = 20
FALSE_DISCOVERIES: Final = 0.01
"""The expected share of pairs that are wrongly named among all that are."""
PAIRS_FOR_NULL: Final = 20
LATER_SHARE: Final = 0.95
_WORTH_A_LOOK: Final = 2.0
_MAD_TO_SIGMA: Final = 1.4826

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two workers (their codes) with at least `MIN_COMMON` common tasks, and what the test says of them.

    `later` is who answered nearly all of their common tasks after the other and so is the copier, None when it cannot
    be told.
    """

    one: int
    other: int
    common: int
    agreements: int
    z: float
    p_value: float
    is_copied: bool = False
    later: int | None = None


def find_copiers(votes: Votes, fit: Fit) -> list[Pair]:
    """Return the pairs that overlap enough, in the order of their workers; those that copy have `is_copied`."""
    votes_of = [np.flatnonzero(votes.worker == worker) for worker in range(len(votes.workers))]
    measured = [_measure(votes, fit, votes_of, one, other) for one, other in _overlapping(votes)]
    shift, width = _null([z for _, z, _ in measured])
    pairs = []
    for pair, z, chances in measured:
        p_value = upper_tail((z - shift) / width)
        if z > _WORTH_A_LOOK:  # few coins, or lopsided ones, are not normal: the exact tail must agree
            p_value = max(p_value, at_least(pair.agreements, chances))
        pairs.append((pair, z, p_value))
    stands = discoveries([p_value for _, _, p_value in pairs], FALSE_DISCOVERIES)
    return [
        Pair(pair.one, pair.other, pair.common, pair.agreements, z, p_value, found, pair.later)
        for (pair, z, p_value), found in zip(pairs, stands, strict=True)
    ]


def _overlapping(votes: Votes) -> list[tuple[int, int]]:
    """Return the pairs with enough common tasks, from a sparse product: pairs without any are never looked at."""
    shape = (len(votes.workers), len(votes.tasks))
    met = csr_matrix((np.ones(len(votes.task), dtype=np.int32), (votes.worker, votes.task)), shape=shape)
    common = triu(met @ met.T, k=1).tocoo()
    enough = common.data >= MIN_COMMON
    return sorted(zip(common.row[enough].tolist(), common.col[enough].tolist(), strict=True))


def _measure(
    votes: Votes, fit: Fit, votes_of: list[Ints], one: int, other: int
) -> tuple[Pair, float, npt.NDArray[np.float64]]:
    mine, theirs = votes_of[one], votes_of[other]
    tasks, at_mine, at_theirs = np.intersect1d(
        votes.task[mine], votes.task[theirs], assume_unique=True, return_indices=True
    )
    mine, theirs = mine[at_mine], theirs[at_theirs]
    agree_given_truth = (fit.confusion[one] * fit.confusion[other]).sum(axis=1)
    chances = np.clip(fit.posterior[tasks] @ agree_given_truth, 0.0, 1.0)
    agreements = int((votes.label[mine] == votes.label[theirs]).sum())
    after = float((votes.moment[mine] > votes.moment[theirs]).mean())
    before = float((votes.moment[mine] < votes.moment[theirs]).mean())
    later = one if after >= LATER_SHARE else other if before >= LATER_SHARE else None
    z = z_score(agreements, chances)
    return Pair(one, other, len(tasks), agreements, z, 1.0, later=later), z, chances


def _null(scores: list[float]) -> tuple[float, float]:
    """Return centre and width of the pairs' own null, never kinder to an accusation than the standard normal."""
    if len(scores) < PAIRS_FOR_NULL:
        return 0.0, 1.0
    centre = float(np.median(scores))
    width = _MAD_TO_SIGMA * float(np.median(np.abs(np.asarray(scores) - centre)))
    return max(centre, 0.0), max(width, 1.0)
