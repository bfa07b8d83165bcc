"""Funding opens a request's purse, closing empties it; what is unspent goes back where it should."""

from datetime import timedelta

import pytest
from sqlmodel import select

from marketplace.catalog.models import DatasetRequest, Delivery
from marketplace.catalog.service import cancel
from marketplace.catalog.states import RefundTo, RequestState
from marketplace.core.actor import SYSTEM
from marketplace.core.clock import now
from marketplace.core.money import Money
from marketplace.core.outbox import Outbox
from marketplace.ledger import accounts
from marketplace.ledger.errors import InsufficientFunds
from marketplace.payments.models import Charge, Refund
from marketplace.payments.sandbox.faults import Fault
from marketplace.payments.sandbox.gateway import SandboxGateway
from marketplace.payments.states import Leg, RefundState
from marketplace.quality.models import Verdict
from marketplace.quality.states import Outcome, VerdictState
from marketplace.settlement import accrual, closing, disputes, funding, queries, release
from marketplace.settlement.errors import FundingTooSmall, NotFundable
from marketplace.tasks.models import Claim
from marketplace.tasks.states import ClaimState
from tests.factories.catalog import make_request
from tests.factories.identity import make_enterprise
from tests.factories.money import ask_top_up, committed, put_off, remote_objects, row_of
from tests.jobs import run_outbox
from tests.settlement.work import BUDGET, make_deal, put_cash
from workers.jobs import payments as jobs


async def _draft(session, **fields):
    enterprise = await make_enterprise(session)
    request = await make_request(session, enterprise.organisation.id, budget_minor=BUDGET, **fields)
    await put_cash(session, enterprise.organisation.id, BUDGET)
    return enterprise.actor, request


async def _deliver(deal) -> None:
    async with committed(deal.database) as session:
        request = await session.get_one(DatasetRequest, deal.request.id)
        request.state = RequestState.DELIVERED


async def _close(deal) -> bool:
    async with committed(deal.database) as session:
        return await closing.settle_request(session, deal.request.id)


async def _accrue(deal, claim) -> None:
    async with committed(deal.database) as session:
        await accrual.accrue(session, deal.request.id, claim.id, 1)


async def _state(deal) -> RequestState:
    return (await row_of(deal.database, DatasetRequest, deal.request.id)).state


async def test_draft_becomes_funded_when_its_budget_is_reserved(session):
    actor, request = await _draft(session)
    await funding.fund(session, actor, request.id, BUDGET)
    view = await queries.money_of_request(session, request)
    assert request.state is RequestState.FUNDED
    assert (view.funded_minor, view.reserved_minor, view.spent_minor) == (BUDGET, BUDGET, 0)


async def test_draft_is_not_funded_when_the_amount_is_below_its_budget(session):
    actor, request = await _draft(session)
    with pytest.raises(FundingTooSmall):
        await funding.fund(session, actor, request.id, BUDGET - 1)


async def test_draft_is_not_funded_when_the_balance_is_too_small(session):
    actor, request = await _draft(session)
    with pytest.raises(InsufficientFunds):
        await funding.fund(session, actor, request.id, BUDGET + 1)


@pytest.mark.parametrize("state", [RequestState.SETTLED, RequestState.CLOSED, RequestState.CANCELLED])
async def test_request_takes_no_money_when_it_has_ended(session, state):
    actor, request = await _draft(session, state=state)
    with pytest.raises(NotFundable):
        await funding.fund(session, actor, request.id, BUDGET)


async def test_reserve_goes_back_when_a_funded_request_is_cancelled(database, worker_resources):
    async with committed(database) as session:
        actor, request = await _draft(session)
        await funding.fund(session, actor, request.id, BUDGET)
        await cancel(session, actor, request.id)
    assert await run_outbox(worker_resources, only="settlement.") == ["settlement.refund_cancelled"]
    async with database.sessions() as session:
        (line,) = await queries.balance_of_enterprise(session, request.organisation_id)
        view = await queries.money_of_request(session, request)
    assert (line.available_minor, line.reserved_minor) == (BUDGET, 0)
    assert (view.funded_minor, view.refunded_minor) == (BUDGET, BUDGET)


async def test_request_is_closed_and_the_rest_given_back_when_all_is_released(database):
    deal = await make_deal(database)
    await _accrue(deal, await deal.accepted(units=100))
    await _deliver(deal)
    assert await _close(deal)
    assert await _state(deal) is RequestState.CLOSED
    assert (await deal.reserved(), await deal.accrued()) == (0, 0)
    assert await deal.balance(accounts.org_cash(deal.request.organisation_id)) == 2 * BUDGET - 3500
    assert await _close(deal)
    assert await deal.balance(accounts.org_cash(deal.request.organisation_id)) == 2 * BUDGET - 3500


