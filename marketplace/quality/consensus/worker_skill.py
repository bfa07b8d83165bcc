"""A worker's accuracy on a request as a number with an interval, from how many of their answers were right."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import numpy as np
import numpy.typing as npt

from marketplace.quality.consensus.engine import WorkerSkill
from marketplace.quality.policy import PRIOR_STRENGTH, beta_interval, smoothed_accuracy

Floats = npt.NDArray[np.float64]


def skills_of(
    workers: Sequence[UUID], right: npt.ArrayLike, answers: npt.ArrayLike, gold: npt.ArrayLike
) -> Mapping[UUID, WorkerSkill]:
    """Return each worker's skill: the mean and the central 95 % of a Beta posterior.

    `right[j]` is the expected number of right answers among the `answers[j]` of worker `j`, `gold[j]` how many went to
    tasks whose truth is known. The prior is the pool's rate, worth `PRIOR_STRENGTH` answers (an empirical Bayes
    estimate: Robbins, Proc. Third Berkeley Symposium, 1956).
    """
    good, given = np.asarray(right, dtype=np.float64), np.asarray(answers, dtype=np.float64)
    rate = smoothed_accuracy(float(good.sum()), float(given.sum()))
    a = good + PRIOR_STRENGTH * rate
    b = np.maximum(given - good, 0.0) + PRIOR_STRENGTH * (1 - rate)
    low, high = beta_interval(a, b)
    known = np.asarray(gold).astype(int).tolist()
    return {
        worker: WorkerSkill(float(mean), float(bottom), float(top), int(count), seen)
        for worker, mean, bottom, top, count, seen in zip(
            workers, a / (a + b), low, high, given.astype(int).tolist(), known, strict=True
        )
    }
