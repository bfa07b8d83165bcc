"""Keeping consensus current: of the tasks a judgement touched, and of a whole request when it is delivered."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.states import LabelKind
from marketplace.quality.annotators.predicting import annotator_rows
from marketplace.quality.cases import Rules
from marketplace.quality.consensus.engine import AnswerRow, Learned, TaskConsensus
from marketplace.quality.consensus.registry import MODELS
from marketplace.quality.learning import fit_request, learned_of, store_fit
from marketplace.quality.overlap import StoppingRule
from marketplace.quality.similarity import same
from marketplace.quality.spec import LabelSpec
from marketplace.tasks.bundles import accepted_units
from marketplace.tasks.models import Task
from marketplace.tasks.queries import accepted_answers

_POSTERIORS: Final = frozenset({LabelKind.MULTIPLE_CHOICE, LabelKind.PAIRWISE_PREFERENCE, LabelKind.NUMERIC_SCALE})
"""Kinds whose confidence is a model's posterior; that of texts, spans and shapes is who agrees, cautious by itself."""
TASK_BATCH: Final = 1_000
_STORE: Final = text(
    """
    INSERT INTO consensus (request_id, task_id, value, confidence, distribution, answers, done, created_at)
    SELECT :request, task_id, value, confidence, distribution, answers, done, now()
    FROM jsonb_to_recordset(CAST(:rows AS jsonb))
        AS made(task_id uuid, value jsonb, confidence float8, distribution jsonb, answers int, done bool)
    ON CONFLICT (request_id, task_id) DO UPDATE
    SET value = excluded.value, confidence = excluded.confidence, distribution = excluded.distribution,
        answers = excluded.answers, done = excluded.done
    """
)
_DONE: Final = text(
    """
    UPDATE task SET done = NOT done
    WHERE request_id = :request AND id = ANY(:tasks) AND done <> (id = ANY(CAST(:done AS uuid[])))
    """
)
_LOCK: Final = text(
    """
    SELECT id FROM task WHERE request_id = :request AND id BETWEEN :first AND :last AND answered > 0
    ORDER BY id FOR UPDATE
    """
)
_FORGET: Final = text(
    """
    WITH empty AS (
        SELECT t.id FROM task t WHERE t.request_id = :request AND t.id = ANY(:tasks) AND NOT EXISTS (
            SELECT 1 FROM answer a JOIN claim c ON c.request_id = a.request_id AND c.id = a.claim_id
            WHERE a.request_id = t.request_id AND a.task_id = t.id AND c.state = 'accepted'
              AND a.revision = c.revision)
    ), undone AS (
        UPDATE task SET done = false WHERE request_id = :request AND id IN (SELECT id FROM empty)
    )
    DELETE FROM consensus WHERE request_id = :request AND task_id IN (SELECT id FROM empty)
    """
)


def is_done(rules: Rules, found: TaskConsensus, values: Sequence[Any], *, calibrated: bool) -> bool:
    """Return whether a task needs no more answers; `values` are the answer objects that it has."""
    plan = rules.plan
    rule = StoppingRule(plan.confidence_target, plan.adaptive.lead, plan.adaptive.calibrated_lead)
    sure = found.confidence
    if found.certainty is not None:  # it knows who voted; a confidence that is right on average need not
        rule, sure, calibrated = rule.of_posteriors(), found.certainty, False
    elif not calibrated and rules.spec.kind in _POSTERIORS:
        rule = rule.of_posteriors()
    span = (found.answers, plan.overlap_min, plan.overlap_max)
    if rule.needs_more(sure, inf, *span, calibrated=calibrated):
        return False  # the votes are counted only where they decide
    lead = votes_ahead(rules.spec, found.value, values)
    return not rule.needs_more(sure, lead, *span, calibrated=calibrated)


