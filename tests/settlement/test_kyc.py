"""With KYC_REQUIRED_BEFORE=release nothing is released to somebody the provider does not know."""

import pytest

from marketplace.core.outbox import emit
from marketplace.ledger import accounts
from marketplace.payments.models import Payee
from marketplace.payments.states import PayeeKind, PayeeState
from marketplace.settlement import accrual
from tests.factories.money import committed
from tests.jobs import run_outbox
from tests.settlement.work import make_deal


@pytest.fixture
async def accrued(database):
    deal = await make_deal(database, contract={"unit_price": 35_000})
    claim = await deal.accepted(units=100)
    async with committed(database) as session:
        await accrual.accrue(session, deal.request.id, claim.id, 1)
    return deal, claim


@pytest.fixture
def release(database, worker_resources):
    """Run the job of release, with KYC_REQUIRED_BEFORE as given."""

    async def run(before: str) -> None:
        worker_resources.settings.kyc_required_before = before
        async with committed(database) as session:
            emit(session, "settlement.release_due", {})
        await run_outbox(worker_resources, only="settlement.release_due")

    return run


async def _payee(database, claim, state: PayeeState) -> None:
    async with committed(database) as session:
        session.add(
            Payee(kind=PayeeKind.WORKER, owner_id=claim.worker_id, provider="sandbox", display_name="韦", state=state)
        )


async def test_money_is_released_without_identification_when_only_payouts_need_it(accrued, release):
    deal, claim = accrued
    await release("payout")
    assert await deal.balance(accounts.worker(claim.worker_id)) == 315


@pytest.mark.parametrize("state", [None, PayeeState.NEW, PayeeState.LAPSED, PayeeState.REFUSED])
async def test_money_stays_accrued_when_the_payee_is_not_identified(database, accrued, release, state):
    deal, claim = accrued
    if state is not None:
        await _payee(database, claim, state)
    await release("release")
    assert await deal.accrued() == 350


async def test_money_is_released_when_the_payee_is_identified(database, accrued, release):
    deal, claim = accrued
    await _payee(database, claim, PayeeState.READY)
    await release("release")
    assert await deal.balance(accounts.worker(claim.worker_id)) == 315
