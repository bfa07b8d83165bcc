"""Commands on dataset requests: create, edit, fund (by settlement), publish, suspend, resume, cancel."""

import secrets
from typing import Any
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.answers import AnswerValidator, make_validator
from marketplace.catalog.errors import (
    EnterpriseNeeded,
    GoldContradicted,
    RequestFrozen,
    RequestIncomplete,
    RequestInvalid,
)
from marketplace.catalog.label_schemas import Definition, read_definition
from marketplace.catalog.models import DatasetRequest, Gold, Guideline, Item, LabelSchema
from marketplace.catalog.policy import (
    EDITABLE,
    TAKES_VERSIONS,
    deadline_problems,
    money_problems,
    residency_problems,
)
from marketplace.catalog.queries import (
    count_unfit_items,
    estimate_of,
    has_waiting_import,
    label_schema,
    locked,
    request_of,
)
from marketplace.catalog.schemas import GuidelineDraft, RequestDraft, RequestPatch
from marketplace.catalog.states import REQUEST_STEPS, Channel, RequestState
from marketplace.core.actor import Actor, OrganisationKind
from marketplace.core.clock import now
from marketplace.core.errors import FieldProblem, TransitionRefused
from marketplace.core.ids import new_id
from marketplace.core.outbox import emit
from marketplace.core.states import check_step

GOLD_BATCH = 1_000
_FINAL = frozenset({RequestState.CLOSED, RequestState.CANCELLED})
_FUNDED = frozenset({RequestState.FUNDED, RequestState.OPEN})


def _subject(request_id: UUID) -> str:
    return f"request:{request_id}"


async def move(session: AsyncSession, request: DatasetRequest, target: RequestState) -> DatasetRequest:
    """Take a request to its next state; the one function by which it moves. The row is locked until the commit.

    Raises:
        TransitionRefused: the step is not in `REQUEST_STEPS`, or a suspended request would resume elsewhere.
    """
    request = await locked(session, request.id)
    check_step(REQUEST_STEPS, request.state, target)
    if request.state is RequestState.SUSPENDED and target != request.suspended_from:
        raise TransitionRefused(
            f"It was suspended from {request.suspended_from}, and resumes there.",
            state=str(request.state), wanted=str(target), possible=[request.suspended_from],
        )  # fmt: skip
    request.suspended_from = str(request.state) if target is RequestState.SUSPENDED else None
    if request.state is RequestState.FUNDED and target is RequestState.OPEN:
        request.published_at = now()
    if target in _FINAL:
        request.closed_at = now()
    request.state = target
    session.add(request)
    await session.flush()
    return request


async def create_request(session: AsyncSession, actor: Actor, draft: RequestDraft) -> DatasetRequest:
    """Make a dataset request in draft, with its first label schema and guideline if they are given.

    Raises:
        EnterpriseNeeded: the actor does not act for an enterprise.
        RequestInvalid: deadlines, currency, price, budget or residency break a rule.
        LabelSchemaInvalid: the label schema does not compile.
    """
    if actor.organisation_id is None or actor.organisation_kind is not OrganisationKind.ENTERPRISE:
        raise EnterpriseNeeded
    fields = draft.model_dump(mode="python", exclude={"label_schema", "guideline"})
    fields["bid_deadline"] = draft.bid_deadline or draft.deadline
    _check_rules(fields, draft.bid_deadline is not None)
    request = DatasetRequest(id=new_id(), organisation_id=actor.organisation_id, seed=secrets.randbits(63), **fields)
    session.add(request)
    await session.flush()
    record(session, actor, "request.created", _subject(request.id), title=request.title)
    if draft.label_schema is not None:
        await set_label_schema(session, actor, request.id, draft.label_schema)
    if draft.guideline is not None:
        await set_guideline(session, actor, request.id, draft.guideline)
    return request


def _check_rules(fields: dict[str, Any], has_bid_deadline: bool = True) -> None:
    """Refuse values that break a rule, naming every one of them at once."""
    bid_deadline = fields["bid_deadline"] if has_bid_deadline else None
    problems = [
        *deadline_problems(fields["channel"], bid_deadline, fields["deadline"], now()),
        *money_problems(fields["currency"], fields["unit_price_ceiling"], fields["budget_minor"]),
        *residency_problems(fields["data_class"], fields["residency"]),
    ]
    if problems:
        raise RequestInvalid("; ".join(f"{p.field} {p.reason}" for p in problems), fields=problems)


