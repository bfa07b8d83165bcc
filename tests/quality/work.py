"""A request in production with workers who claim, answer and submit by the real statements of `tasks`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlmodel import select

from marketplace.catalog.models import DatasetRequest, Gold
from marketplace.catalog.states import RequestState
from marketplace.core.db import Database
from marketplace.core.ids import new_id
from marketplace.core.settings import Settings
from marketplace.matching.models import Contract
from marketplace.quality import completion, refit
from marketplace.quality.models import Consensus, Verdict
from marketplace.quality.service import judge
from marketplace.tasks.bundles import build_bundles
from marketplace.tasks.claims import ClaimCommand, HeldClaim, claim_seat, held_claim
from marketplace.tasks.models import Claim, RequestWorker, Task
from marketplace.tasks.pools import request_pool
from marketplace.tasks.submissions import GivenAnswer, Submission, submit
from tests.factories.catalog import SENTIMENT, make_gold, make_items, make_request
from tests.factories.identity import make_organisation
from tests.factories.matching import make_contract

Answering = Callable[[UUID], Any]


def choice(value: str) -> dict[str, str]:
    return {"choice": value}


@dataclass
class Work:
    """A contract under way; `truth` holds the right answer of every task, gold included."""

    database: Database
    settings: Settings
    request: DatasetRequest
    contract: Contract
    truth: dict[UUID, Any]
    gold: frozenset[UUID] = frozenset()
    workers: list[UUID] = field(default_factory=list)

    def right(self, task: UUID) -> Any:
        return self.truth[task]

    def wrong(self, task: UUID) -> Any:
        return choice("negative" if self.truth[task] == choice("positive") else "positive")

    def wrong_but_gold(self, task: UUID) -> Any:
        return self.right(task) if task in self.gold else self.wrong(task)

    def one_gold_wrong(self) -> Answering:
        """Answer one gold task wrong, the first that is met, however often it is met, and everything else right."""
        wrong: set[UUID] = set()

        def answer(task: UUID) -> Any:
            if task in self.gold and (not wrong or task in wrong):
                wrong.add(task)
                return self.wrong(task)
            return self.right(task)

        return answer

    async def worker(self, worker_id: UUID | None = None) -> UUID:
        worker = worker_id or new_id()
        async with self.database.sessions() as session:
            session.add(
                RequestWorker(
                    request_id=self.request.id,
                    worker_id=worker,
                    guideline_version=1,
                    contract_ids=[self.contract.id],
                    seen_blocks=[],
                )
            )
            await session.commit()
        self.workers.append(worker)
        return worker

    async def claim(self, worker: UUID) -> HeldClaim:
        async with self.database.hot.acquire() as connection:
            pool = await request_pool(connection, self.request.id)
            command = ClaimCommand(self.request.id, self.contract.id, worker, str(new_id()), len(pool.gold_ids), 1800)
            return await claim_seat(connection, command)

    async def tasks_of(self, claim: HeldClaim, worker: UUID) -> list[UUID]:
        async with self.database.hot.acquire() as connection:
            pool = await request_pool(connection, self.request.id)
            return [*claim.task_ids, *pool.gold_span(worker, claim.gold_start, claim.gold_count, claim.claimed_at)]

    async def submit(self, claim: HeldClaim, worker: UUID, answering: Answering, seconds: float = 10.0) -> int:
        tasks = await self.tasks_of(claim, worker)
        answers = [GivenAnswer(task, answering(task), seconds) for task in tasks]
        async with self.database.hot.acquire() as connection:
            # the server's clock says that the worker took their time
            await connection.execute(
                "UPDATE claim SET created_at = created_at - $3 * interval '1 second' WHERE request_id = $1 AND id = $2",
                self.request.id,
                claim.id,
                seconds * len(tasks),
            )
            done = await submit(connection, Submission(self.request.id, claim.id, worker, new_id(), answers))
        assert done.state == "submitted"
        return done.revision

    async def judge(self, claim_id: UUID, revision: int = 1) -> Verdict | None:
        async with self.database.sessions() as session:
            verdict = await judge(session, self.request.id, claim_id, revision, self.settings)
            await session.commit()
        return verdict

    async def redo(self, claim_id: UUID, worker: UUID, answering: Answering, seconds: float = 10.0) -> Verdict:
        async with self.database.hot.acquire() as connection:
            claim = await held_claim(connection, self.request.id, claim_id, worker)
        revision = await self.submit(claim, worker, answering, seconds)
        verdict = await self.judge(claim_id, revision)
        assert verdict is not None
        return verdict

    async def do(self, worker: UUID, answering: Answering, seconds: float = 10.0) -> Verdict:
        claim = await self.claim(worker)
        revision = await self.submit(claim, worker, answering, seconds)
        verdict = await self.judge(claim.id, revision)
        assert verdict is not None
        return verdict

    async def extend(self) -> int:
        async with self.database.sessions() as session:
            made = await completion.extend(session, self.request.id, self.contract.id)
            await session.commit()
        return made

    async def end(self) -> None:
        """End the contract as its jobs do: what is left to ask, a last fit, and the labels that follow from it."""
        await self.extend()
        async with self.database.sessions() as session:
            await refit.refit(session, self.request.id)
            await session.execute(text("DELETE FROM outbox WHERE kind IN ('quality.refit', 'quality.recompute')"))
            await session.commit()
        await self.extend()

    async def claim_row(self, claim_id: UUID) -> Claim:
        async with self.database.sessions() as session:
            return await session.get_one(Claim, (self.request.id, claim_id))

    async def tasks(self) -> dict[UUID, Task]:
        async with self.database.sessions() as session:
            found = await session.exec(select(Task).where(Task.request_id == self.request.id))
            return {row.id: row for row in found.all()}

    async def consensus(self) -> dict[UUID, Consensus]:
        async with self.database.sessions() as session:
            found = await session.exec(select(Consensus).where(Consensus.request_id == self.request.id))
            return {row.task_id: row for row in found.all()}


async def make_work(
    database: Database,
    settings: Settings,
    *,
    items: int = 6,
    gold: int = 40,
    definition: dict[str, Any] = SENTIMENT,
    organisation: UUID | None = None,
    truth_of: Callable[[int], Any] = lambda n: choice("positive" if n % 2 else "negative"),
    **fields: Any,
) -> Work:
    """A request with items and gold, one open contract, and its first bundles."""
    plan = {
        "overlap_min": 2, "overlap_max": 3, "gold_share": 0.25, "bundle_max_tasks": 6, "adaptive": {"lead": 2},
    }  # fmt: skip
    fields = {"quality_plan": plan, "state": RequestState.AWARDED, **fields}
    async with database.sessions() as session:
        organisation = organisation or (await make_organisation(session)).id
        request = await make_request(session, organisation, definition=definition, **fields)
        rows = await make_items(session, request, items)
        await make_gold(session, request, [truth_of(n) for n in range(gold)])
        contract = await make_contract(session, request)
        await session.commit()
        await build_bundles(session, request.id, contract.id)
        await session.commit()
        golds = (await session.exec(select(Gold).where(Gold.request_id == request.id))).all()
    truth = {row.id: truth_of(n) for n, row in enumerate(rows)} | {row.item_id: row.truth for row in golds}
    return Work(database, settings, request, contract, truth, frozenset(row.item_id for row in golds))
