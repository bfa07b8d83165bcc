"""What adaptive overlap will cost and bring, by simulation before anybody has answered: pure, and equal for a seed.

A crowd is drawn (each worker's accuracy from a Beta distribution around the mean, the mean itself from what is known of
it), its votes on tasks of which the truth is known to the simulation alone, and after each vote the stopping rule is
asked. Tasks differ: a task's difficulty moves the log-odds of all its workers alike (GLAD: Whitehill et al., NIPS
2009), so that more votes do not help every task. The engine is given what it would know of workers: accuracies
estimated from some gold answers.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from marketplace.quality.overlap import StoppingRule
from marketplace.quality.policy import smoothed_accuracy

CROWDS: Final = 30
TASKS_A_CROWD: Final = 400
WORKERS: Final = 50
MOST_CLASSES: Final = 50  # more change nothing: wrong votes are spread so thin already that they hardly ever meet
KNOWN_ANSWERS: Final = 20  # gold answers of a worker from which the engine knows them
SPREAD: Final = 8.0  # of workers' accuracies about their mean: a + b of the Beta; crowd sets show 5 to 15
DIFFICULTY: Final = 1.0  # standard deviation of a task's effect on the log-odds that a worker is right
_BEST: Final = 0.99

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Crowd:
    """What is known of who will answer: their mean accuracy (0 to 1), and its standard error."""

    accuracy: float
    error: float


@dataclass(frozen=True, slots=True)
class Range:
    """An expected figure, and the span in which it lies for nine crowds of ten."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Answers a task and share of right labels with adaptive overlap, and the share with all answers for each task."""

    answers: Range
    accuracy: Range
    accuracy_of_all: Range


def foresee(rule: StoppingRule, least: int, most: int, classes: int, crowd: Crowd, seed: int) -> Foreseen:
    """Return what to expect of tasks with so many classes that get from `least` to `most` answers."""
    rng = np.random.default_rng(seed)
    rows = [_of_one_crowd(rule, (least, most), min(max(classes, 2), MOST_CLASSES), crowd, rng) for _ in range(CROWDS)]
    answers, accuracy, of_all = (np.array(column) for column in zip(*rows, strict=True))
    return Foreseen(_range(answers), _range(accuracy), _range(of_all))


def _range(figures: Floats) -> Range:
    low, high = np.quantile(figures, (0.05, 0.95))
    return Range(float(figures.mean()), float(low), float(high))


def _of_one_crowd(
    rule: StoppingRule, span: tuple[int, int], classes: int, crowd: Crowd, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Return answers a task, share of right labels, and their share with all answers, for one crowd drawn."""
    votes, weights = _votes(span[1], classes, crowd, rng)
    scores = np.zeros((TASKS_A_CROWD, classes))
    counts = np.zeros((TASKS_A_CROWD, classes))
    stopped = np.zeros(TASKS_A_CROWD, dtype=np.int64)
    label = np.zeros(TASKS_A_CROWD, dtype=np.int64)
    tasks = np.arange(TASKS_A_CROWD)
    tie_break = rng.random((TASKS_A_CROWD, classes)) * 1e-9
    for given in range(1, span[1] + 1):
        scores[tasks, votes[:, given - 1]] += weights[:, given - 1]
        counts[tasks, votes[:, given - 1]] += 1
        best = (scores + tie_break).argmax(axis=1)
        confidence, lead = _standing(scores, counts, best)
        for task in np.flatnonzero(stopped == 0):
            if not rule.needs_more(float(confidence[task]), float(lead[task]), given, *span):
                stopped[task], label[task] = given, best[task]
    return float(stopped.mean()), float((label == 0).mean()), float((best == 0).mean())


def _votes(most: int, classes: int, crowd: Crowd, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """Return votes (class 0 is right) and the log-odds that the engine gives each, tasks × answers."""
    mean = float(np.clip(rng.normal(crowd.accuracy, crowd.error), 1 / classes + 0.01, _BEST))
    accuracy = rng.beta(mean * SPREAD, (1 - mean) * SPREAD, size=max(WORKERS, most)).clip(0.01, _BEST)
    seen = rng.binomial(KNOWN_ANSWERS, accuracy)
    believed = np.clip([smoothed_accuracy(float(right), KNOWN_ANSWERS) for right in seen], 1 / classes, _BEST)
    chosen = rng.random((TASKS_A_CROWD, len(accuracy))).argsort(axis=1)[:, :most]  # nobody answers a task twice
    odds = np.log(accuracy / (1 - accuracy))[chosen] + rng.normal(0, DIFFICULTY, (TASKS_A_CROWD, 1))
    right = rng.random(chosen.shape) < 1 / (1 + np.exp(-odds))
    votes = np.where(right, 0, rng.integers(1, classes, size=chosen.shape))
    weights = np.log(believed * (classes - 1) / (1 - believed))
    return votes, weights[chosen]


def _standing(scores: Floats, counts: Floats, best: Ints) -> tuple[Floats, Floats]:
    """Return the posterior probability of each task's best class, and by how many votes it leads."""
    tasks = np.arange(len(best))
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    others = counts.copy()
    others[tasks, best] = -1
    return odds[tasks, best] / odds.sum(axis=1), counts[tasks, best] - others.max(axis=1)
