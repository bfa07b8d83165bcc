"""Requests in production, with bundles and workers who have confirmed the guideline."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.states import RequestState
from marketplace.core.db import Database
from marketplace.core.ids import new_id
from marketplace.matching.models import Contract
from marketplace.tasks import bundles, claims, feed, submissions
from tests.factories.catalog import make_gold, make_items, make_request
from tests.factories.identity import Party, make_approved_worker, make_enterprise
from tests.factories.matching import make_contract

RIGHT = {"choice": "positive"}


@dataclass(frozen=True, slots=True)
class Work:
    """A request in production, its contract, and workers who may claim."""

    request: DatasetRequest
    contract: Contract
    workers: list[Party]

    def command(self, worker: Party, key: str = "", *, lease_seconds: int = 600) -> claims.ClaimCommand:
        """A claim of this contract by this worker; without a key, a new one."""
        key = key or str(new_id())
        gold = self.request.gold_count
        return claims.ClaimCommand(self.request.id, self.contract.id, worker.actor.id, key, gold, lease_seconds)

    def submission(self, worker: Party, claim: claims.HeldClaim, answers: list[Any]) -> submissions.Submission:
        """A submission of these answers under a new id."""
        return submissions.Submission(self.request.id, claim.id, worker.actor.id, new_id(), answers)


async def make_work(
    session: AsyncSession,
    *,
    tasks: int = 40,
    gold: int = 4,
    workers: int = 2,
    contract: dict[str, Any] | None = None,
    vendor: Party | None = None,
    **request: Any,
) -> Work:
    """Make a request of that many tasks in production, with an open-crowd contract (or the vendor's) over all."""
    enterprise = await make_enterprise(session)
    plan = {"overlap_min": 2, "overlap_max": 3, "bundle_max_tasks": 10} | request.pop("quality_plan", {})
    fields = {"state": RequestState.AWARDED, "residency": ["*"], "quality_plan": plan} | request
    made = await make_request(session, enterprise.actor.organisation_id, **fields)
    await make_items(session, made, tasks)
    await make_gold(session, made, [RIGHT] * gold)
    vendor_id = vendor.actor.organisation_id if vendor else None
    deal = await make_contract(session, made, vendor_id, **(contract or {}))
    await bundles.build_bundles(session, made.id, deal.id)
    engaged = [vendor.organisation] if vendor and vendor.organisation else []
    people = [await make_approved_worker(session, vendors=engaged) for _ in range(workers)]
    for person in people:
        await feed.confirm_guideline(session, person.actor.id, made.id, deal.id, version=1)
    return Work(made, deal, people)


async def committed_work(database: Database, **options: Any) -> Work:
    """As `make_work`, committed."""
    async with database.sessions() as session:
        work = await make_work(session, **options)
        await session.commit()
    return work


async def answers_for(connection: Any, work: Work, worker: Party, claim: claims.HeldClaim) -> list[Any]:
    """Answer every task of a claim, gold among them, rightly."""
    gold = await gold_of(connection, work, worker, claim)
    return [submissions.GivenAnswer(task, RIGHT, 2.0) for task in [*claim.task_ids, *gold]]


async def gold_of(connection: Any, work: Work, worker: Party, claim: claims.HeldClaim) -> list[UUID]:
    """The gold tasks of a claim."""
    pool = await submissions.request_pool(connection, work.request.id)
    return pool.gold_span(worker.actor.id, claim.gold_start, claim.gold_count, claim.claimed_at)


async def claim_and_submit(database: Database, work: Work, worker: Party) -> tuple[claims.HeldClaim, Any]:
    """Claim a bundle and submit it rightly answered; return the claim and the acknowledgement."""
    async with database.hot.acquire() as connection:
        claim = await claims.claim_seat(connection, work.command(worker))
        answers = await answers_for(connection, work, worker, claim)
        return claim, await submissions.submit(connection, work.submission(worker, claim, answers))
