"""Reads of the catalog; they decide who sees which dataset request."""

from collections.abc import Collection
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.answers import AnswerValidator, make_validator, remember_validator, remembered_validator
from marketplace.catalog.errors import GuidelineNotFound, LabelSchemaNotFound, RequestNotFound
from marketplace.catalog.label_schemas import Definition, ImageShapes, read_definition
from marketplace.catalog.models import DatasetRequest, Gold, Guideline, Item, LabelSchema, Upload
from marketplace.catalog.policy import PUBLISHED, estimate_cost, price_text
from marketplace.catalog.schemas import (
    CostEstimate,
    GuidelineView,
    LabelSchemaView,
    OpenRequestView,
    QualityPlan,
    RequestView,
)
from marketplace.catalog.states import Channel, RequestState, UploadState
from marketplace.core.actor import Actor
from marketplace.core.money import Money
from marketplace.core.paging import Page, PageQuery, read_page


class OpenFilter(BaseModel):
    """Which of the open requests to list; what is left out does not narrow."""

    channel: Channel | None = None
    subject: Annotated[str | None, Field(max_length=100)] = None
    language: Annotated[str | None, Field(max_length=35, description="A BCP 47 tag among the data's languages")] = None


async def locked(session: AsyncSession, request_id: UUID) -> DatasetRequest:
    """Return a request locked until the transaction ends, as it now is; raise `RequestNotFound` without one."""
    statement = select(DatasetRequest).where(DatasetRequest.id == request_id).with_for_update()
    found = (await session.exec(statement.execution_options(populate_existing=True))).first()
    if found is None:
        raise RequestNotFound
    return found


async def request_of(session: AsyncSession, actor: Actor, request_id: UUID, *, lock: bool = False) -> DatasetRequest:
    """Return a request of the actor's own organisation (any, for the operator), locked for a change if asked.

    Raises:
        RequestNotFound: there is none, or it is another organisation's.
    """
    request = await locked(session, request_id) if lock else await session.get(DatasetRequest, request_id)
    if request is None or not (actor.is_operator or request.organisation_id == actor.organisation_id):
        raise RequestNotFound
    return request


async def published_request(session: AsyncSession, request_id: UUID) -> DatasetRequest:
    """Return a request that has been published; raise `RequestNotFound` for any other."""
    request = await session.get(DatasetRequest, request_id)
    if request is None or request.state not in PUBLISHED:
        raise RequestNotFound
    return request


async def open_request(session: AsyncSession, request_id: UUID) -> OpenRequestView:
    """Return a published request as everybody sees it, without its budget."""
    return open_view(await published_request(session, request_id))


async def readable_request(session: AsyncSession, actor: Actor, request_id: UUID) -> DatasetRequest:
    """Return a request that the actor may read about: their own, or a published one; else `RequestNotFound`."""
    request = await session.get(DatasetRequest, request_id)
    if request is None:
        raise RequestNotFound
    if actor.is_operator or request.organisation_id == actor.organisation_id or request.state in PUBLISHED:
        return request
    raise RequestNotFound


async def requests_of(
    session: AsyncSession, actor: Actor, query: PageQuery, state: RequestState | None = None
) -> Page[RequestView]:
    """Return a page of the requests of the actor's organisation (all, for the operator), newest first."""
    statement = select(DatasetRequest)
    if not actor.is_operator:
        statement = statement.where(DatasetRequest.organisation_id == actor.organisation_id)
    if state is not None:
        statement = statement.where(DatasetRequest.state == state)
    rows, cursor = await read_page(session, statement, DatasetRequest.id, query)
    return Page(items=[request_view(row) for row in rows], next_cursor=cursor)


async def open_requests(session: AsyncSession, query: PageQuery, wanted: OpenFilter) -> Page[OpenRequestView]:
    """Return a page of the requests that are open for bids or work, newest first."""
    running = (RequestState.OPEN, RequestState.AWARDED, RequestState.IN_PRODUCTION)
    statement = select(DatasetRequest).where(col(DatasetRequest.state).in_(running))
    if wanted.channel is not None:
        statement = statement.where(DatasetRequest.channel == wanted.channel)
    if wanted.subject is not None:
        statement = statement.where(DatasetRequest.subject == wanted.subject)
    if wanted.language is not None:
        statement = statement.where(func.jsonb_exists(col(DatasetRequest.languages), wanted.language))
    rows, cursor = await read_page(session, statement, DatasetRequest.id, query)
    return Page(items=[open_view(row) for row in rows], next_cursor=cursor)


