"""A dispute that is right about some of the work: that is unpaid and its labels go; an appeal can win both back."""

import asyncio

import pytest
from sqlmodel import select

from marketplace.catalog import deliveries
from marketplace.catalog.errors import DeliveryDecided
from marketplace.catalog.models import DatasetRequest, Delivery
from marketplace.catalog.states import RequestState
from marketplace.core.actor import Role
from marketplace.core.clock import now
from marketplace.core.outbox import emit
from marketplace.identity.models import Person
from marketplace.ledger import accounts, queries
from marketplace.quality import appeals, completion, conduct
from marketplace.quality.control.history import events_of
from marketplace.quality.errors import JudgedBefore, NotDisputable
from marketplace.quality.models import Verdict
from marketplace.quality.schemas import AppealDecision, AppealIn
from marketplace.quality.skills.models import SkillEvidence
from marketplace.quality.states import AppealState, Outcome, ReasonCode, VerdictState
from marketplace.settlement import closing, disputes, funding, release
from marketplace.settlement.errors import AccrualReleased
from marketplace.settlement.models import Accrual
from marketplace.settlement.schemas import UpholdDispute
from marketplace.settlement.states import AccrualState
from marketplace.settlement.verify import verify_everything
from marketplace.tasks.states import ClaimState
from tests.factories.identity import actor_for, bearer, make_enterprise, make_member, make_operator, make_person
from tests.factories.money import committed, tamper
from tests.jobs import run_outbox
from tests.quality.work import make_work
from tests.settlement.work import BUDGET, put_cash

WHY = "负面的都标成正面了"


class Dispute:
    """A delivered request of six items, each labelled by two workers, whose enterprise disputes the delivery."""

    def __init__(self, work, enterprise, arbitrator, verdicts, resources, gateway):
        self.work, self.enterprise, self.arbitrator, self.verdicts = work, enterprise, arbitrator, verdicts
        self.resources, self.gateway = resources, gateway
        self.database, self.request_id = work.database, work.request.id

    async def uphold(self, *claims):
        command = UpholdDispute(claim_ids=[verdict.claim_id for verdict in claims], reason=WHY)
        async with committed(self.database) as session:
            return await disputes.uphold(session, self.arbitrator.actor, self.work.settings, self.request_id, command)

    async def row(self, model, *key):
        async with self.database.sessions() as session:
            return await session.get_one(model, (self.request_id, *key))

    async def money(self):
        """What is reserved and what is accrued."""
        paths = accounts.reserved(self.request_id), accounts.accrued(self.request_id, self.work.contract.id)
        async with self.database.sessions() as session:
            return [await queries.balance(session, path, "CNY") for path in paths]

    async def appeal(self, verdict):
        """The worker objects, and another arbitrator than the one who found the work wrong finds them right."""
        async with committed(self.database) as session:
            worker = actor_for(await session.get_one(Person, verdict.worker_id))
            made = await appeals.appeal(
                session, worker, self.work.settings, self.request_id, verdict.id, AppealIn(text="我标得对")
            )
            other = await make_member(session, self.arbitrator.organisation, Role.ARBITRATOR)
        async with committed(self.database) as session:
            decision = AppealDecision(decision=AppealState.OVERTURNED, answer="是的")
            with pytest.raises(JudgedBefore):
                await appeals.decide(session, self.arbitrator.actor, self.request_id, made.id, decision)
            await appeals.decide(session, other.actor, self.request_id, made.id, decision)

    async def broken(self):
        async with self.database.sessions() as session:
            report = await verify_everything(session, self.gateway)
        return {check.name: check.breaks for check in report.checks if not check.holds}


