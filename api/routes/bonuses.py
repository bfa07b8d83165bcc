"""Bonuses from enterprises to workers."""

from uuid import UUID

from fastapi import APIRouter, status

from api.idempotency import OnceOnly
from api.routes.money import Treasurer
from api.session import Session
from marketplace.settlement.bonus import give_bonus
from marketplace.settlement.schemas import BonusView, GiveBonus

router = APIRouter(prefix="/v1", tags=["Money"])


@router.post("/requests/{request_id}/bonuses", status_code=status.HTTP_201_CREATED)
async def give_worker_bonus(
    actor: Treasurer, session: Session, once: OnceOnly, request_id: UUID, body: GiveBonus
) -> BonusView:
    """Give a worker with accepted work in a request a bonus; the worker sees the amount and the reason at once."""

    async def command() -> BonusView:
        return await give_bonus(session, actor, request_id, body)

    return await once.run(BonusView, command)
