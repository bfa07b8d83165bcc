"""Preferences between two as a kind of label: workers who know, and workers who guess, some of them from habit.

The model: worker w says the true one of left, tie and right with probability c_w, and else guesses, evenly or mostly
one of the three. That is MACE (Hovy et al., "Learning Whom to Trust with MACE", NAACL 2013) with its strategies on a
grid whose shares among workers are learned (see `ordinal`, which fits it). A habit of left or right is the position
bias of paired comparisons (Beaver and Gokhale, Communications in Statistics 4, 1975): their guesses cancel out.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

from marketplace.catalog.states import LabelKind
from marketplace.quality.consensus.engine import AnswerRow, Learned, TaskConsensus
from marketplace.quality.consensus.ordinal import Grid
from marketplace.quality.consensus.ordinal_kind import OrdinalModel
from marketplace.quality.spec import LabelSpec

_CARE: Final = np.array([0.0, 0.15, 0.3, 0.45, 0.6, 0.7, 0.8, 0.9, 0.97])
_USUAL_CARE: Final = 0.7
_CARE_WIDTH: Final = 0.25
_HABIT: Final = 0.9
"""How often a guess from habit goes to the habit's side."""
_EVEN: Final = 0.6
"""The share of workers who are taken to guess evenly before anything is known."""


class PreferenceModel:
    """Labels that say which of two is better."""

    def fit(self, spec: LabelSpec, answers: Sequence[AnswerRow], gold: Mapping[UUID, Any], seed: int) -> Learned:
        """Learn each worker's lean and care; `parameters["lean"]` tells the first: by how much the
        share of answers that are guesses for the right exceeds that for the left.

        Raises ValueError for an answer that the schema does not have.
        """
        known = {task: _as_step(spec, value) for task, value in gold.items()}
        learned = OrdinalModel(preference_grid).fit(_scale(spec), _as_steps(spec, answers), known, seed)
        care, guess = _kinds(len(_sides(spec)))
        leans = (1 - care) * (guess[:, -1] - guess[:, 0])
        lean = {worker: float(np.array(row) @ leans) for worker, row in learned.parameters["workers"].items()}
        return Learned(learned.workers, {**learned.parameters, "lean": lean}, learned.record, learned.calibration)

    def consolidate(
        self, spec: LabelSpec, answers: Sequence[AnswerRow], learned: Learned, seed: int
    ) -> list[TaskConsensus]:
        """Return the most probable preference of each task that has answers."""
        sides = _sides(spec)
        found = OrdinalModel(preference_grid).consolidate(_scale(spec), _as_steps(spec, answers), learned, seed)
        return [
            TaskConsensus(
                one.task,
                spec.answer(sides[int(one.value["value"])]),
                one.confidence,
                {side: one.distribution[repr(float(step))] for step, side in enumerate(sides)},
                one.answers,
            )
            for one in found
        ]


def preference_grid(sides: int) -> Grid:
    """Return workers of all degrees of care, who guess evenly or mostly one side."""
    care, guess = _kinds(sides)
    share = care[:, None, None] * np.eye(sides) + (1 - care)[:, None, None] * guess[:, None, :]
    usual = np.exp(-(((care - _USUAL_CARE) / _CARE_WIDTH) ** 2) / 2)
    even = np.isclose(guess.max(axis=1), 1 / sides)
    usual = usual * np.where(even, _EVEN, (1 - _EVEN) / sides)
    return Grid("preference: care and habit", np.log(share).reshape(len(care), -1), usual / usual.sum())


def _kinds(sides: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return each kind's care, and its guesses (kinds × sides)."""
    rest = (1 - _HABIT) / (sides - 1)
    habits = np.vstack([np.full((1, sides), 1 / sides), rest + (_HABIT - rest) * np.eye(sides)])
    return np.repeat(_CARE, len(habits)), np.tile(habits, (len(_CARE), 1))


def _sides(spec: LabelSpec) -> tuple[str, ...]:
    return ("left", "tie", "right") if "tie" in spec.classes else ("left", "right")


def _scale(spec: LabelSpec) -> LabelSpec:
    return LabelSpec(LabelKind.NUMERIC_SCALE, low=0.0, high=len(_sides(spec)) - 1.0, step=1.0)


def _as_step(spec: LabelSpec, value: Any) -> dict[str, float]:
    sides, said = _sides(spec), spec.main(value)
    if said not in sides:
        raise ValueError(f"{said!r} is none of {', '.join(sides)}")
    return {"value": float(sides.index(said))}


def _as_steps(spec: LabelSpec, answers: Sequence[AnswerRow]) -> list[AnswerRow]:
    return [AnswerRow(row.task, row.worker, _as_step(spec, row.value)) for row in answers]
