"""Reads of quality, for itself and for the subdomains above."""

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.quality.consensus.engine import WorkerSkill
from marketplace.quality.learned_models import RequestModel
from marketplace.quality.models import Consensus, GateSet, Verdict, WorkerGold
from marketplace.quality.states import Outcome, VerdictState
from marketplace.tasks.models import Claim


class Revision(NamedTuple):
    """One submission of a claim, by which it is judged and paid."""

    request_id: UUID
    claim_id: UUID
    number: int


class AcceptedWork(NamedTuple):
    """What a verdict accepted: how many units, by whom, under which contract."""

    contract_id: UUID
    worker_id: UUID
    units: int


_LOCK_ACCEPTED = text(
    """
    SELECT v.request_id, v.claim_id, v.revision, c.contract_id, c.worker_id, c.units
    FROM unnest(CAST(:requests AS uuid[]), CAST(:claims AS uuid[]), CAST(:revisions AS int[]))
         AS wanted (request_id, claim_id, revision)
    JOIN verdict v USING (request_id, claim_id, revision)
    JOIN claim c ON c.request_id = v.request_id AND c.id = v.claim_id
    WHERE v.outcome = 'accepted'
    ORDER BY v.id FOR UPDATE OF v
    """
)
_SKILLS = text("SELECT worker_id, accuracy, low, high, answers, gold FROM request_skill WHERE request_id = :request")


async def gate_set_of(session: AsyncSession, request_id: UUID) -> GateSet | None:
    """Return the gate set that was fixed for a request: the first one, whatever came after."""
    found = await session.exec(
        select(GateSet).where(GateSet.request_id == request_id).order_by(col(GateSet.created_at)).limit(1)
    )
    return found.first()


async def verdicts_of_claim(session: AsyncSession, request_id: UUID, claim_id: UUID) -> list[Verdict]:
    """Return the verdicts on a claim in the order of its revisions."""
    found = await session.exec(
        select(Verdict)
        .where(Verdict.request_id == request_id, Verdict.claim_id == claim_id)
        .order_by(col(Verdict.revision))
    )
    return list(found.all())


async def lock_accepted(session: AsyncSession, revisions: Sequence[Revision]) -> dict[Revision, AcceptedWork]:
    """Return what is to be paid of these revisions: those that a verdict accepts, locked until the transaction ends."""
    requests, claims, numbers = zip(*revisions, strict=True)
    found = await session.execute(_LOCK_ACCEPTED, {"requests": requests, "claims": claims, "revisions": numbers})
    return {Revision(*row[:3]): AcceptedWork(*row[3:]) for row in found}


async def contestable_units(session: AsyncSession, request_id: UUID) -> list[int]:
    """Return the units of each rejected claim that may still have to be paid: appealed, or open to an appeal."""
    statement = (
        select(Claim.units)
        .select_from(Verdict)
        .join(Claim, (col(Claim.request_id) == col(Verdict.request_id)) & (col(Claim.id) == col(Verdict.claim_id)))
        .where(
            col(Verdict.request_id) == request_id,
            col(Verdict.outcome) == Outcome.REJECTED,
            (col(Verdict.state) == VerdictState.APPEALED)
            | ((col(Verdict.state) == VerdictState.GIVEN) & (col(Verdict.final_at) > now())),
        )
    )
    return list(await session.exec(statement))


async def lock_record(session: AsyncSession, request_id: UUID, worker_id: UUID) -> WorkerGold:
    """Return a worker's running record on a request, locked; an empty one is made when there is none."""
    await session.execute(
        insert(WorkerGold)
        .values(request_id=request_id, worker_id=worker_id, right=0, seen=0, agreed=0, compared=0)
        .on_conflict_do_nothing()
    )
    return await session.get_one(WorkerGold, (request_id, worker_id), with_for_update=True, populate_existing=True)


async def request_model(session: AsyncSession, request_id: UUID) -> RequestModel | None:
    """Return the newest fit of a request, its convergence record and its calibration with it; None before the first."""
    return await session.get(RequestModel, request_id, populate_existing=True)


async def request_skills(session: AsyncSession, request_id: UUID) -> dict[UUID, WorkerSkill]:
    """Return how good each worker is at a request by its newest fit."""
    found = await session.execute(_SKILLS, {"request": request_id})
    return {row.worker_id: WorkerSkill(*row[1:]) for row in found}


async def consensus_of(session: AsyncSession, request_id: UUID, task_ids: Collection[UUID]) -> dict[UUID, Consensus]:
    """Return what is the consensus of these tasks now; a task without accepted answers has none."""
    found = await session.exec(
        select(Consensus).where(Consensus.request_id == request_id, col(Consensus.task_id).in_(task_ids))
    )
    return {row.task_id: row for row in found.all()}
