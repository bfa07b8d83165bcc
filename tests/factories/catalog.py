"""Dataset requests, items and gold for tests of every subdomain."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.answers import make_validator
from marketplace.catalog.label_schemas import read_definition
from marketplace.catalog.models import DatasetRequest, Gold, Guideline, Item, LabelSchema
from marketplace.catalog.schemas import QualityPlan, Scoring
from marketplace.catalog.states import AwardMode, Channel, DataClass, RefundTo, RequestState
from marketplace.core.clock import now
from marketplace.core.ids import new_id

SENTIMENT: dict[str, Any] = {
    "kind": "single_choice",
    "choices": [
        {"value": "positive", "label": {"zh-CN": "正面", "en": "Positive"}},
        {"value": "negative", "label": {"zh-CN": "负面", "en": "Negative"}},
    ],
}


def request_fields(organisation_id: UUID, **overrides: Any) -> dict[str, Any]:
    """The columns of a dataset request that could be published; `quality_plan` may be given in part."""
    plan = QualityPlan.model_validate(overrides.pop("quality_plan", {}))
    fields: dict[str, Any] = {
        "id": new_id(),
        "organisation_id": organisation_id,
        "title": "商品评论情感",
        "description": "Is the buyer content?",
        "subject": "sentiment",
        "languages": ["zh"],
        "currency": "CNY",
        "unit_price_ceiling": 350_000,
        "budget_minor": 1_000_000,
        "deadline": now() + timedelta(days=30),
        "bid_deadline": now() + timedelta(days=3),
        "quality_plan": plan.model_dump(mode="json"),
        "scoring": Scoring().model_dump(),
        "data_class": DataClass.PUBLIC,
        "residency": ["CN", "TH"],
        "channel": Channel.BOTH,
        "award_mode": AwardMode.AUTO,
        "refund_to": RefundTo.BALANCE,
        "release_window_seconds": 72 * 3600,
        "seconds_per_task": 10.0,
        "seed": 20_250_101,
        "label_schema_version": 1,
        "guideline_version": 1,
        "state": RequestState.DRAFT,
    }
    return fields | overrides


async def make_request(
    session: AsyncSession, organisation_id: UUID, *, definition: dict[str, Any] = SENTIMENT, **overrides: Any
) -> DatasetRequest:
    """A request (a draft unless `state` says otherwise) with label schema and guideline, and no items yet."""
    request = DatasetRequest(**request_fields(organisation_id, **overrides))
    parsed = read_definition(definition)
    validator = make_validator(parsed)
    schema = LabelSchema(
        request_id=request.id,
        version=1,
        kind=parsed.kind,
        definition=parsed.model_dump(mode="json", exclude_none=True),
        json_schema=validator.json_schema,
    )
    session.add_all([request, schema, Guideline(request_id=request.id, version=1, body="Read, then choose.")])
    await session.flush()
    return request


async def make_items(
    session: AsyncSession, request: DatasetRequest, count: int, *, data: Sequence[dict[str, Any]] | None = None
) -> list[Item]:
    """That many more items to label, at the positions that follow; `data` gives each its own."""
    first = request.item_count
    items = [
        Item(
            request_id=request.id,
            external_id=f"item-{first + index}",
            position=first + index,
            data=data[index] if data else {"text": f"评论 {first + index}"},
        )
        for index in range(count)
    ]
    request.item_count += count
    session.add_all([request, *items])
    await session.flush()
    return items


async def make_gold(session: AsyncSession, request: DatasetRequest, truths: Sequence[Any]) -> list[Item]:
    """A gold item for each truth (an answer object, such as ``{"choice": "positive"}``)."""
    first = request.gold_count
    items = [
        Item(request_id=request.id, external_id=f"gold-{first + index}", position=-1, data={"text": f"金标 {index}"})
        for index in range(len(truths))
    ]
    golds = [
        Gold(request_id=request.id, item_id=item.id, truth=truth, note="known")
        for item, truth in zip(items, truths, strict=True)
    ]
    request.gold_count += len(truths)
    session.add_all([request, *items, *golds])
    await session.flush()
    return items