async def edit_request(session: AsyncSession, actor: Actor, request_id: UUID, patch: RequestPatch) -> DatasetRequest:
    """Change a draft.

    Raises:
        RequestFrozen: it is no longer a draft; what was funded and published stays what it was.
        RequestInvalid: the request as changed would break a rule.
    """
    request = await request_of(session, actor, request_id, lock=True)
    if request.state not in EDITABLE:
        raise RequestFrozen(f"It is {request.state!s}; only a draft can be edited.", state=str(request.state))
    asked = patch.model_dump(mode="python")
    changes = {name: asked[name] for name in patch.model_fields_set}
    _check_rules({**request.model_dump(), **changes})
    for name, value in changes.items():
        setattr(request, name, value)
    session.add(request)
    record(session, actor, "request.edited", _subject(request_id), fields=sorted(changes))
    return request


async def set_label_schema(
    session: AsyncSession, actor: Actor, request_id: UUID, definition: Definition
) -> LabelSchema:
    """Give a request a new version of its label schema.

    Raises:
        RequestFrozen: work has begun, or data are being imported.
        LabelSchemaInvalid: it does not compile.
        GoldContradicted: gold truths that are there already do not fit it.
    """
    request = await _takes_versions(session, actor, request_id)
    validator = make_validator(definition)
    if await has_waiting_import(session, request_id):
        raise RequestFrozen("Data are being imported, and are checked by the label schema; wait until that is done.")
    await _check_gold(session, request_id, validator)
    stored = definition.model_dump(mode="json", exclude_none=True)
    request.label_schema_version += 1
    version = LabelSchema(
        request_id=request_id,
        version=request.label_schema_version,
        kind=definition.kind,
        definition=stored,
        json_schema=validator.json_schema,
    )
    session.add_all([request, version])
    await session.flush()
    record(session, actor, "label_schema.set", _subject(request_id), version=version.version, kind=definition.kind)
    return version


async def _takes_versions(session: AsyncSession, actor: Actor, request_id: UUID) -> DatasetRequest:
    request = await request_of(session, actor, request_id, lock=True)
    if request.state not in TAKES_VERSIONS:
        reason = f"It is {request.state!s}; label schema and guideline are fixed once work begins."
        raise RequestFrozen(reason, state=str(request.state))
    return request


async def _check_gold(session: AsyncSession, request_id: UUID, validator: AnswerValidator) -> None:
    statement = (
        select(Item.external_id, Item.data, Gold.truth)
        .join(Gold, (col(Gold.request_id) == col(Item.request_id)) & (col(Gold.item_id) == col(Item.id)))
        .where(Item.request_id == request_id)
        .execution_options(yield_per=GOLD_BATCH)
    )
    rows = await session.stream(statement)
    try:
        async for external_id, data, truth in rows:
            _check_truth(validator, external_id, data, truth)
    finally:
        await rows.close()


def _check_truth(validator: AnswerValidator, external_id: str, data: dict[str, Any], truth: Any) -> None:
    problems = validator.problems(truth, data)
    if problems:
        found = [FieldProblem(f"gold {external_id}: {p.field}".rstrip(": "), p.reason) for p in problems]
        raise GoldContradicted(f"The gold truth of {external_id!r} does not fit.", fields=found)


async def set_guideline(session: AsyncSession, actor: Actor, request_id: UUID, draft: GuidelineDraft) -> Guideline:
    """Give a request a new version of its guideline.

    Raises:
        RequestFrozen: work has begun.
    """
    request = await _takes_versions(session, actor, request_id)
    request.guideline_version += 1
    version = Guideline(request_id=request_id, version=request.guideline_version, **draft.model_dump(mode="json"))
    session.add_all([request, version])
    await session.flush()
    record(session, actor, "guideline.set", _subject(request_id), version=version.version)
    return version


