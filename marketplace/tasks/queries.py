"""Reads of the work, for the subdomains above."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.models import DatasetRequest
from marketplace.core.paging import PageQuery, read_page
from marketplace.tasks.dealing import GOLD_ROWS, GoldRow, make_gold_pool
from marketplace.tasks.errors import ClaimUnknown
from marketplace.tasks.models import Answer, Bundle, Claim
from marketplace.tasks.policy import seat_order

_STREAMED: Final = 5_000


@dataclass(frozen=True, slots=True)
class ClaimSheet:
    """A claim with what was asked and answered: ordered tasks, the gold among them, the newest revision's answers."""

    claim: Claim
    bundle: Bundle
    task_ids: list[UUID]
    gold_ids: frozenset[UUID]
    answers: dict[UUID, Answer]


_GOLD: Final = text(GOLD_ROWS.format(request=":request"))
_ACCEPTED: Final = text(
    """
    SELECT a.task_id, a.worker_id, a.value, a.seconds FROM answer a
    JOIN claim c ON c.request_id = a.request_id AND c.id = a.claim_id
    WHERE a.request_id = :request AND a.task_id = ANY(:tasks) AND NOT a.is_gold
      AND c.state = 'accepted' AND a.revision = c.revision
    ORDER BY a.task_id, a.worker_id
    """
)
_COUNTED: Final = text(
    """
    SELECT a.task_id, a.worker_id, a.value::text AS value FROM answer a
    JOIN claim c ON c.request_id = a.request_id AND c.id = a.claim_id
    WHERE a.request_id = :request AND CASE WHEN a.is_gold
        THEN a.revision = 1 AND c.state IN ('accepted', 'rejected')
        ELSE a.revision = c.revision AND c.state = 'accepted' END
    ORDER BY a.task_id, a.worker_id
    """
)
_FIRST_GOLD: Final = text(
    """
    SELECT a.task_id, a.worker_id, a.value, a.seconds FROM answer a
    JOIN claim c ON c.request_id = a.request_id AND c.id = a.claim_id
    WHERE a.request_id = :request AND a.task_id = ANY(:gold) AND a.worker_id = ANY(:workers) AND a.is_gold
      AND a.revision = 1 AND c.state IN ('accepted', 'rejected')
    ORDER BY a.task_id, a.worker_id
    """
)


@dataclass(frozen=True, slots=True)
class AcceptedAnswer:
    """One accepted label: the newest revision of a worker's answer to a task."""

    task_id: UUID
    worker_id: UUID
    value: Any
    seconds: float


async def claim_sheet(session: AsyncSession, request_id: UUID, claim_id: UUID, *, lock: bool = False) -> ClaimSheet:
    """Return a claim with its answers; `lock` holds its row until the transaction ends.

    Raises:
        ClaimUnknown: there is none.
    """
    statement = select(Claim).where(Claim.request_id == request_id, Claim.id == claim_id)
    found = await session.exec(statement.with_for_update() if lock else statement)
    claim = found.one_or_none()
    if claim is None:
        raise ClaimUnknown
    bundle = await session.get_one(Bundle, (request_id, claim.bundle_id))
    request = await session.get_one(DatasetRequest, request_id)
    rows = await session.execute(_GOLD, {"request": request_id})
    pool = make_gold_pool(request.seed, (GoldRow(*row) for row in rows), claim.created_at)
    gold = pool.span(claim.worker_id, claim.gold_start, claim.gold_count, claim.created_at)
    answers = await session.exec(
        select(Answer).where(
            Answer.request_id == request_id, Answer.claim_id == claim_id, Answer.revision == claim.revision
        )
    )
    order = seat_order(request.seed, claim.id, bundle.task_ids, gold)
    return ClaimSheet(claim, bundle, order, frozenset(gold), {answer.task_id: answer for answer in answers.all()})


async def accepted_answers(session: AsyncSession, request_id: UUID, task_ids: Sequence[UUID]) -> list[AcceptedAnswer]:
    """Return the accepted answers of these tasks, gold not among them, in a fixed order."""
    found = await session.execute(_ACCEPTED, {"request": request_id, "tasks": list(task_ids)})
    return [AcceptedAnswer(row.task_id, row.worker_id, row.value, row.seconds) for row in found]


async def stream_answers(session: AsyncSession, request_id: UUID) -> AsyncIterator[tuple[UUID, UUID, str]]:
    """Yield (task, worker, value as JSON text) of all answers that tell about workers, task by task.

    These are the accepted labels, and of gold what a worker first said (before a gate told them that some was wrong),
    also where the work was rejected: leaving that out would make workers look better than they are.
    """
    rows = await session.stream(_COUNTED, {"request": request_id}, execution_options={"yield_per": _STREAMED})
    async for row in rows:
        yield row.task_id, row.worker_id, row.value


async def first_gold_answers(
    session: AsyncSession, request_id: UUID, gold_ids: Collection[UUID], worker_ids: Collection[UUID]
) -> list[AcceptedAnswer]:
    """Return what these workers first answered to gold, in judged work; see `stream_answers`."""
    names = {"request": request_id, "gold": list(gold_ids), "workers": list(worker_ids)}
    return [AcceptedAnswer(*row) for row in await session.execute(_FIRST_GOLD, names)]


async def claims_of_worker(session: AsyncSession, worker_id: UUID, query: PageQuery) -> tuple[list[Claim], str | None]:
    """Return a page of a worker's claims, newest first."""
    return await read_page(session, select(Claim).where(col(Claim.worker_id) == worker_id), Claim.id, query)
