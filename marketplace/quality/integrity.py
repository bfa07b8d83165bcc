"""What the tests of fraud found, for the people of a request's enterprise; workers under their pseudonyms."""

from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import BaseModel
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.queries import request_of
from marketplace.core.actor import Actor
from marketplace.core.paging import Page, PageQuery, read_page
from marketplace.quality.aliases import worker_alias
from marketplace.quality.fraud.models import WorkerIntegrity

_KEPT_BACK: Final = {"created_at", "request_id", "worker_id", "copied_with"}


class IntegrityView(BaseModel):
    """Findings on a worker; see `false_alarm_rate`: a finding is a reason to look, not a proof.

    `spammer_score`: 0 says nothing of the truth; `spammer_p`: how often an honest worker at the floor scores no better.
    `copy_z`: agreements beyond what two independent workers have, in standard deviations, with `copied_with`.
    `pattern_period`: answers repeat with this period. `fast_run`: the longest run of answers under the plan's seconds.
    """

    worker: str
    labels: int
    spammer_score: float
    spammer_p: float | None
    is_spammer: bool
    copy_z: float | None
    copy_p: float | None
    copied_with: str | None
    common_tasks: int
    is_copier: bool
    pattern_period: int | None
    pattern_p: float | None
    is_bot: bool
    fast_run: int
    false_alarm_rate: float
    made_at: datetime


async def integrity_of_request(
    session: AsyncSession, actor: Actor, request_id: UUID, query: PageQuery
) -> Page[IntegrityView]:
    """Return a page of the findings on one's request; raise `RequestNotFound` for another's."""
    request = await request_of(session, actor, request_id)
    of_request = select(WorkerIntegrity).where(WorkerIntegrity.request_id == request.id)
    rows, cursor = await read_page(session, of_request, WorkerIntegrity.worker_id, query)
    return Page(items=[_view(row) for row in rows], next_cursor=cursor)


def _view(row: WorkerIntegrity) -> IntegrityView:
    other = None if row.copied_with is None else worker_alias(row.request_id, row.copied_with)
    worker = worker_alias(row.request_id, row.worker_id)
    return IntegrityView.model_validate({**row.model_dump(exclude=_KEPT_BACK), "worker": worker, "copied_with": other})
