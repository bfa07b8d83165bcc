"""Each accepted claim is paid once, out of the reserve, in parts that add up."""

import asyncio

import pytest

from marketplace.catalog.states import RequestState
from marketplace.core.actor import SYSTEM
from marketplace.core.dead_letters import dead_letters
from marketplace.core.errors import TransitionRefused
from marketplace.core.ids import new_id
from marketplace.core.outbox import Outbox
from marketplace.ledger import accounts
from marketplace.ledger.errors import InsufficientFunds
from marketplace.quality.errors import VerdictUnknown
from marketplace.quality.queries import Revision
from marketplace.quality.states import Outcome
from marketplace.settlement import accrual, funding, release
from marketplace.settlement.models import Accrual, ContractAccrual
from marketplace.settlement.verify import verify_everything
from tests.factories.money import committed, row_of, tamper
from tests.jobs import run_outbox
from tests.settlement.work import BUDGET, make_deal
from workers.session import bury, run_once

PRICE = 35_000  # 3.5 fen an answer


@pytest.fixture
async def deal(database):
    return await make_deal(database, contract={"unit_price": PRICE})


async def _accrue(deal, claim):
    async with committed(deal.database) as session:
        return await accrual.accrue(session, deal.request.id, claim.id, 1)


async def _release(deal) -> int:
    async with committed(deal.database) as session:
        return await release.release_due(session)


async def test_money_moves_from_reserve_to_worker_when_a_claim_is_accepted(deal):
    claim = await deal.accepted(units=100)
    await _accrue(deal, claim)
    assert (await deal.reserved(), await deal.accrued()) == (BUDGET - 350, 350)
    assert await _release(deal) == 1
    assert await deal.accrued() == 0
    assert await deal.balance(accounts.worker(claim.worker_id)) == 315
    assert await deal.balance(accounts.PLATFORM_FEE) == 35


@pytest.mark.parametrize("outcome", [Outcome.REWORK, Outcome.REJECTED])
async def test_nothing_is_paid_when_the_verdict_does_not_accept(deal, outcome):
    claim = await deal.accepted(outcome=outcome)
    with pytest.raises(VerdictUnknown):
        await _accrue(deal, claim)
    assert await deal.reserved() == BUDGET


async def test_claim_is_paid_once_when_its_job_runs_many_times_at_once(deal):
    claim = await deal.accepted(units=100)
    await asyncio.gather(*(_accrue(deal, claim) for _ in range(8)))
    await asyncio.gather(*(_release(deal) for _ in range(8)))
    await _accrue(deal, claim)
    assert await _release(deal) == 0
    assert (await deal.reserved(), await deal.accrued()) == (BUDGET - 350, 0)
    assert await deal.balance(accounts.worker(claim.worker_id)) == 315


async def test_contract_total_is_exact_when_many_claims_are_accrued_at_once(deal):
    claims = [await deal.accepted(units=1) for _ in range(15)]
    await asyncio.gather(*(_accrue(deal, claim) for claim in claims))
    assert await deal.accrued() == 53  # 52.5 rounded half up, where rounding each would give 60
    totals = await row_of(deal.database, ContractAccrual, (deal.request.id, deal.contract.id))
    assert (totals.units, totals.accrued_minor) == (15, 53)


async def test_claim_is_settled_without_postings_when_it_earns_less_than_a_minor_unit(database):
    deal = await make_deal(database, contract={"unit_price": 100})
    claim = await deal.accepted(units=1)
    assert (await _accrue(deal, claim)).amount_minor == 0
    assert await _release(deal) == 1
    assert await deal.reserved() == BUDGET


async def test_request_never_pays_more_than_it_reserved(database):
    deal = await make_deal(database, contract={"unit_price": BUDGET * 10_000})
    first, second = await deal.accepted(units=1), await deal.accepted(units=1)
    await _accrue(deal, first)
    with pytest.raises(InsufficientFunds):
        await _accrue(deal, second)
    assert (await deal.reserved(), await deal.accrued()) == (0, BUDGET)


@pytest.mark.parametrize("state", [RequestState.IN_PRODUCTION, RequestState.DELIVERED])
async def test_accrual_goes_on_when_the_money_that_it_lacked_is_funded(database, worker_resources, state):
    deal = await make_deal(database, state=RequestState.IN_PRODUCTION, contract={"unit_price": BUDGET * 10_000})
    await _accrue(deal, await deal.accepted(units=1))
    job = Outbox(kind="settlement.accrue", payload=_payload(deal, await deal.accepted(units=1)))
    async with committed(database) as session:
        session.add(job)
    with pytest.raises(InsufficientFunds) as refusal:
        await run_once(worker_resources, job.id, job.kind, job.payload)
    await bury(worker_resources, job.id, job.kind, job.payload, error=str(refusal.value), tries=8)
    await tamper(database, f"UPDATE dataset_request SET state = '{state}'")
    async with committed(database) as session:
        assert len(await dead_letters(session)) == 1
        await funding.fund(session, deal.enterprise, deal.request.id, BUDGET)
        assert await dead_letters(session) == []
    await run_outbox(worker_resources, only="settlement.accrue")
    assert await deal.accrued() == 2 * BUDGET


