"""Buying labels one at a time by the market's stopping rule, on labels that were really given; offline."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cli.scenario.consensus_methods import Floats, fit_votes
from cli.scenario.crowd_data import Codes, CrowdTable
from cli.scenario.crowd_scores import same_class
from marketplace.quality.overlap import StoppingRule

Rows = npt.NDArray[np.intp]
Right = npt.NDArray[np.bool_]

LEAST: Final = 2
"""Labels a task starts with: with one, a worker nobody knows would settle it."""


@dataclass(frozen=True)
class Bought:
    """What a purchase in one order came to: labels of all there are, and accuracies with them, with those bought, and
    with as many that were spread evenly over the tasks. `tasks_done` were stopped by the rule before their labels ran
    out.
    """

    labels: int
    bought: int
    tasks_done: int
    accuracy_all: float
    accuracy: float
    accuracy_fixed: float

    @property
    def saved(self) -> float:
        """The share of labels that were not bought."""
        return 1 - self.bought / self.labels


def simulate(table: CrowdTable, truth: Mapping[str, str], rule: StoppingRule, seed: int) -> Bought:
    """Return what the rule buys of a set of choices, in an order of each task's labels that the seed draws.

    In each round every task that the rule does not call done gets its next label; then the workers are learned anew
    from all labels bought so far, as the market's job does.
    """
    place = _places(table, seed)
    most = np.bincount(table.task, minlength=len(table.tasks))
    wanted = np.minimum(most, LEAST)
    open_tasks = np.flatnonzero(most > wanted)
    while len(open_tasks):
        rows = np.flatnonzero(place < wanted[table.task])
        fit = fit_votes(table.of_rows(rows), seed=seed)
        leads, sure = _leads(table, rows, fit.label), fit.posterior[np.arange(len(fit.label)), fit.label]
        open_tasks = np.array(
            [
                task
                for task in open_tasks.tolist()
                if rule.needs_more(float(sure[task]), float(leads[task]), wanted[task], LEAST, most[task])
            ],
            dtype=np.intp,
        )
        wanted[open_tasks] += 1
        open_tasks = open_tasks[wanted[open_tasks] <= most[open_tasks]]
    bought = np.flatnonzero(place < wanted[table.task])
    even = np.flatnonzero(place < evenly(most, len(bought), seed)[table.task])
    hits = _right_codes(table, truth)
    return Bought(
        labels=len(table),
        bought=len(bought),
        tasks_done=int((wanted < most).sum()),
        accuracy_all=_accuracy(table, np.arange(len(table)), hits, seed),
        accuracy=_accuracy(table, bought, hits, seed),
        accuracy_fixed=_accuracy(table, even, hits, seed),
    )


def evenly(most: npt.NDArray[np.int_], total: int, seed: int) -> npt.NDArray[np.int_]:
    """Return how many labels each task gets when `total` are spread evenly over tasks that have `most` of them.

    What does not go into whole rounds goes to tasks that the seed draws.
    """
    level = 0
    while np.minimum(most, level + 1).sum() <= total and level < most.max():
        level += 1
    spread = np.minimum(most, level)
    more = np.random.default_rng(seed).permutation(np.flatnonzero(most > spread))[: total - int(spread.sum())]
    spread[more] += 1
    return np.asarray(spread)


def _places(table: CrowdTable, seed: int) -> Codes:
    """Return the place of each row among those of its task, in an order drawn by the seed."""
    drawn = np.random.default_rng(seed).permutation(len(table))
    order = drawn[np.argsort(table.task[drawn], kind="stable")]
    sorted_task = table.task[order]
    first = np.searchsorted(sorted_task, sorted_task)
    place = np.empty(len(table), dtype=np.int32)
    place[order] = np.arange(len(table)) - first
    return place


def _leads(table: CrowdTable, rows: Rows, best: Codes) -> Floats:
    """Return each task's votes for its label, less those for the strongest other one."""
    counts = np.zeros((len(table.tasks), len(table.labels)))
    np.add.at(counts, (table.task[rows], table.label[rows]), 1.0)
    tasks = np.arange(len(counts))
    lead = counts[tasks, best].copy()
    counts[tasks, best] = -1.0
    return np.asarray(lead - np.maximum(counts.max(1), 0.0))


def _right_codes(table: CrowdTable, truth: Mapping[str, str]) -> dict[int, Right]:
    """Return, by task with a known truth, which classes are right."""
    of_value = {value: np.array([same_class(label, value) for label in table.labels]) for value in set(truth.values())}
    return {place: of_value[truth[task]] for place, task in enumerate(table.tasks) if task in truth}


def _accuracy(table: CrowdTable, rows: Rows, right: Mapping[int, Right], seed: int) -> float:
    label = fit_votes(table.of_rows(rows), seed=seed).label
    return sum(bool(hits[label[task]]) for task, hits in right.items()) / max(len(right), 1)