async def publish(session: AsyncSession, actor: Actor, request_id: UUID) -> DatasetRequest:
    """Open a funded request to vendors and workers, and have its bids closed when they are due.

    Raises:
        TransitionRefused: it is not funded.
        RequestIncomplete: something is missing; every such thing is named.
    """
    request = await request_of(session, actor, request_id, lock=True)
    check_step(REQUEST_STEPS, request.state, RequestState.OPEN)
    problems = await _gaps(session, request)
    if problems:
        raise RequestIncomplete("; ".join(f"{p.field} {p.reason}" for p in problems), fields=problems)
    if request.channel is Channel.OPEN_CROWD:
        request.bid_deadline = now()
    request = await move(session, request, RequestState.OPEN)
    emit(session, "matching.close_bids", {"request_id": str(request.id)}, due_at=request.bid_deadline)
    record(session, actor, "request.published", _subject(request_id))
    return request


async def _gaps(session: AsyncSession, request: DatasetRequest) -> list[FieldProblem]:
    """Return what a request lacks before it can be published."""
    bid_deadline = None if request.channel is Channel.OPEN_CROWD else request.bid_deadline
    problems = deadline_problems(request.channel, bid_deadline, request.deadline, now())
    if not request.residency:
        problems.append(FieldProblem("residency", "names no place: nobody may see the data"))
    if request.guideline_version == 0:
        problems.append(FieldProblem("guideline", "is missing"))
    estimate = estimate_of(request)
    if request.budget_minor < estimate.lowest_minor:
        reason = f"does not pay for {estimate.answers_min:,} answers at the price ceiling, which cost {estimate.lowest}"
        problems.append(FieldProblem("budget_minor", reason))
    return problems + await _data_gaps(session, request)


async def _data_gaps(session: AsyncSession, request: DatasetRequest) -> list[FieldProblem]:
    problems = []
    if await has_waiting_import(session, request.id):
        problems.append(FieldProblem("items", "are still being imported; wait until the upload is imported"))
    if request.item_count == 0:
        problems.append(FieldProblem("items", "are missing: upload data first"))
    if request.label_schema_version == 0:
        return [*problems, FieldProblem("label_schema", "is missing")]
    stored = await label_schema(session, request.id, request.label_schema_version)
    unfit = await count_unfit_items(session, request.id, read_definition(stored.definition))
    if unfit:
        problems.append(FieldProblem("items", f"do not fit the label schema: {unfit:,} lack a text or file it needs"))
    return problems


async def cancel(session: AsyncSession, actor: Actor, request_id: UUID) -> DatasetRequest:
    """Give up a request that has no contract yet; what was reserved for it goes back.

    Raises:
        TransitionRefused: it was awarded, or has ended.
    """
    request = await request_of(session, actor, request_id, lock=True)
    was = request.state
    request = await move(session, request, RequestState.CANCELLED)
    if was in _FUNDED:
        emit(session, "settlement.refund_cancelled", {"request_id": str(request.id)})
    record(session, actor, "request.cancelled", _subject(request_id), was=str(was))
    return request


async def suspend(session: AsyncSession, actor: Actor, request_id: UUID, reason: str) -> DatasetRequest:
    """Stop a running request until it is resumed (the operator's act; the route checks the role)."""
    request = await request_of(session, actor, request_id, lock=True)
    request = await move(session, request, RequestState.SUSPENDED)
    record(session, actor, "request.suspended", _subject(request_id),
           organisation_id=request.organisation_id, reason=reason)  # fmt: skip
    return request


async def resume(session: AsyncSession, actor: Actor, request_id: UUID) -> DatasetRequest:
    """Take a suspended request back to where it was; bids that fell due meanwhile are closed then.

    Raises:
        TransitionRefused: it is not suspended.
    """
    request = await request_of(session, actor, request_id, lock=True)
    if request.suspended_from is None:
        raise TransitionRefused("It is not suspended; there is nothing to resume.", state=str(request.state))
    back = RequestState(request.suspended_from)
    request = await move(session, request, back)
    if back is RequestState.OPEN:
        due = max(now(), request.bid_deadline)
        emit(session, "matching.close_bids", {"request_id": str(request.id)}, due_at=due)
    record(session, actor, "request.resumed", _subject(request_id), organisation_id=request.organisation_id)
    return request
