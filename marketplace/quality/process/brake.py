"""The brake on mass rejection: when too much is rejected, or too many rejections were wrong, a person decides.

From then on what the gates would reject is held; acceptances and reworks go on. A person opens the brake again, and
what is counted begins anew.
"""

from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.queries import request_of
from marketplace.core.actor import SYSTEM, Actor
from marketplace.core.clock import now
from marketplace.quality.models import Verdict
from marketplace.quality.process.errors import BrakeOpen
from marketplace.quality.process.models import Brake, HeldVerdict
from marketplace.quality.process.policy import MOST_DECIDED, Figures, reason_to_hold
from marketplace.quality.process.schemas import BrakeView
from marketplace.quality.process.states import HeldState

_FIGURES: Final = text(
    """
    WITH newest AS (
        SELECT worker_id, outcome = 'rejected' OR state = 'overturned' AS rejected FROM verdict
        WHERE request_id = :request AND outcome <> 'rework'
          AND (CAST(:since AS timestamptz) IS NULL OR created_at > :since)
        ORDER BY id DESC LIMIT :most
    ), objected AS (
        SELECT state FROM appeal
        WHERE request_id = :request AND state <> 'open'
          AND (CAST(:since AS timestamptz) IS NULL OR created_at > :since)
    )
    SELECT (SELECT count(*) FROM newest) AS decided, (SELECT count(*) FROM newest WHERE rejected) AS rejected,
           (SELECT count(DISTINCT worker_id) FROM newest) AS workers,
           (SELECT count(DISTINCT worker_id) FROM newest WHERE rejected) AS workers_rejected,
           (SELECT count(*) FROM objected) AS appeals,
           (SELECT count(*) FROM objected WHERE state = 'overturned') AS overturned
    """
)


def is_closed(brake: Brake | None) -> bool:
    """Return whether rejections are held."""
    return brake is not None and (brake.opened_at is None or brake.opened_at < brake.closed_at)


async def figures_since(session: AsyncSession, request_id: UUID, since: Any) -> Figures:
    """Return what was decided in a request since a moment (None: from its beginning)."""
    names = {"request": request_id, "since": since, "most": MOST_DECIDED}
    return Figures(*(await session.execute(_FIGURES, names)).one())


async def must_hold(session: AsyncSession, request_id: UUID) -> bool:
    """Return whether a rejection must be held now; closes the brake when a bar is passed.

    Judgements of one moment do not see each other: as many as run at once may still be rejected at the bar.
    """
    brake = await session.get(Brake, request_id)
    if is_closed(brake):
        return True
    figures = await figures_since(session, request_id, brake.opened_at if brake else None)
    why = reason_to_hold(figures)
    if why is None:
        return False
    await _close(session, request_id, why, figures)
    return True


async def _close(session: AsyncSession, request_id: UUID, why: str, figures: Figures) -> None:
    """Close the brake, once, whoever else does at the same moment."""
    closed = {"closed_at": now(), "why": why, "figures": asdict(figures)}
    statement = insert(Brake).values(request_id=request_id, created_at=now(), times=1, **closed)
    again = statement.on_conflict_do_update(
        index_elements=["request_id"],
        set_={**closed, "times": Brake.times + 1},
        where=col(Brake.opened_at) > col(Brake.closed_at),
    )
    done = await session.execute(again.returning(col(Brake.times)))
    if done.first() is not None:
        record(session, SYSTEM, "brake.closed", f"request:{request_id}", why=why, **asdict(figures))


async def hold(session: AsyncSession, verdict: Verdict) -> None:
    """Keep a rejection for a person instead of giving it; the claim stays submitted."""
    held = HeldVerdict(
        request_id=verdict.request_id,
        claim_id=verdict.claim_id,
        revision=verdict.revision,
        worker_id=verdict.worker_id,
        verdict=verdict.model_dump(mode="json"),
    )
    session.add(held)
    await session.flush()
    request = f"request:{verdict.request_id}"
    record(session, SYSTEM, "verdict.held", request, claim=str(verdict.claim_id), revision=verdict.revision)


async def is_held(session: AsyncSession, request_id: UUID, claim_id: UUID, revision: int) -> bool:
    """Return whether the judgement on a revision waits for a person; the caller has locked the claim."""
    statement = select(HeldVerdict.id).where(
        HeldVerdict.request_id == request_id, HeldVerdict.claim_id == claim_id, HeldVerdict.revision == revision
    )
    return (await session.exec(statement)).first() is not None


async def is_reviewed(session: AsyncSession, request_id: UUID, claim_id: UUID, worker_id: UUID) -> bool:
    """Return whether a person is reviewing this worker's submission of a claim at the moment."""
    statement = select(HeldVerdict.id).where(
        HeldVerdict.request_id == request_id,
        HeldVerdict.claim_id == claim_id,
        HeldVerdict.worker_id == worker_id,
        col(HeldVerdict.state) == HeldState.WAITING,
    )
    return (await session.exec(statement)).first() is not None


async def brake_of(session: AsyncSession, actor: Actor, request_id: UUID) -> BrakeView:
    """Return the brake of a request of one's own; `RequestNotFound` for another tenant's."""
    await request_of(session, actor, request_id)
    return await _view(session, request_id, await session.get(Brake, request_id))


async def open_brake(session: AsyncSession, actor: Actor, request_id: UUID, reason: str) -> BrakeView:
    """Let the gates reject again; what is held stays for a person, and counting begins anew.

    Raises:
        BrakeOpen: nothing is held back.
    """
    await request_of(session, actor, request_id)
    brake = await session.get(Brake, request_id, with_for_update=True, populate_existing=True)
    if brake is None or not is_closed(brake):
        raise BrakeOpen
    brake.opened_at, brake.opened_by, brake.reason = now(), actor.principal, reason
    session.add(brake)
    await session.flush()
    record(session, actor, "brake.opened", f"request:{request_id}", reason=reason)
    return await _view(session, request_id, brake)


async def _view(session: AsyncSession, request_id: UUID, brake: Brake | None) -> BrakeView:
    waiting = select(func.count()).select_from(HeldVerdict)
    waiting = waiting.where(col(HeldVerdict.request_id) == request_id, col(HeldVerdict.state) == HeldState.WAITING)
    return BrakeView(
        request_id=request_id,
        is_closed=is_closed(brake),
        why=brake.why if brake else None,
        figures=brake.figures if brake else {},
        times=brake.times if brake else 0,
        waiting=(await session.exec(waiting)).one(),
        closed_at=brake.closed_at if brake else None,
        opened_at=brake.opened_at if brake else None,
        reason=brake.reason if brake else None,
    )