@pytest.fixture
async def dispute(database, settings, worker_resources, gateway):
    async with committed(database) as session:
        enterprise = await make_enterprise(session)
        operator = await make_operator(session, Role.ADMIN)
        arbitrator = await make_member(session, operator.organisation, Role.ARBITRATOR)
        people = [await make_person(session) for _ in range(2)]
        await put_cash(session, enterprise.organisation.id, BUDGET)
    work = await make_work(
        database, settings, organisation=enterprise.organisation.id, release_window_seconds=3600, budget_minor=BUDGET
    )
    async with committed(database) as session:
        await funding.fund(session, enterprise.actor, work.request.id, BUDGET)
    verdicts = [await work.do(await work.worker(person.id), work.right) for person in people]
    await run_outbox(worker_resources, only="settlement.accrue")
    await work.end()
    async with committed(database) as session:
        assert await completion.deliver(session, work.request.id) is not None
        await deliveries.dispute_delivery(session, enterprise.actor, work.request.id, "看起来不对")
    return Dispute(work, enterprise, arbitrator, verdicts, worker_resources, gateway)


async def test_upheld_work_is_rejected_and_its_pay_reserved_again(dispute):
    first, second = dispute.verdicts
    reserved, accrued = await dispute.money()
    upheld = await dispute.uphold(first)
    assert upheld.returned_minor > 0
    assert await dispute.money() == [reserved + upheld.returned_minor, accrued - upheld.returned_minor]
    verdict = await dispute.row(Verdict, first.id)
    assert (verdict.outcome, verdict.reason_code, verdict.state) == (
        Outcome.REJECTED, ReasonCode.DISPUTED, VerdictState.GIVEN,
    )  # fmt: skip
    assert verdict.evidence["dispute"] == WHY
    assert (await dispute.work.claim_row(first.claim_id)).state is ClaimState.REJECTED
    assert (await dispute.row(Accrual, first.claim_id, 1)).state is AccrualState.TAKEN_BACK
    assert (await dispute.row(Accrual, second.claim_id, 1)).state is AccrualState.ACCRUED
    assert await dispute.broken() == {}


async def test_labels_stay_while_somebody_elses_answer_holds_them_and_go_with_the_last(dispute):
    assert len(await dispute.work.consensus()) == 6
    await dispute.uphold(dispute.verdicts[0])
    assert {row.answers for row in (await dispute.work.consensus()).values()} == {1}
    await dispute.uphold(dispute.verdicts[1])
    assert await dispute.work.consensus() == {}
    assert {(task.answered, task.done) for task in (await dispute.work.tasks()).values()} == {(0, False)}
    await run_outbox(dispute.resources, only="quality.deliver")
    async with dispute.database.sessions() as session:
        delivery = (await session.exec(select(Delivery).where(Delivery.request_id == dispute.request_id))).one()
    assert (delivery.report["labeled"], delivery.report["done"]) == (0, 0)
    assert await dispute.broken() == {}


async def test_won_appeal_books_the_same_pay_once_more(dispute):
    before = await dispute.money()
    await dispute.uphold(dispute.verdicts[0])
    await dispute.appeal(dispute.verdicts[0])
    payload = {"request_id": str(dispute.request_id), "claim_id": str(dispute.verdicts[0].claim_id), "revision": 1}
    async with committed(dispute.database) as session:
        emit(session, "settlement.accrue_again", payload)  # the job's second run
    await run_outbox(dispute.resources, only="settlement.accrue")
    assert await dispute.money() == before
    assert (await dispute.row(Accrual, dispute.verdicts[0].claim_id, 1)).state is AccrualState.ACCRUED
    assert len(await dispute.work.consensus()) == 6
    with pytest.raises(NotDisputable):
        await dispute.uphold(dispute.verdicts[0])
    assert await dispute.broken() == {}


