"""With KYC_REQUIRED_BEFORE=release nothing is released to somebody the provider does not know."""

import pytest
from obstore.store import MemoryStore

from marketplace.core.settings import Settings
from marketplace.ledger import accounts
from marketplace.payments.models import Payee
from marketplace.payments.states import PayeeKind, PayeeState
from marketplace.settlement import accrual
from tests.factories.money import committed
from tests.settlement.work import make_deal
from workers.handlers import JobContext
from workers.jobs.settlement import release_due


@pytest.fixture
async def accrued(database):
    deal = await make_deal(database, contract={"unit_price": 35_000})
    claim = await deal.accepted(units=100)
    async with committed(database) as session:
        await accrual.accrue(session, deal.request.id, claim.id, 1)
    return deal, claim


async def _release(deal, before: str) -> None:
    """Run the job as a worker with this setting would."""
    settings = Settings(_env_file=None, kyc_required_before=before)
    async with committed(deal.database) as session:
        await release_due(JobContext(session, settings, deal.database, MemoryStore()), {})


async def _payee(database, claim, state: PayeeState) -> None:
    async with committed(database) as session:
        session.add(
            Payee(kind=PayeeKind.WORKER, owner_id=claim.worker_id, provider="sandbox", display_name="韦", state=state)
        )


async def test_money_is_released_without_identification_when_only_payouts_need_it(accrued):
    deal, claim = accrued
    await _release(deal, "payout")
    assert await deal.balance(accounts.worker(claim.worker_id)) == 315


@pytest.mark.parametrize("state", [None, PayeeState.NEW, PayeeState.LAPSED, PayeeState.REFUSED])
async def test_money_stays_accrued_when_the_payee_is_not_identified(database, accrued, state):
    deal, claim = accrued
    if state is not None:
        await _payee(database, claim, state)
    await _release(deal, "release")
    assert await deal.accrued() == 350


async def test_money_is_released_when_the_payee_is_identified(database, accrued):
    deal, claim = accrued
    await _payee(database, claim, PayeeState.READY)
    await _release(deal, "release")
    assert await deal.balance(accounts.worker(claim.worker_id)) == 315
