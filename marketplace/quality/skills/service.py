"""Keeping skills: evidence of a request, the skill that all evidence makes, its history; bars and own skills."""

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import request_of
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.quality.aliases import worker_alias
from marketplace.quality.control.errors import WorkerUnknown
from marketplace.quality.skills.models import SkillEvidence, SkillHistory
from marketplace.quality.skills.own import change_own_skill
from marketplace.quality.skills.policy import Evidence, SkillValue, consensus_weight, skill_of
from marketplace.quality.skills.schemas import (
    OwnSkillView,
    Requirement,
    Requirements,
    SetOwnSkill,
    SkillPoint,
    SkillView,
    WorkerSkills,
)
from marketplace.tasks.models import RequestWorker
from marketplace.tasks.skill_models import ANY_LANGUAGE, OwnSkill, SkillRequirement, WorkerSkill

HISTORY_SHOWN: Final = 100
MOVED: Final = 1.0
_MOST_LANGUAGES: Final = 3
_DAY: Final = 86_400.0
# The record of a request: gold, comparisons with the consensus of others at the time, and what people found.
_EVIDENCE: Final = text(
    """
    SELECT g.worker_id, g."right", g.seen, g.agreed, g.compared, v.at, v.right_reviews, v.wrong_reviews
    FROM worker_gold g JOIN LATERAL (
        SELECT max(created_at) AS at,
               count(*) FILTER (WHERE reason_code = 'overturned') AS right_reviews,
               count(*) FILTER (WHERE reason_code = 'disputed' OR state = 'upheld') AS wrong_reviews
        FROM verdict WHERE verdict.request_id = g.request_id AND verdict.worker_id = g.worker_id
    ) v ON v.at IS NOT NULL
    WHERE g.request_id = :request
    """
)
_IS_EVIDENCE_OF: Final = text("skill_evidence.worker_id = ANY(CAST(:workers AS uuid[]))")
_IS_SKILL_OF: Final = text("worker_skill.worker_id = ANY(CAST(:workers AS uuid[]))")
_CONFIDENCE: Final = text("SELECT coalesce(avg(confidence), 0) FROM consensus WHERE request_id = :request")


def language_of(languages: Iterable[str]) -> str:
    """Return the name under which work in these languages is measured; work in many has none of its own."""
    known = sorted({language.split("-")[0] for language in languages})
    return "+".join(known) if 0 < len(known) <= _MOST_LANGUAGES else ANY_LANGUAGE


async def refresh_skills(session: AsyncSession, request_id: UUID) -> None:
    """Write down what a request says of its workers now, and the skills that follow.

    A gold answer counts 1; a comparison with the consensus of others `consensus_weight` of the request's mean
    confidence; a person's finding on a bundle 1.
    """
    request = await session.get_one(DatasetRequest, request_id)
    confidence = float((await session.execute(_CONFIDENCE, {"request": request_id})).scalar_one())
    weight = consensus_weight(confidence)
    workers = []
    for row in (await session.execute(_EVIDENCE, {"request": request_id})).all():
        await session.merge(
            SkillEvidence(
                worker_id=row.worker_id,
                request_id=request_id,
                subject=request.subject,
                language=language_of(request.languages),
                right=row.right + weight * row.agreed + row.right_reviews,
                wrong=row.seen - row.right + weight * (row.compared - row.agreed) + row.wrong_reviews,
                at=row.at,
            )
        )
        workers.append(row.worker_id)
    await session.flush()
    await _recompute(session, workers, request.subject, language_of(request.languages))


async def _recompute(session: AsyncSession, workers: list[UUID], subject: str, language: str) -> None:
    """Make the skills of these workers at a subject anew, over all languages and in this one."""
    of_workers = {"workers": workers}  # as one array: there may be more of them than a statement has parameters
    found = await session.exec(
        select(SkillEvidence).where(_IS_EVIDENCE_OF, SkillEvidence.subject == subject), params=of_workers
    )
    by_worker: dict[UUID, list[SkillEvidence]] = {worker: [] for worker in workers}
    for row in found.all():
        by_worker[row.worker_id].append(row)
    known = await session.exec(
        select(WorkerSkill).where(_IS_SKILL_OF, WorkerSkill.subject == subject), params=of_workers
    )
    before = {(row.worker_id, row.language): row for row in known.all()}
    moment = now()
    evidence = {
        (worker, name): [
            Evidence(row.right, row.wrong, (moment - row.at).total_seconds() / _DAY)
            for row in rows
            if name in {ANY_LANGUAGE, row.language}
        ]
        for worker, rows in by_worker.items()
        for name in sorted({ANY_LANGUAGE, language})
    }
    skills = await asyncio.to_thread(lambda: {key: skill_of(each) for key, each in evidence.items()})
    for (worker, name), skill in skills.items():
        await _keep(session, (worker, subject, name), skill, before.get((worker, name)), moment)
    await session.flush()


