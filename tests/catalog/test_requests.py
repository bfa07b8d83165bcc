"""The way of a dataset request: who may do what to it, and when."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog import queries, service
from marketplace.catalog.errors import (
    EnterpriseNeeded,
    GoldContradicted,
    GuidelineNotFound,
    LabelSchemaNotFound,
    RequestFrozen,
    RequestIncomplete,
    RequestInvalid,
    RequestNotFound,
)
from marketplace.catalog.label_schemas import read_definition
from marketplace.catalog.models import DatasetRequest, Upload
from marketplace.catalog.schemas import GuidelineDraft, RequestDraft, RequestPatch
from marketplace.catalog.states import REQUEST_STEPS, RUNNING, Channel, RequestState, UploadFormat, UploadState
from marketplace.core.clock import now
from marketplace.core.errors import TransitionRefused
from marketplace.core.outbox import Outbox
from marketplace.core.paging import PageQuery
from tests.factories.catalog import SENTIMENT, make_gold, make_items, make_request
from tests.factories.identity import Party, make_enterprise, make_operator, make_vendor


def draft(**overrides: Any) -> RequestDraft:
    fields: dict[str, Any] = {
        "title": "Reviews", "description": "Is the buyer content?", "subject": "sentiment", "languages": ["zh"],
        "currency": "CNY", "unit_price_ceiling": 35_000, "budget_minor": 500_000,
        "deadline": now() + timedelta(days=30), "bid_deadline": now() + timedelta(days=3), "data_class": "public",
        "residency": ["CN"], "channel": "both", "label_schema": SENTIMENT, "guideline": {"body": "Choose."},
    }  # fmt: skip
    return RequestDraft.model_validate(fields | overrides)


async def sent(session: AsyncSession, kind: str) -> list[Outbox]:
    await session.flush()
    return list((await session.exec(select(Outbox).where(Outbox.kind == kind))).all())


@pytest.fixture
async def enterprise(session: AsyncSession) -> Party:
    return await make_enterprise(session)


async def funded(session: AsyncSession, enterprise: Party, **overrides: Any) -> DatasetRequest:
    assert enterprise.organisation is not None
    request = await make_request(session, enterprise.organisation.id, **{"state": RequestState.FUNDED, **overrides})
    await make_items(session, request, 10)
    return request


async def test_draft_has_first_versions_when_created_with_them(session: AsyncSession, enterprise: Party) -> None:
    request = await service.create_request(session, enterprise.actor, draft())
    view = queries.request_view(request)
    assert view.state is RequestState.DRAFT
    assert (view.label_schema_version, view.guideline_version) == (1, 1)
    assert (view.unit_price_text, view.budget_text) == ("0.035 CNY", "5,000.00 CNY")
    schema = await queries.label_schema(session, request.id)
    assert schema.json_schema["properties"]["choice"] == {"enum": ["positive", "negative"]}
    validator = await queries.validator_of(session, request.id, 1)
    assert validator is await queries.validator_of(session, request.id, 1)


async def test_creation_is_refused_when_the_actor_is_no_enterprise(session: AsyncSession) -> None:
    vendor = await make_vendor(session)
    with pytest.raises(EnterpriseNeeded):
        await service.create_request(session, vendor.actor, draft())


async def test_creation_names_every_problem_when_rules_are_broken(session: AsyncSession, enterprise: Party) -> None:
    wrong = draft(
        currency="XXX", deadline=now() - timedelta(days=1), bid_deadline=now() - timedelta(days=2),
        data_class="personal", residency=["*"],
    )  # fmt: skip
    with pytest.raises(RequestInvalid) as caught:
        await service.create_request(session, enterprise.actor, wrong)
    assert {p.field for p in caught.value.fields} == {"deadline", "bid_deadline", "currency", "residency"}


async def test_draft_changes_when_edited_and_keeps_the_rest(session: AsyncSession, enterprise: Party) -> None:
    request = await service.create_request(session, enterprise.actor, draft())
    patch = RequestPatch.model_validate({"title": "Reviews II", "quality_plan": {"overlap_min": 2}})
    edited = await service.edit_request(session, enterprise.actor, request.id, patch)
    assert (edited.title, edited.subject) == ("Reviews II", "sentiment")
    assert edited.quality_plan["overlap_min"] == 2
    assert edited.quality_plan["gold_pass_share"] == 0.7
    late = RequestPatch(bid_deadline=edited.deadline + timedelta(days=1))
    with pytest.raises(RequestInvalid):
        await service.edit_request(session, enterprise.actor, request.id, late)


async def test_edit_is_refused_when_funded(session: AsyncSession, enterprise: Party) -> None:
    request = await funded(session, enterprise)
    with pytest.raises(RequestFrozen):
        await service.edit_request(session, enterprise.actor, request.id, RequestPatch(title="x"))


async def test_request_is_hidden_when_it_is_of_another_organisation(session: AsyncSession, enterprise: Party) -> None:
    request = await funded(session, enterprise)
    stranger = await make_enterprise(session)
    for act in (
        queries.request_of(session, stranger.actor, request.id),
        queries.readable_request(session, stranger.actor, request.id),
        queries.open_request(session, request.id),
        service.publish(session, stranger.actor, request.id),
        service.cancel(session, stranger.actor, request.id),
        service.edit_request(session, stranger.actor, request.id, RequestPatch(title="x")),
        service.set_guideline(session, stranger.actor, request.id, GuidelineDraft(body="x")),
        service.set_label_schema(session, stranger.actor, request.id, read_definition(SENTIMENT)),
    ):
        with pytest.raises(RequestNotFound):
            await act
    operator = await make_operator(session)
    assert (await queries.request_of(session, operator.actor, request.id)).id == request.id
    page = await queries.requests_of(session, stranger.actor, PageQuery())
    assert page.items == []


async def test_published_request_shows_no_budget_when_seen_by_others(session: AsyncSession, enterprise: Party) -> None:
    request = await funded(session, enterprise)
    await service.publish(session, enterprise.actor, request.id)
    view = await queries.open_request(session, request.id)
    assert not {"budget_minor", "budget_text", "estimate", "organisation_id", "gold_count"} & set(view.model_dump())


async def test_open_requests_are_narrowed_when_filtered(session: AsyncSession, enterprise: Party) -> None:
    thai = await funded(session, enterprise, languages=["th"], subject="asr", state=RequestState.OPEN)
    await funded(session, enterprise, state=RequestState.OPEN)
    await funded(session, enterprise, languages=["th"], subject="asr")
    wanted = queries.OpenFilter(language="th", subject="asr", channel=Channel.BOTH)
    page = await queries.open_requests(session, PageQuery(), wanted)
    assert [view.id for view in page.items] == [thai.id]


async def test_publishing_closes_bids_at_their_deadline_when_vendors_may_bid(
    session: AsyncSession, enterprise: Party
) -> None:
    request = await funded(session, enterprise)
    published = await service.publish(session, enterprise.actor, request.id)
    assert published.state is RequestState.OPEN
    assert published.published_at is not None
    [job] = await sent(session, "matching.close_bids")
    assert job.payload == {"request_id": str(request.id)}
    assert job.due_at == published.bid_deadline


async def test_publishing_goes_straight_on_when_only_the_crowd_works(session: AsyncSession, enterprise: Party) -> None:
    request = await funded(session, enterprise, channel=Channel.OPEN_CROWD)
    await service.publish(session, enterprise.actor, request.id)
    [job] = await sent(session, "matching.close_bids")
    assert job.due_at <= now()


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"label_schema_version": 0}, "label_schema"),
        ({"guideline_version": 0}, "guideline"),
        ({"residency": []}, "residency"),
        ({"budget_minor": 1_049}, "budget_minor"),
        ({"bid_deadline": now() - timedelta(hours=1)}, "bid_deadline"),
        ({"definition": {"kind": "pairwise_preference"}}, "items"),
        ({"definition": {"kind": "image_shapes", "shapes": ["box"], "labels": SENTIMENT["choices"]}}, "items"),
    ],
)
async def test_publishing_names_what_is_missing_when_incomplete(
    session: AsyncSession, enterprise: Party, overrides: dict[str, Any], field: str
) -> None:
    request = await funded(session, enterprise, **overrides)
    with pytest.raises(RequestIncomplete) as caught:
        await service.publish(session, enterprise.actor, request.id)
    assert [p.field for p in caught.value.fields] == [field]


async def test_publishing_waits_when_items_are_missing_or_arriving(session: AsyncSession, enterprise: Party) -> None:
    assert enterprise.organisation is not None
    request = await make_request(session, enterprise.organisation.id, state=RequestState.FUNDED)
    upload = Upload(
        request_id=request.id, organisation_id=request.organisation_id, filename="a", format=UploadFormat.CSV,
        keep_good_rows=True, size_bytes=1, state=UploadState.RECEIVED,
    )  # fmt: skip
    session.add(upload)
    await session.flush()
    with pytest.raises(RequestIncomplete) as caught:
        await service.publish(session, enterprise.actor, request.id)
    assert [p.field for p in caught.value.fields] == ["items", "items"]
    with pytest.raises(RequestFrozen):
        await service.set_label_schema(session, enterprise.actor, request.id, read_definition(SENTIMENT))


async def test_publishing_is_refused_when_not_funded(session: AsyncSession, enterprise: Party) -> None:
    request = await funded(session, enterprise, state=RequestState.DRAFT)
    with pytest.raises(TransitionRefused):
        await service.publish(session, enterprise.actor, request.id)


@pytest.mark.parametrize(
    ("state", "refunds"), [(RequestState.DRAFT, 0), (RequestState.FUNDED, 1), (RequestState.OPEN, 1)]
)
async def test_cancelling_refunds_when_money_was_reserved(
    session: AsyncSession, enterprise: Party, state: RequestState, refunds: int
) -> None:
    request = await funded(session, enterprise, state=state)
    cancelled = await service.cancel(session, enterprise.actor, request.id)
    assert cancelled.state is RequestState.CANCELLED
    assert cancelled.closed_at is not None
    assert len(await sent(session, "settlement.refund_cancelled")) == refunds


@pytest.mark.parametrize("state", RequestState)
@pytest.mark.parametrize("target", RequestState)
async def test_move_follows_the_table_when_a_step_is_asked(
    session: AsyncSession, enterprise: Party, state: RequestState, target: RequestState
) -> None:
    back = str(RequestState.IN_PRODUCTION) if state is RequestState.SUSPENDED else None
    request = await funded(session, enterprise, state=state, suspended_from=back)
    allowed = target in REQUEST_STEPS.get(state, ()) and (back is None or target == back)
    if allowed:
        moved = await service.move(session, request, target)
        assert moved.state is target
        assert moved.suspended_from == (str(state) if target is RequestState.SUSPENDED else None)
    else:
        with pytest.raises(TransitionRefused):
            await service.move(session, request, target)


@pytest.mark.parametrize("state", sorted(RUNNING))
async def test_request_comes_back_to_its_state_when_resumed(
    session: AsyncSession, enterprise: Party, state: RequestState
) -> None:
    operator = await make_operator(session)
    request = await funded(session, enterprise, state=state)
    await service.suspend(session, operator.actor, request.id, "spam")
    resumed = await service.resume(session, operator.actor, request.id)
    assert (resumed.state, resumed.suspended_from) == (state, None)
    assert len(await sent(session, "matching.close_bids")) == (1 if state is RequestState.OPEN else 0)
    with pytest.raises(TransitionRefused):
        await service.resume(session, operator.actor, request.id)


async def test_versions_count_up_until_the_award_when_set(session: AsyncSession, enterprise: Party) -> None:
    request = await funded(session, enterprise, state=RequestState.OPEN)
    second = await service.set_guideline(session, enterprise.actor, request.id, GuidelineDraft(body="Second."))
    schema = await service.set_label_schema(session, enterprise.actor, request.id, read_definition(SENTIMENT))
    assert (second.version, schema.version, request.guideline_version) == (2, 2, 2)
    assert (await queries.guideline(session, request.id, 1)).body != (await queries.guideline(session, request.id)).body
    await service.move(session, request, RequestState.AWARDED)
    with pytest.raises(RequestFrozen):
        await service.set_guideline(session, enterprise.actor, request.id, GuidelineDraft(body="Third."))
    with pytest.raises(GuidelineNotFound):
        await queries.guideline(session, request.id, 3)
    with pytest.raises(LabelSchemaNotFound):
        await queries.label_schema(session, request.id, 3)


async def test_label_schema_is_refused_when_gold_contradicts_it(session: AsyncSession, enterprise: Party) -> None:
    request = await funded(session, enterprise)
    [gold] = await make_gold(session, request, [{"choice": "negative"}])
    narrower = {**SENTIMENT, "choices": [*SENTIMENT["choices"][:1], {"value": "none", "label": {"en": "None"}}]}
    with pytest.raises(GoldContradicted, match=gold.external_id):
        await service.set_label_schema(session, enterprise.actor, request.id, read_definition(narrower))
    assert await queries.gold_truths(session, request.id) == {gold.id: {"choice": "negative"}}
    assert set(await queries.items_by_ids(session, request.id, [gold.id])) == {gold.id}
