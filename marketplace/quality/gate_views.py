"""What people read about gates: the gate set with its characteristic, and known answers missed, once out of use."""

import asyncio
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.errors import RequestNotFound
from marketplace.catalog.models import DatasetRequest, Gold
from marketplace.catalog.queries import items_by_ids, request_of, validator_of
from marketplace.catalog.schemas import QualityPlan
from marketplace.catalog.states import RequestState
from marketplace.core.actor import Actor
from marketplace.quality.errors import VerdictUnknown
from marketplace.quality.gates import gold_accuracy
from marketplace.quality.gates.characteristic import GoldRule, characteristic
from marketplace.quality.gates.runner import define_gates, parameters_of, version_of
from marketplace.quality.models import Verdict
from marketplace.quality.queries import gate_set_of
from marketplace.quality.similarity import same
from marketplace.quality.spec import read_spec
from marketplace.tasks.models import Answer
from marketplace.tasks.policy import bundle_size, gold_wanted

_ENGAGED: Final = text(
    """
    SELECT EXISTS (SELECT 1 FROM contract WHERE request_id = :request AND vendor_organisation_id = :organisation)
        OR EXISTS (SELECT 1 FROM request_worker WHERE request_id = :request AND worker_id = :person)
    """
)
_OUT_OF_USE: Final = frozenset({
    RequestState.DELIVERED, RequestState.SETTLED, RequestState.CLOSED, RequestState.CANCELLED,
})  # fmt: skip


class CharacteristicView(BaseModel):
    """The share of bundles that the gold gate lets through, of workers of an `accuracy`.

    `gold_seen` known answers stand in their record already (0: a first bundle). `at_once` is the part of `passes`
    without a second try. Exact for independent answers.
    """

    accuracy: float
    gold_seen: int
    passes: float
    at_once: float


class GatesView(BaseModel):
    """The gates of a request in the order in which they run; `version` is the hash that verdicts name.

    `fixed` gates never change again; before the first work they follow the plan. `gold_in_bundle` is how many known
    answers a usual bundle holds.
    """

    version: str
    fixed: bool
    gates: list[dict[str, Any]]
    max_reworks: int
    gold_in_bundle: int
    characteristic: list[CharacteristicView]


class MissedGold(BaseModel):
    """A known answer that was missed: what was asked and answered, what is right, and why."""

    task_id: UUID
    asked: dict[str, Any]
    answered: Any
    right: Any
    note: str


class MissedGoldView(BaseModel):
    """The known answers that a submission missed. While gold is in use there are none, and `in_use` says so."""

    in_use: bool
    missed: list[MissedGold]


def out_of_use(state: RequestState) -> bool:
    """Return whether a request's gold is asked of nobody any more, so that it may be shown to who got it wrong.

    In acceptance work may still be redone, and a suspended request may go on.
    """
    return state in _OUT_OF_USE


async def gates_of(session: AsyncSession, actor: Actor, request_id: UUID) -> GatesView:
    """Show a request's gates to its enterprise, its vendors, its workers, and the operator.

    Raises:
        RequestNotFound: there is no such request, or the actor has nothing to do with it.
    """
    request = await _seen_by(session, actor, request_id)
    plan = QualityPlan.model_validate(request.quality_plan)
    fixed = await gate_set_of(session, request_id)
    definition = define_gates(plan, request.label_schema_version) if fixed is None else fixed.definition
    gold = gold_wanted(plan, bundle_size(plan, request.seconds_per_task), request.gold_count)
    return GatesView(
        version=version_of(definition) if fixed is None else fixed.version,
        fixed=fixed is not None,
        gates=definition["gates"],
        max_reworks=definition["max_reworks"],
        gold_in_bundle=gold,
        characteristic=await asyncio.to_thread(_characteristic, definition, gold),
    )


def _characteristic(definition: dict[str, Any], gold: int) -> list[CharacteristicView]:
    asked = parameters_of(definition, gold_accuracy.NAME)
    if asked is None or gold == 0:
        return []
    rule = GoldRule(gold, float(asked["bar"]), float(asked["level"]), int(definition["max_reworks"]))
    return [CharacteristicView.model_validate(row, from_attributes=True) for row in characteristic(rule)]


async def _seen_by(session: AsyncSession, actor: Actor, request_id: UUID) -> DatasetRequest:
    names = {"request": request_id, "organisation": actor.organisation_id, "person": actor.id}
    if (await session.execute(_ENGAGED, names)).scalar_one():
        return await session.get_one(DatasetRequest, request_id)
    if actor.organisation_id is None:
        raise RequestNotFound
    return await request_of(session, actor, request_id)


async def missed_gold(session: AsyncSession, actor: Actor, request_id: UUID, claim_id: UUID) -> MissedGoldView:
    """Show a worker which known answers the newest revision of their claim missed; nothing while gold is in use.

    Raises:
        VerdictUnknown: there is no verdict on it yet, or the claim is somebody else's.
    """
    statement = select(Verdict).where(Verdict.request_id == request_id, Verdict.claim_id == claim_id)
    verdict = (await session.exec(statement.order_by(col(Verdict.revision).desc()).limit(1))).first()
    if verdict is None or verdict.worker_id != actor.id:
        raise VerdictUnknown
    request = await session.get_one(DatasetRequest, request_id)
    if not out_of_use(request.state):
        return MissedGoldView(in_use=True, missed=[])
    return MissedGoldView(in_use=False, missed=await _missed(session, verdict))


async def _missed(session: AsyncSession, verdict: Verdict) -> list[MissedGold]:
    statement = (
        select(Answer, Gold)
        .join(Gold, (col(Gold.request_id) == col(Answer.request_id)) & (col(Gold.item_id) == col(Answer.task_id)))
        .where(
            Answer.request_id == verdict.request_id,
            Answer.claim_id == verdict.claim_id,
            Answer.revision == verdict.revision,
            col(Answer.is_gold),
        )
        .order_by(col(Answer.task_id))
    )
    found = list((await session.exec(statement)).all())
    gates = await gate_set_of(session, verdict.request_id)
    if gates is None or not found:
        return []
    validator = await validator_of(session, verdict.request_id, gates.definition["label_schema_version"])
    spec = read_spec(validator.definition)
    wrong = [(answer, gold) for answer, gold in found if not same(spec, spec.main(answer.value), spec.main(gold.truth))]
    items = await items_by_ids(session, verdict.request_id, [gold.item_id for _, gold in wrong])
    return [
        MissedGold(
            task_id=gold.item_id, asked=items[gold.item_id].data, answered=answer.value, right=gold.truth,
            note=gold.note,
        )
        for answer, gold in wrong
    ]  # fmt: skip