async def test_decisions_of_people_are_events_of_their_own_and_looked_at_when_the_last_look_was_over(dispute):
    first = dispute.verdicts[0]

    async def looked():
        assert await run_outbox(dispute.resources, only="quality.conduct") == ["quality.conduct"]
        async with dispute.database.sessions() as session:
            evidence = await session.get_one(SkillEvidence, (first.worker_id, dispute.request_id))
            events = (await events_of(session, dispute.request_id, now()))[first.worker_id]
        assert [(each.id, each.accepted) for each in events if each.decided] == [(first.id, True)]
        reviews = [(each.review, each.at) for each in events if each.review != (0, 0)]
        return reviews, (evidence.right, evidence.wrong)

    async with committed(dispute.database) as session:
        await conduct.look_at(session, dispute.request_id)
    before = now()
    await dispute.uphold(first)
    [(review, at)], (_, wrong) = await looked()
    assert (review, wrong) == ((0, 1), 1.0)
    assert before <= at
    before = now()
    await dispute.appeal(first)
    [(review, at)], (right, wrong) = await looked()
    assert (review, wrong) == ((1, 1), 0.0)
    assert right >= 1
    assert before <= at


async def test_won_appeal_is_paid_also_when_the_request_is_closed_meanwhile(dispute):
    """What the worker may still win stays reserved until it is decided."""
    await dispute.uphold(dispute.verdicts[0])
    await tamper(dispute.database, "UPDATE accrual SET release_at = now() - interval '1 hour' WHERE state = 'accrued'")
    async with committed(dispute.database) as session:
        await deliveries.dismiss_dispute(session, dispute.arbitrator.actor, dispute.request_id, "其余的没有问题")
    await run_outbox(dispute.resources, only="settlement.close")
    async with dispute.database.sessions() as session:
        assert (await session.get_one(DatasetRequest, dispute.request_id)).state is RequestState.CLOSED
    await dispute.appeal(dispute.verdicts[0])
    async with committed(dispute.database) as session:
        assert await closing.give_back_rest(session, dispute.request_id) is False  # it is won, and not booked yet
    await run_outbox(dispute.resources, only="settlement.accrue")
    assert (await dispute.row(Accrual, dispute.verdicts[0].claim_id, 1)).state is AccrualState.ACCRUED
    assert await dispute.broken() == {}


async def test_nothing_is_rejected_when_some_of_the_pay_was_released(dispute):
    first, second = sorted(dispute.verdicts, key=lambda verdict: verdict.claim_id)
    before = await dispute.money()
    await tamper(
        dispute.database,
        f"UPDATE accrual SET release_at = now() - interval '1 hour' WHERE claim_id = '{second.claim_id}'",
        "UPDATE delivery SET disputed_at = NULL",
    )
    async with committed(dispute.database) as session:
        assert await release.release_due(session) == 1
    with pytest.raises(DeliveryDecided):
        await dispute.uphold(first)
    await tamper(dispute.database, "UPDATE delivery SET disputed_at = now()")
    with pytest.raises(AccrualReleased):
        await dispute.uphold(first, second)
    assert (await dispute.money())[0] == before[0]
    assert (await dispute.row(Verdict, first.id)).outcome is Outcome.ACCEPTED


async def test_work_is_rejected_once_when_upheld_twice_at_once(dispute):
    first = dispute.verdicts[0]
    reserved, _ = await dispute.money()
    ended = await asyncio.gather(dispute.uphold(first), dispute.uphold(first), return_exceptions=True)
    kinds = {type(end).__name__: end for end in ended}
    assert set(kinds) == {"UpheldDisputeView", "NotDisputable"}
    assert (await dispute.money())[0] == reserved + kinds["UpheldDisputeView"].returned_minor
    assert {task.answered for task in (await dispute.work.tasks()).values()} == {1}


async def test_only_an_arbitrator_upholds_over_http(app, client, dispute):
    path = f"/v1/requests/{dispute.request_id}/delivery/uphold"
    body = {"claim_ids": [str(dispute.verdicts[0].claim_id)], "reason": WHY}
    key = {"Idempotency-Key": "u1"}
    own = await client.post(path, json=body, headers=bearer(app, dispute.enterprise) | key)
    assert own.status_code == 403
    answers = [await client.post(path, json=body, headers=bearer(app, dispute.arbitrator) | key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["returned_minor"] > 0
