"""Free text as the market asks for it: fitted per request, decided per task; translations by chrF."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np

from marketplace.quality.consensus.engine import AnswerRow, KindModel, Learned, TaskConsensus
from marketplace.quality.consensus.numbered import number_rows, skill_of
from marketplace.quality.consensus.texts import (
    PRIOR_ANSWERS,
    PRIOR_ERROR,
    PRIOR_SKILL,
    decide,
    fit_texts,
)
from marketplace.quality.consensus.texts_task import read_tasks
from marketplace.quality.consensus.translation import TranslationModel
from marketplace.quality.spec import LabelSpec


class TextModel:
    """Transcripts and free texts: the text nearest to all answers by the weight of workers (see `texts`)."""

    def fit(self, spec: LabelSpec, answers: Sequence[AnswerRow], gold: Mapping[UUID, Any], seed: int) -> Learned:
        """Learn each worker's error rate and skill; gold tasks count against their true texts."""
        numbered = number_rows(spec, answers)
        known = numbered.known(spec, gold)
        found = fit_texts(numbered.rows, seed=seed, gold=known, same_from=spec.same_from)
        given, on_gold = numbered.counts(known)
        workers = {
            worker: skill_of(
                float(found.agreed[number]) + PRIOR_ANSWERS * PRIOR_SKILL,
                float(found.given[number] - found.agreed[number]) + PRIOR_ANSWERS * (1 - PRIOR_SKILL),
                given[number],
                on_gold[number],
            )
            for number, worker in enumerate(numbered.workers)
        }
        error = {str(worker): float(found.error[number]) for number, worker in enumerate(numbered.workers)}
        return Learned(workers, {"error": error, "prior_error": found.prior_error}, found.record)

    def consolidate(
        self, spec: LabelSpec, answers: Sequence[AnswerRow], learned: Learned, seed: int
    ) -> list[TaskConsensus]:
        """Return each task's text, its confidence, the share of weight that agrees, and the mean edits a token."""
        del seed
        numbered = number_rows(spec, answers)
        rates = learned.parameters.get("error", {})
        unknown = float(learned.parameters.get("prior_error", PRIOR_ERROR))
        error = np.array([float(rates.get(str(worker), unknown)) for worker in numbered.workers])
        skill = np.array(
            [learned.workers[w].accuracy if w in learned.workers else PRIOR_SKILL for w in numbered.workers]
        )
        found: list[TaskConsensus] = []
        for task, texts in zip(numbered.tasks, read_tasks(numbered.rows, {}), strict=True):
            one = decide(texts, error, skill, spec.same_from)
            measures = {"agreeing": one.agreeing, "error_rate": one.error}
            found.append(TaskConsensus(task, spec.answer(one.text), one.confidence, measures, len(texts.answers)))
        return found


def text_model(source_language: str | None, target_language: str) -> KindModel:
    """Return the model of free text: chrF where it is a translation, else words; languages as BCP 47 tags."""
    if source_language and _primary(source_language) != _primary(target_language):
        return TranslationModel()
    return TextModel()


def _primary(tag: str) -> str:
    return tag.split("-", maxsplit=1)[0].casefold()
