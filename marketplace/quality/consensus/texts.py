"""Consensus of texts (transcripts, free answers): who errs how often, and the text nearest to all by their weight.

An answer is d token edits away from the true text, and d is taken as exponential with a mean of e_w edits a token of
the answer, e_w being the worker's error rate with an inverse-gamma prior at the crowd's own rate. Its likelihood is
highest where the weighted distance Σ d/e_w is least (so a worker counts by 1/e_w) and e_w is the mean distance; both
are improved in turn, and the bound rises with each. The text is sought among the answers (the set median) and what
voting by alignment makes of them (`texts_alignment`), which approximates the generalized median string (Kohonen,
Pattern Recognition Letters 1985); the voting is ROVER's (Fiscus 1997).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein

from marketplace.quality.consensus.engine import Convergence
from marketplace.quality.consensus.texts_task import TaskTexts, read_tasks

PRIOR_TOKENS: Final = 100.0
"""How many tokens of evidence the crowd's own error rate stands for in each worker's."""
BASE_ERROR: Final = 0.02
"""Edits a token that everybody is charged: the consensus itself errs, so nobody's weight may grow without bound."""
PRIOR_ERROR: Final = 0.1
"""The error rate of a worker of whom nothing is known, when there is no crowd to ask."""
MAX_ITERATIONS: Final = 4
SAME_FROM: Final = 0.8
PRIOR_SKILL: Final = 0.8
PRIOR_ANSWERS: Final = 4.0
_SETTLED: Final = 1e-4
_BEST_SKILL: Final = 0.99
_CLASSES: Final = 10
"""How many texts an open question is taken to have, at least: what is not agreed on is spread over these."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TextFit:
    """Texts by task, and what was learned of the workers.

    `text` is as the weight of workers writes it, with case and punctuation; `normalized` the same words in lower case
    without punctuation; a task without answers has "" and confidence 0. `confidence` is the probability that the text
    counts as the same as the truth. `error` (edits a token, shrunk) and `skill` (probability that an answer counts as
    the same as the truth, shrunk) are by worker number; `agreed` and `given` are the counts that skill rests on;
    `prior_error` is the crowd's own error rate, for workers yet unknown.
    """

    text: tuple[str, ...]
    normalized: tuple[str, ...]
    confidence: Floats
    skill: Floats
    error: Floats
    agreed: Floats
    given: Floats
    prior_error: float
    record: Convergence


@dataclass(frozen=True, slots=True)
class TextDecision:
    """The text of one task: as written, normalized, its probability, and the share of weight that agrees with it."""

    text: str
    normalized: str
    confidence: float
    agreeing: float
    error: float


def fit_texts(
    answers: Sequence[Sequence[tuple[int, str]]],
    *,
    seed: int = 0,
    gold: Mapping[int, str] | None = None,
    same_from: float = SAME_FROM,
) -> TextFit:
    """Return the consensus of each task's (worker number, text) pairs; nothing is drawn, `seed` is for the interface.

    `gold` holds the true texts of some tasks by their number; `same_from` is the similarity of characters from which
    on two texts count as the same.
    """
    del seed
    tasks = read_tasks(answers, gold or {})
    count = 1 + max((worker for task in tasks for worker in task.workers), default=-1)
    error, prior, record, texts = _learn(tasks, count)
    agreed, given = _agreements(tasks, texts, count, same_from)
    skill = (agreed + PRIOR_ANSWERS * PRIOR_SKILL) / (given + PRIOR_ANSWERS)
    found = [decide(task, error, skill, same_from, text) for task, text in zip(tasks, texts, strict=True)]
    return TextFit(
        tuple(one.text for one in found),
        tuple(one.normalized for one in found),
        np.array([one.confidence for one in found], dtype=np.float64),
        skill,
        error,
        agreed,
        given,
        prior,
        record,
    )


def decide(
    task: TaskTexts, error: Floats, skill: Floats, same_from: float = SAME_FROM, text: str | None = None
) -> TextDecision:
    """Return the text of a task for known workers; `text` is what was found to be the nearest already."""
    weights = answer_weights(task, error)
    if text is None:
        text = task.nearest(weights)
    if not task.answers:
        return TextDecision("", task.keys(text), 0.0, 0.0, 0.0)
    agrees = counts_as_same(task, text, same_from)
    total = sum(weights)
    return TextDecision(
        task.written(text, weights),
        task.keys(text),
        agreement_confidence(agrees, [float(skill[worker]) for worker in task.workers]),
        sum(weight for weight, agreed in zip(weights, agrees, strict=True) if agreed) / total,
        sum(w * d / n for w, d, n in zip(weights, task.distances(text), task.lengths, strict=True)) / total,
    )


def answer_weights(task: TaskTexts, error: Floats) -> list[float]:
    """Return each answer's weight, one over its worker's error rate and the base."""
    return [1.0 / (float(error[worker]) + BASE_ERROR) for worker in task.workers]


def counts_as_same(task: TaskTexts, text: str, same_from: float) -> list[bool]:
    """Return which answers are as near to a text, by characters and without case and punctuation, as counts."""
    truth = task.keys(text)
    return [
        answer == text or Levenshtein.normalized_similarity(task.keys(answer), truth) >= same_from
        for answer in task.answers
    ]


def agreement_confidence(agrees: Sequence[bool], skill: Sequence[float]) -> float:
    """Return the probability that a text is right, given who agrees with it (one-coin Bayes, uniform prior).

    Whoever disagrees votes for a text of their own; texts that nobody gave share what is left, so that a single
    worker's text is as probable as the worker is skilled.
    """
    classes = max(_CLASSES, sum(not agreed for agreed in agrees) + 2)
    support, others = 0.0, []
    for agreed, value in zip(agrees, skill, strict=True):
        bounded = min(max(value, 1 / classes), _BEST_SKILL)
        weight = math.log(bounded * (classes - 1) / (1 - bounded))
        if agreed:
            support += weight
        else:
            others.append(weight)
    rest = sum(math.exp(weight - support) for weight in others) + (classes - 1 - len(others)) * math.exp(-support)
    return 1.0 / (1.0 + rest)


def _learn(tasks: Sequence[TaskTexts], count: int) -> tuple[Floats, float, Convergence, list[str]]:
    """Improve texts and error rates in turn; the record holds the log-likelihood (with prior) after each round."""
    length = _by_worker(tasks, [task.lengths for task in tasks], count)
    error = np.full(count, PRIOR_ERROR)
    prior: float | None = None
    history: list[float] = []
    texts: list[str] = []
    converged = False
    for _ in range(MAX_ITERATIONS):
        texts = [task.nearest(answer_weights(task, error)) for task in tasks]
        distance = _by_worker(tasks, [task.distances(text) for task, text in zip(tasks, texts, strict=True)], count)
        if prior is None:
            prior = float(distance.sum() / length.sum()) if length.sum() else PRIOR_ERROR
        error = (distance + PRIOR_TOKENS * prior) / (length + PRIOR_TOKENS)
        charged = error + BASE_ERROR
        history.append(-float((length + PRIOR_TOKENS) @ (np.log(charged) + 1.0)))
        if len(history) > 1 and abs(history[-1] - history[-2]) <= _SETTLED * abs(history[-1]):
            converged = True
            break
    record = Convergence("inverse_error_median", len(history), converged, tuple(history))
    return error, PRIOR_ERROR if prior is None else prior, record, texts


def _by_worker(tasks: Sequence[TaskTexts], numbers: Sequence[Sequence[int]], count: int) -> Floats:
    workers = [worker for task in tasks for worker in task.workers]
    values = [value for row in numbers for value in row]
    if not workers:
        return np.zeros(count)
    sums = np.bincount(np.array(workers, dtype=np.int64), np.array(values, dtype=np.float64), minlength=count)
    return np.asarray(sums, dtype=np.float64)


def _agreements(
    tasks: Sequence[TaskTexts], texts: Sequence[str], count: int, same_from: float
) -> tuple[Floats, Floats]:
    """Return how many answers of each worker count as the same as the consensus, and how many could have differed."""
    agreed, given = np.zeros(count), np.zeros(count)
    for task, text in zip(tasks, texts, strict=True):
        if len(task.answers) > 1 or task.truth is not None:
            for worker, same in zip(task.workers, counts_as_same(task, text, same_from), strict=True):
                agreed[worker] += same
                given[worker] += 1
    return agreed, given