async def test_closing_waits_when_accepted_work_is_not_accrued_yet(database):
    deal = await make_deal(database)
    claim = await deal.accepted()
    await _deliver(deal)
    assert not await _close(deal)
    await _accrue(deal, claim)
    assert await _close(deal)


async def test_closing_waits_when_the_window_is_open(database):
    deal = await make_deal(database, release_window_seconds=3600)
    await _accrue(deal, await deal.accepted())
    await _deliver(deal)
    assert not await _close(deal)
    assert await _state(deal) is RequestState.DELIVERED
    async with database.sessions() as session:
        job = (await session.exec(select(Outbox).where(Outbox.kind == "settlement.close"))).one()
    assert job.due_at > now() + timedelta(minutes=59)


async def _rejected(deal, *, final_in: timedelta, state: VerdictState = VerdictState.GIVEN) -> Claim:
    """A rejected claim of 100 units whose verdict can be contested until then."""
    claim = await deal.accepted(units=100, outcome=Outcome.REJECTED)
    async with committed(deal.database) as session:
        verdict = (await session.exec(select(Verdict).where(Verdict.claim_id == claim.id))).one()
        verdict.final_at, verdict.state = now() + final_in, state
    return claim


@pytest.mark.parametrize(
    ("final_in", "state", "kept"),
    [
        (timedelta(days=7), VerdictState.GIVEN, 3500),
        (timedelta(days=-1), VerdictState.APPEALED, 3500),
        (timedelta(days=-1), VerdictState.GIVEN, 0),
        (timedelta(days=7), VerdictState.UPHELD, 0),
    ],
)
async def test_what_an_appeal_may_win_stays_reserved_when_the_request_is_closed(database, final_in, state, kept):
    deal = await make_deal(database)
    await _rejected(deal, final_in=final_in, state=state)
    await _deliver(deal)
    assert await _close(deal)
    assert await deal.reserved() == kept


async def test_worker_is_paid_when_an_appeal_is_won_after_the_closing(database):
    deal = await make_deal(database)
    claim = await _rejected(deal, final_in=timedelta(days=7))
    await _deliver(deal)
    await _close(deal)
    async with committed(database) as session:
        verdict = (await session.exec(select(Verdict))).one()
        verdict.state, verdict.outcome = VerdictState.OVERTURNED, Outcome.ACCEPTED
    await _accrue(deal, claim)
    async with committed(database) as session:
        await release.release_due(session)
        assert await closing.give_back_rest(session, deal.request.id)
    assert await deal.balance(accounts.worker(claim.worker_id)) == 3150
    assert await deal.reserved() == 0


async def test_what_is_kept_for_appeals_is_told_to_the_enterprise_when_the_request_is_closed(database):
    deal = await make_deal(database)
    claim = await _rejected(deal, final_in=timedelta(days=7))
    await _deliver(deal)
    await _close(deal)
    of = deal.request.organisation_id
    async with database.sessions() as session:
        (told,) = await queries.balance_of_enterprise(session, of)
    assert (told.available_minor, told.reserved_minor, told.accrued_minor) == (2 * BUDGET - 3500, 3500, 0)
    async with committed(database) as session:
        verdict = (await session.exec(select(Verdict).where(Verdict.claim_id == claim.id))).one()
        verdict.state, verdict.outcome = VerdictState.OVERTURNED, Outcome.ACCEPTED
    await _accrue(deal, claim)
    async with database.sessions() as session:
        (told,) = await queries.balance_of_enterprise(session, of)
    assert (told.reserved_minor, told.accrued_minor) == (0, 3500)


async def test_every_appeal_can_be_paid_when_each_claim_was_rounded_up_by_itself(database):
    """At half a minor unit a claim, the first and third of three bring 1 each; both are disputed, and both win."""
    deal = await make_deal(database, contract={"unit_price": 5_000, "platform_fee_bps": 0})
    claims = [await deal.accepted(units=1) for _ in range(3)]
    for claim in claims:
        await _accrue(deal, claim)
    async with committed(database) as session:
        for claim in claims[::2]:
            await accrual.unaccrue(session, SYSTEM, deal.request.id, claim.id, 1)
            (await session.get_one(Claim, (claim.request_id, claim.id))).state = ClaimState.REJECTED
            verdict = (await session.exec(select(Verdict).where(Verdict.claim_id == claim.id))).one()
            verdict.outcome, verdict.final_at = Outcome.REJECTED, now() + timedelta(days=7)
        await release.release_due(session)
    await _deliver(deal)
    assert await _close(deal)
    for claim in claims[::2]:
        async with committed(database) as session:
            verdict = (await session.exec(select(Verdict).where(Verdict.claim_id == claim.id))).one()
            verdict.state, verdict.outcome = VerdictState.OVERTURNED, Outcome.ACCEPTED
            (await session.get_one(Claim, (claim.request_id, claim.id))).state = ClaimState.ACCEPTED
        async with committed(database) as session:
            assert (await disputes.accrue_again(session, deal.request.id, claim.id, 1)).amount_minor == 1