def votes_ahead(spec: LabelSpec, label: Any, values: Sequence[Any]) -> int:
    """Return how many more answers say the same as a label than say the same as the strongest answer against it."""
    mains = [spec.main(value) for value in values]
    against = [main for main in mains if not same(spec, main, spec.main(label))]
    strongest = max((sum(same(spec, main, other) for other in against) for main in against), default=0)
    return len(mains) - len(against) - strongest


async def refresh(session: AsyncSession, request_id: UUID, rules: Rules, task_ids: Sequence[UUID]) -> None:
    """Compute the consensus of these tasks anew and mark those that need no more answers.

    The caller has locked the tasks (tasks.outcomes.accept does), so that of two judgements on one task the later one
    sees the answers of both.
    """
    rows = await _answers(session, request_id, task_ids)
    await _store(session, request_id, rules, rows, await learned_of(session, request_id, rules, rows))


async def refresh_span(session: AsyncSession, request_id: UUID, rules: Rules, first: UUID, last: UUID) -> None:
    """Compute the consensus anew of the answered tasks whose ids lie in a span, and lock them; see `refresh`."""
    found = await session.execute(_LOCK, {"request": request_id, "first": first, "last": last})
    await refresh(session, request_id, rules, list(found.scalars()))


async def forget_unanswered(session: AsyncSession, request_id: UUID, task_ids: Sequence[UUID]) -> None:
    """Take the labels from those of these tasks that have no accepted answer any more; the caller has locked them."""
    await session.execute(_FORGET, {"request": request_id, "tasks": list(task_ids)})


async def consolidate_request(session: AsyncSession, request_id: UUID, rules: Rules) -> None:
    """Fit all workers a last time and compute the consensus of every task by it, a batch of tasks at a time."""
    fit = await fit_request(session, request_id, rules, await accepted_units(session, request_id))
    await store_fit(session, request_id, fit, last=True)
    for first, last in await task_spans(session, request_id):
        found = await session.execute(_LOCK, {"request": request_id, "first": first, "last": last})
        rows = await _answers(session, request_id, list(found.scalars()))
        await _store(session, request_id, rules, rows, fit.learned)


async def task_spans(session: AsyncSession, request_id: UUID) -> list[tuple[UUID, UUID]]:
    """Return the first and last ids of batches of a request's tasks."""
    found = await session.exec(select(Task.id).where(Task.request_id == request_id).order_by(col(Task.id)))
    ids = list(found.all())
    return [(ids[start], ids[min(start + TASK_BATCH, len(ids)) - 1]) for start in range(0, len(ids), TASK_BATCH)]


async def _answers(session: AsyncSession, request_id: UUID, task_ids: Sequence[UUID]) -> list[AnswerRow]:
    """Return people's accepted answers, and what models say of the tasks that have any."""
    found = await accepted_answers(session, request_id, task_ids)
    rows = [AnswerRow(answer.task_id, answer.worker_id, answer.value) for answer in found]
    return rows + await annotator_rows(session, request_id, {row.task for row in rows})


async def _store(
    session: AsyncSession, request_id: UUID, rules: Rules, answers: list[AnswerRow], learned: Learned
) -> None:
    made = MODELS[rules.spec.kind].consolidate(rules.spec, answers, learned, rules.seed)
    if not made:
        return
    values: dict[UUID, list[Any]] = defaultdict(list)
    for answer in answers:
        if not answer.by_model:
            values[answer.task].append(answer.value)
    found = [replace(each, answers=len(values[each.task])) for each in made]
    calibrated = learned.calibration.samples > 0
    done = {each.task for each in found if is_done(rules, each, values[each.task], calibrated=calibrated)}
    rows = [
        {
            "task_id": each.task,
            "value": each.value,
            "confidence": each.confidence,
            "distribution": each.distribution,
            "answers": each.answers,
            "done": each.task in done,
        }
        for each in found
    ]
    await session.execute(_STORE, {"request": request_id, "rows": msgspec.json.encode(rows).decode()})
    await session.execute(_DONE, {"request": request_id, "tasks": [each.task for each in found], "done": list(done)})