def _payload(deal, claim) -> dict:
    return {"request_id": str(deal.request.id), "claim_id": str(claim.id), "revision": 1}


async def _accrue_many(deal, claims):
    wanted = [Revision(deal.request.id, claim.id, 1) for claim in claims]
    async with committed(deal.database) as session:
        outcomes = await accrual.accrue_many(session, wanted)
    return [outcomes[key] for key in wanted]


async def test_what_can_be_paid_is_paid_when_another_of_the_batch_cannot(database):
    deal = await make_deal(database, contract={"unit_price": BUDGET * 10_000 // 10})
    small, large, judged_out = (
        await deal.accepted(units=4),
        await deal.accepted(units=7),
        await deal.accepted(outcome=Outcome.REJECTED),
    )
    last = await deal.accepted(units=6)
    outcomes = await _accrue_many(deal, [small, large, judged_out, last])
    assert [type(outcome) for outcome in outcomes] == [Accrual, InsufficientFunds, VerdictUnknown, Accrual]
    assert outcomes[1].extra["lacking_minor"] == BUDGET // 10
    assert (await deal.reserved(), await deal.accrued()) == (0, BUDGET)
    totals = await row_of(deal.database, ContractAccrual, (deal.request.id, deal.contract.id))
    assert (totals.units, totals.accrued_minor) == (10, BUDGET)


async def test_running_total_is_rounded_in_order_when_claims_come_as_a_batch(deal):
    claims = [await deal.accepted(units=1) for _ in range(6)]
    outcomes = await _accrue_many(deal, claims)
    assert [outcome.amount_minor for outcome in outcomes] == [4, 3, 4, 3, 4, 3]  # 3.5 fen each, half up on the total


async def test_claims_are_paid_once_when_batches_overlap_at_once(deal):
    claims = [await deal.accepted(units=1) for _ in range(15)]
    await asyncio.gather(
        _accrue_many(deal, claims[:10]), _accrue_many(deal, claims[:4:-1]), *(_accrue(deal, one) for one in claims[3:8])
    )
    assert await deal.accrued() == 53
    totals = await row_of(deal.database, ContractAccrual, (deal.request.id, deal.contract.id))
    assert (totals.units, totals.accrued_minor) == (15, 53)


async def test_total_stays_right_when_claims_are_accrued_and_taken_back_at_once(deal):
    first = [await deal.accepted(units=1) for _ in range(5)]
    later = [await deal.accepted(units=1) for _ in range(10)]
    await _accrue_many(deal, first)

    async def take_back(claim):
        async with committed(deal.database) as session:
            await accrual.unaccrue(session, SYSTEM, deal.request.id, claim.id, 1)

    await asyncio.gather(*(take_back(claim) for claim in first), *(_accrue(deal, claim) for claim in later))
    totals = await row_of(deal.database, ContractAccrual, (deal.request.id, deal.contract.id))
    assert totals.units == 10
    assert await deal.accrued() == totals.accrued_minor == BUDGET - await deal.reserved()
    assert abs(totals.accrued_minor - 35) <= 3  # each taken back returns the half unit that it was rounded by


async def test_vendor_and_worker_share_when_the_contract_pays_workers_directly(database):
    terms = {"unit_price": 1_000_000, "worker_share_bps": 7_000}
    deal = await make_deal(database, with_vendor=True, contract=terms)
    claim = await deal.accepted(units=10)
    await _accrue(deal, claim)
    await _release(deal)
    assert await deal.balance(accounts.worker(claim.worker_id)) == 630
    assert await deal.balance(accounts.vendor(deal.contract.vendor_organisation_id)) == 270


async def test_money_is_reserved_again_when_an_accrual_is_taken_back(deal):
    claim = await deal.accepted(units=100)
    await _accrue(deal, claim)
    async with committed(deal.database) as session:
        await accrual.unaccrue(session, SYSTEM, deal.request.id, claim.id, 1)
    assert (await deal.reserved(), await deal.accrued()) == (BUDGET, 0)
    assert await _release(deal) == 0
    with pytest.raises(TransitionRefused):
        async with committed(deal.database) as session:
            await accrual.unaccrue(session, SYSTEM, deal.request.id, claim.id, 1)


async def test_nothing_is_released_when_the_window_is_open(database):
    deal = await make_deal(database, release_window_seconds=3600)
    await _accrue(deal, await deal.accepted())
    assert await _release(deal) == 0
    assert await deal.accrued() == 350


async def test_nothing_is_released_when_the_request_is_suspended(database):
    deal = await make_deal(database, state=RequestState.IN_PRODUCTION)
    await _accrue(deal, await deal.accepted())
    async with committed(database) as session:
        request = await session.get(type(deal.request), deal.request.id)
        request.state = RequestState.SUSPENDED
    assert await _release(deal) == 0


async def test_every_check_holds_when_claims_are_in_all_states(deal, gateway):
    for _ in range(3):
        await _accrue(deal, await deal.accepted(units=33, worker=new_id()))
    await _release(deal)
    await _accrue(deal, await deal.accepted(units=7))
    async with deal.database.sessions() as session:
        report = await verify_everything(session, gateway)
    broken = {check.name: check.breaks for check in report.checks if not check.holds}
    assert broken == {}
    assert {check.name: check.figures for check in report.checks}["contract_totals"] == {"units": 106}