def estimate_of(request: DatasetRequest) -> CostEstimate:
    """Return what the answers of a request cost at its price ceiling."""
    plan = QualityPlan.model_validate(request.quality_plan)
    return estimate_cost(request.item_count, plan, request.unit_price_ceiling, request.currency)


def open_view(request: DatasetRequest) -> OpenRequestView:
    """Return a request as everybody sees it."""
    price = price_text(request.unit_price_ceiling, request.currency)
    return OpenRequestView.model_validate({**request.model_dump(), "unit_price_text": price})


def request_view(request: DatasetRequest) -> RequestView:
    """Return a request as its enterprise and the operator see it."""
    return RequestView.model_validate({
        **request.model_dump(),
        "unit_price_text": price_text(request.unit_price_ceiling, request.currency),
        "budget_text": str(Money(request.budget_minor, request.currency)),
        "estimate": estimate_of(request),
    })  # fmt: skip


async def label_schema(session: AsyncSession, request_id: UUID, version: int | None = None) -> LabelSchema:
    """Return a version of a request's label schema (None: the newest); raise `LabelSchemaNotFound` without it."""
    statement = select(LabelSchema).where(LabelSchema.request_id == request_id)
    if version is not None:
        statement = statement.where(LabelSchema.version == version)
    found = (await session.exec(statement.order_by(col(LabelSchema.version).desc()).limit(1))).first()
    if found is None:
        raise LabelSchemaNotFound
    return found


async def label_schema_view(session: AsyncSession, request_id: UUID, version: int | None = None) -> LabelSchemaView:
    """Return a version of a request's label schema for showing."""
    return LabelSchemaView.model_validate((await label_schema(session, request_id, version)).model_dump())


async def validator_of(session: AsyncSession, request_id: UUID, version: int) -> AnswerValidator:
    """Return the validator of a version of a request's label schema; the query is saved when it is remembered."""
    validator = remembered_validator(request_id, version)
    if validator is None:
        stored = await label_schema(session, request_id, version)
        validator = make_validator(read_definition(stored.definition))
        remember_validator(request_id, version, validator)
    return validator


async def guideline(session: AsyncSession, request_id: UUID, version: int | None = None) -> Guideline:
    """Return a version of a request's guideline (None: the newest); raise `GuidelineNotFound` without it."""
    statement = select(Guideline).where(Guideline.request_id == request_id)
    if version is not None:
        statement = statement.where(Guideline.version == version)
    found = (await session.exec(statement.order_by(col(Guideline.version).desc()).limit(1))).first()
    if found is None:
        raise GuidelineNotFound
    return found


async def guideline_view(session: AsyncSession, request_id: UUID, version: int | None = None) -> GuidelineView:
    """Return a version of a request's guideline for showing."""
    return GuidelineView.model_validate((await guideline(session, request_id, version)).model_dump())


async def gold_truths(session: AsyncSession, request_id: UUID) -> dict[UUID, Any]:
    """Return the known truth of each gold item by the item's id, in the order of the ids."""
    statement = select(Gold.item_id, Gold.truth).where(Gold.request_id == request_id).order_by(col(Gold.item_id))
    return dict((await session.exec(statement)).all())


async def items_by_ids(session: AsyncSession, request_id: UUID, ids: Collection[UUID]) -> dict[UUID, Item]:
    """Return the items of a request that have these ids; ids of other requests find nothing."""
    found = await session.exec(select(Item).where(Item.request_id == request_id, col(Item.id).in_(ids)))
    return {item.id: item for item in found.all()}


async def has_waiting_import(session: AsyncSession, request_id: UUID) -> bool:
    """Return whether an upload of the request has arrived and has not become items yet."""
    waiting = select(Upload.id).where(
        Upload.request_id == request_id, col(Upload.state).in_((UploadState.RECEIVED, UploadState.IMPORTING))
    )
    return (await session.exec(waiting.limit(1))).first() is not None


async def count_unfit_items(session: AsyncSession, request_id: UUID, definition: Definition) -> int:
    """Return how many items lack what the label schema asks about: a text in a named field, or an image file."""
    lacking = [
        func.jsonb_typeof(col(Item.data)[name]).is_distinct_from("string") for name in definition.needed_fields()
    ]
    if isinstance(definition, ImageShapes) and definition.image_field is None:
        lacking.append(col(Item.media_key).is_(None))
    if not lacking:
        return 0
    unfit = lacking[0]
    for condition in lacking[1:]:
        unfit |= condition
    found = await session.exec(select(func.count()).select_from(Item).where(Item.request_id == request_id, unfit))
    return found.one()
