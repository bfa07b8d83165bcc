"""The market's model of single choices."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Final, cast
from uuid import UUID

import numpy as np

from marketplace.quality.consensus.answers import AnswerTable
from marketplace.quality.consensus.choice.calibration import honest
from marketplace.quality.consensus.choice.errors import VotesInvalid
from marketplace.quality.consensus.choice.fit import fit_choice
from marketplace.quality.consensus.choice.online import StoredChoice, read, stored, task_posterior, weighed_votes
from marketplace.quality.consensus.choice.settings import ChoiceSettings
from marketplace.quality.consensus.choice.table import encode_table
from marketplace.quality.consensus.choice.votes import Encoded, encode
from marketplace.quality.consensus.engine import AnswerRow, Learned, TaskConsensus, WorkerSkill
from marketplace.quality.consensus.posterior import pick
from marketplace.quality.spec import LabelSpec

_STORED_CELLS: Final = 2_000_000
"""A model is stored and read again at each judgement: larger ones get one accuracy a worker."""
_HIDDEN: Final = "\x00"


class ChoiceModel:
    """A KindModel for kinds whose answer names one class; see `fit` and `online`."""

    def __init__(self, settings: ChoiceSettings | None = None) -> None:
        """Fit with these settings."""
        self._settings = settings or ChoiceSettings(most_cells=_STORED_CELLS)

    def fit(self, spec: LabelSpec, answers: Sequence[AnswerRow], gold: Mapping[UUID, Any], seed: int) -> Learned:
        """Learn workers; a gold task of a class that neither schema nor answers name raises VotesInvalid."""
        truth = {task: _name(spec, value) for task, value in gold.items()}
        coded = _coded(spec, answers)
        codes = {name: code for code, name in enumerate(coded.classes)}
        if unknown := set(truth.values()) - set(codes):
            raise VotesInvalid(f"gold of unknown classes: {', '.join(sorted(unknown))}")
        tasks, workers = cast(tuple[UUID, ...], coded.tasks), cast(tuple[UUID, ...], coded.workers)
        known = np.array([codes[truth[task]] if task in truth else -1 for task in tasks], dtype=np.int32)
        fitted = fit_choice(coded.votes, known, settings=self._settings, seed=seed)
        given = np.bincount(coded.votes.worker, minlength=coded.votes.workers)
        tested = np.bincount(coded.votes.worker[known[coded.votes.task] >= 0], minlength=coded.votes.workers)
        skills = {
            worker: WorkerSkill(float(mean), float(low), float(high), int(all_), int(of_gold))
            for worker, (mean, low, high), all_, of_gold in zip(workers, fitted.accuracy(), given, tested, strict=True)
        }
        names = [str(worker) for worker in workers]
        return Learned(skills, stored(fitted, coded.classes, names, self._settings), fitted.record, fitted.calibration)

    def consolidate(
        self, spec: LabelSpec, answers: Sequence[AnswerRow], learned: Learned, seed: int
    ) -> list[TaskConsensus]:
        """Return the consensus of each task that has answers, in the order of their ids."""
        del seed  # a task's hash splits its ties, so that one task alone gets what it got among others
        ordered = sorted(answers, key=lambda row: (row.task, row.worker, _name(spec, row.value)))
        voted = {_name(spec, row.value) for row in ordered}
        model = _widened(read(learned.parameters, {str(row.worker) for row in ordered}), voted)
        return [
            self._decide(spec, task, list(rows), model, learned)
            for task, rows in groupby(ordered, key=lambda row: row.task)
        ]

    def _decide(
        self, spec: LabelSpec, task: UUID, rows: list[AnswerRow], model: StoredChoice, learned: Learned
    ) -> TaskConsensus:
        codes = {name: code for code, name in enumerate(model.classes)}
        votes = [(str(row.worker), codes[_name(spec, row.value)]) for row in rows]
        raw = task_posterior(model, votes)
        sure = honest(raw[None], weighed_votes(model, votes)[None], learned.calibration)[0]
        # only what somebody said can win
        said = sorted({label for _, label in votes})
        winner = said[pick(task, sure[said], [model.classes[code] for code in said])]
        shares = {name: float(sure[code]) for name, code in codes.items() if not name.startswith(_HIDDEN)}
        value, confidence = spec.answer(model.classes[winner]), float(sure[winner])
        return TaskConsensus(task, value, confidence, shares, len(rows), certainty=float(raw[winner]))


def _coded(spec: LabelSpec, answers: Sequence[AnswerRow]) -> Encoded:
    """Turn answers into codes; a table of them has codes already, so that no object is made for each answer."""
    if isinstance(answers, AnswerTable):
        names = [_name(spec, value) for value in answers.values]
        return encode_table(answers, names, _padded(spec.classes, set(names)))
    rows = [(row.task, row.worker, _name(spec, row.value)) for row in answers]
    return encode(rows, _padded(spec.classes, {row[2] for row in rows}))


def _name(spec: LabelSpec, value: Any) -> str:
    name = spec.main(value)
    if not isinstance(name, str):
        raise VotesInvalid("an answer's choice must be a class name")
    return name


def _padded(classes: Sequence[str], voted: set[str]) -> tuple[str, ...]:
    """Return the classes, with a hidden one where there would be no choice."""
    names = {*classes, *voted}
    return (*classes, _HIDDEN) if len(names) < 2 else tuple(classes)


def _widened(model: StoredChoice, voted: set[str]) -> StoredChoice:
    """Return the model with classes that came after the fit: each as improbable as the least probable known one."""
    late = sorted(voted - set(model.classes))
    if not late:
        return model
    prior = np.concatenate([model.log_prior, np.full(len(late), model.log_prior.min())])
    logs = {name: _grown(matrix, len(late)) for name, matrix in model.logs.items()}
    return replace(
        model, classes=(*model.classes, *late), log_prior=prior, logs=logs, other=_grown(model.other, len(late))
    )


def _grown(matrix: Any, late: int) -> Any:
    size = len(matrix)
    index = np.arange(size)
    hit = matrix[index, index].mean()
    miss = matrix[~np.eye(size, dtype=bool)].mean() if size > 1 else hit - 1
    grown = np.full((size + late, size + late), miss)
    grown[np.arange(size + late), np.arange(size + late)] = hit
    grown[:size, :size] = matrix
    return grown