async def test_rest_is_given_back_when_nothing_can_be_contested_any_more(database):
    deal = await make_deal(database)
    await _rejected(deal, final_in=timedelta(days=7))
    await _deliver(deal)
    await _close(deal)
    async with committed(database) as session:
        assert not await closing.give_back_rest(session, deal.request.id)
        (await session.exec(select(Verdict))).one().final_at = now()
    async with committed(database) as session:
        assert await closing.give_back_rest(session, deal.request.id)
        assert await closing.give_back_rest(session, deal.request.id)
    assert await deal.reserved() == 0
    assert await deal.balance(accounts.org_cash(deal.request.organisation_id)) == 2 * BUDGET


@pytest.mark.parametrize(("accepted", "released"), [(False, 0), (True, 1)])
async def test_disputed_delivery_releases_nothing_until_it_is_accepted(database, accepted, released):
    deal = await make_deal(database)
    await _accrue(deal, await deal.accepted())
    async with committed(database) as session:
        decided = now() if accepted else None
        session.add(Delivery(request_id=deal.request.id, report={}, disputed_at=now(), accepted_at=decided))
    async with committed(database) as session:
        assert await release.release_due(session) == released


@pytest.fixture
async def from_charge(database, gateway, worker_resources):
    """A request funded from a real charge, whose rest goes back to it, delivered without any work."""
    deal = await make_deal(database, refund_to=RefundTo.SOURCE)
    charge = await ask_top_up(database, gateway, deal.request.organisation_id, BUDGET)
    await run_outbox(worker_resources, only="payments.")
    await _deliver(deal)
    return deal, charge


async def _run_payments(database, worker_resources) -> None:
    for _ in range(6):
        await put_off(database)
        if not await run_outbox(worker_resources, only="payments."):
            return


@pytest.mark.parametrize("fault", [None, *Fault])
async def test_rest_goes_back_to_its_charge_once_when_the_request_says_so(
    from_charge, database, settings, worker_resources, monkeypatch, fault
):
    deal, charge = from_charge
    sandbox = SandboxGateway(settings, database.sessions)
    sandbox.faults.plan(fault)
    monkeypatch.setattr(jobs, "open_gateway", lambda *_: sandbox)
    assert await _close(deal)
    await _run_payments(database, worker_resources)
    (refund,) = await _refunds(database)
    assert refund.state is RefundState.DONE
    assert len(await remote_objects(database, Leg.REFUND, refund.id.hex)) == 1
    assert (await row_of(database, Charge, charge.id)).refunded_minor == BUDGET
    assert await deal.balance(accounts.refund_pending(refund.id)) == 0
    assert await deal.balance(accounts.psp("sandbox")) == 0
    assert await deal.balance(accounts.org_cash(deal.request.organisation_id)) == 2 * BUDGET


async def _refunds(database) -> list[Refund]:
    async with database.sessions() as session:
        return list((await session.exec(select(Refund))).all())


async def test_money_is_on_the_balance_again_when_the_refund_is_refused(
    from_charge, database, settings, worker_resources, monkeypatch
):
    deal, charge = from_charge
    sandbox = SandboxGateway(settings, database.sessions)
    # the charge is given back at the provider's own console
    await sandbox.refund("other", "other", Money(BUDGET, "CNY"), charge_ref=charge.id.hex)
    assert await _close(deal)
    await _run_payments(database, worker_resources)
    (refund,) = await _refunds(database)
    assert (refund.state, refund.failure_code) == (RefundState.FAILED, "charge_already_refunded")
    assert (await row_of(database, Charge, charge.id)).refunded_minor == 0
    assert await deal.balance(accounts.org_cash(deal.request.organisation_id)) == 3 * BUDGET


async def test_rest_stays_on_the_balance_when_no_charge_holds_it(database):
    deal = await make_deal(database, refund_to=RefundTo.SOURCE)
    await _deliver(deal)
    assert await _close(deal)
    assert await deal.balance(accounts.org_cash(deal.request.organisation_id)) == 2 * BUDGET
    assert await _refunds(database) == []
