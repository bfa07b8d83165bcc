"""A dataset request of any size for the bench, made by set-based SQL; its bundles are built as all others are."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.answers import make_validator
from marketplace.catalog.label_schemas import read_definition
from marketplace.catalog.models import DatasetRequest, LabelSchema
from marketplace.catalog.schemas import QualityPlan, Scoring
from marketplace.catalog.states import AwardMode, Channel, DataClass, LabelKind, RefundTo, RequestState
from marketplace.core.clock import now
from marketplace.core.db import Database, plain_url
from marketplace.core.ids import new_id
from marketplace.core.settings import Settings
from marketplace.matching.models import Contract
from marketplace.tasks.bundles import build_bundles
from marketplace.tasks.models import RequestWorker
from workers.session import run_command

CHOICES: Final = ("correct", "wrong")
UNIT_PRICE: Final = 100_000
BUDGET_MINOR: Final = 10**12
_DEFINITION: Final = {
    "kind": "single_choice",
    "choices": [{"value": value, "label": {"en": value}} for value in CHOICES],
}
_ITEMS: Final = text(
    """
    INSERT INTO item (request_id, id, external_id, position, data, created_at)
    SELECT :request, gen_random_uuid(), n::text, n,
           jsonb_build_object('source', 'term ' || n, 'language', 'vi', 'translation', 'name ' || n), now()
    FROM generate_series(0, :count - 1) AS n
    """
)


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """A request in production, with a contract of the open crowd and its bundles."""

    id: UUID
    contract_id: UUID


async def make_request(database: Database, tasks: int, bundle: int, worker_ids: list[UUID]) -> BenchRequest:
    """Make a request of so many tasks, one answer each, in bundles of `bundle`, open to these workers."""
    request, contract = _rows(tasks, bundle)

    async def command(session: AsyncSession) -> None:
        schema = _label_schema(request.id)
        session.add_all([request, schema, contract])
        session.add_all(_admitted(request.id, contract.id, worker_id) for worker_id in worker_ids)
        await session.flush()
        await session.execute(_ITEMS, {"request": request.id, "count": tasks})
        await build_bundles(session, request.id, contract.id)

    await run_command(database, command)
    return BenchRequest(request.id, contract.id)


def _rows(tasks: int, bundle: int) -> tuple[DatasetRequest, Contract]:
    plan = QualityPlan(
        overlap_min=1, overlap_max=1, gold_share=0, bundle_max_tasks=bundle, bundle_minutes=120, min_seconds_per_task=0
    )
    later = now() + timedelta(days=1)
    request = DatasetRequest(
        id=new_id(), organisation_id=new_id(), title="Bench", description="Tasks of the bench", subject="bench",
        languages=["vi"], currency="CNY", unit_price_ceiling=UNIT_PRICE, budget_minor=BUDGET_MINOR, deadline=later,
        bid_deadline=later, quality_plan=plan.model_dump(), scoring=Scoring().model_dump(),
        data_class=DataClass.PUBLIC, residency=["*"], channel=Channel.OPEN_CROWD, award_mode=AwardMode.AUTO,
        refund_to=RefundTo.BALANCE, release_window_seconds=0, seconds_per_task=1.0, seed=secrets.randbits(63),
        label_schema_version=1, guideline_version=1, item_count=tasks, state=RequestState.AWARDED,
    )  # fmt: skip
    contract = Contract(
        request_id=request.id, id=new_id(), first_position=0, end_position=tasks, unit_price=UNIT_PRICE,
        currency="CNY", platform_fee_bps=1000, worker_share_bps=10_000, pay_workers_directly=True, delivery_at=later,
    )  # fmt: skip
    return request, contract


def _label_schema(request_id: UUID) -> LabelSchema:
    definition = read_definition(_DEFINITION)
    return LabelSchema(
        request_id=request_id,
        version=1,
        kind=LabelKind.SINGLE_CHOICE,
        definition=_DEFINITION,
        json_schema=make_validator(definition).json_schema,
    )


def _admitted(request_id: UUID, contract_id: UUID, worker_id: UUID) -> RequestWorker:
    return RequestWorker(
        request_id=request_id, worker_id=worker_id, guideline_version=1, contract_ids=[contract_id], seen_blocks=[]
    )


async def analyze(settings: Settings) -> None:
    """Let the planner know the new rows, as autovacuum would a minute later; needs the owner's rights."""
    connection = await asyncpg.connect(plain_url(settings.database_url))
    try:
        await connection.execute("ANALYZE item, task, bundle, seat, open_seat, claim, answer, request_worker")
    finally:
        await connection.close()