async def _keep(
    session: AsyncSession, key: tuple[UUID, str, str], skill: SkillValue, before: WorkerSkill | None, moment: datetime
) -> None:
    worker, subject, language = key
    last = select(SkillHistory).where(
        SkillHistory.worker_id == worker, SkillHistory.subject == subject, SkillHistory.language == language
    )
    written = None
    if before is not None:
        written = (await session.exec(last.order_by(col(SkillHistory.id).desc()).limit(1))).first()
    figures: dict[str, Any] = {
        "value": skill.value, "low": skill.low, "high": skill.high, "evidence": skill.evidence,
    }  # fmt: skip
    names: dict[str, Any] = {"worker_id": worker, "subject": subject, "language": language}
    if written is None or max(abs(written.value - skill.value), abs(written.low - skill.low)) >= MOVED:
        session.add(SkillHistory(**names, **figures))
    await session.merge(WorkerSkill(**names, **figures, updated_at=moment))


async def skills_of_worker(session: AsyncSession, worker_id: UUID) -> WorkerSkills:
    """Return a worker's skills with their history, and what requesters hold of them."""
    measured = await session.exec(
        select(WorkerSkill).where(WorkerSkill.worker_id == worker_id)
        .order_by(col(WorkerSkill.subject), col(WorkerSkill.language))
    )  # fmt: skip
    history = await session.exec(
        select(SkillHistory).where(SkillHistory.worker_id == worker_id).order_by(col(SkillHistory.id).desc())
        .limit(HISTORY_SHOWN)
    )  # fmt: skip
    points: dict[tuple[str, str], list[SkillPoint]] = {}
    for row in history.all():
        point = SkillPoint(at=row.created_at, value=row.value, low=row.low, high=row.high)
        points.setdefault((row.subject, row.language), []).append(point)
    own = await session.exec(select(OwnSkill).where(OwnSkill.worker_id == worker_id).order_by(col(OwnSkill.name)))
    return WorkerSkills(
        measured=[
            SkillView(**row.model_dump(exclude={"created_at", "worker_id"}),
                      history=points.get((row.subject, row.language), []))
            for row in measured.all()
        ],
        of_requesters=[OwnSkillView.model_validate(row.model_dump()) for row in own.all()],
    )  # fmt: skip


async def set_own_skill(
    session: AsyncSession, actor: Actor, request_id: UUID, worker: str, name: str, command: SetOwnSkill
) -> OwnSkillView:
    """Set a skill of the enterprise's own by hand, for a worker of one of its requests.

    Raises:
        RequestNotFound: the request is another organisation's.
        WorkerUnknown: nobody of that pseudonym works on it.
    """
    request = await request_of(session, actor, request_id)
    people = await session.exec(select(RequestWorker.worker_id).where(RequestWorker.request_id == request.id))
    worker_id = next((each for each in people.all() if worker_alias(request.id, each) == worker), None)
    if worker_id is None:
        raise WorkerUnknown
    await change_own_skill(session, request.organisation_id, worker_id, name, command.value, by=actor.principal)
    record(session, actor, "own_skill.set", f"request:{request.id}", worker=worker, name=name, value=command.value)
    kept = await session.get_one(OwnSkill, (request.organisation_id, worker_id, name), populate_existing=True)
    return OwnSkillView.model_validate(kept.model_dump())


async def requirements_of(session: AsyncSession, actor: Actor, request_id: UUID) -> Requirements:
    """Return what one's request demands of workers."""
    request = await request_of(session, actor, request_id)
    return await _requirements(session, request.id)


async def put_requirements(
    session: AsyncSession, actor: Actor, request_id: UUID, command: Requirements
) -> Requirements:
    """Say what a worker must reach to begin on a request; who has begun goes on.

    Raises:
        RequestNotFound: the request is another organisation's.
    """
    request = await request_of(session, actor, request_id, lock=True)
    await session.execute(delete(SkillRequirement).where(col(SkillRequirement.request_id) == request.id))
    session.add_all(SkillRequirement(request_id=request.id, **each.model_dump()) for each in command.requirements)
    await session.flush()
    record(
        session, actor, "skill_requirements.put", f"request:{request.id}", requirements=len(command.requirements)
    )  # fmt: skip
    return await _requirements(session, request.id)


async def _requirements(session: AsyncSession, request_id: UUID) -> Requirements:
    found = await session.exec(
        select(SkillRequirement).where(SkillRequirement.request_id == request_id).order_by(col(SkillRequirement.id))
    )
    return Requirements(
        requirements=[Requirement(skill=row.skill, is_own=row.is_own, at_least=row.at_least) for row in found.all()]
    )
