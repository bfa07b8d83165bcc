"""The sandbox's scripted payee whose bank returns the first payout, and takes the next."""

from marketplace.core.ids import new_id
from marketplace.ledger import accounts, queries
from marketplace.payments import inbox
from marketplace.payments.models import Payout
from marketplace.payments.states import PayoutState
from tests.factories.money import ask_payout, ask_top_up, earn, row_of
from workers.session import run_command


async def _settle(database, gateway, drive):
    """Let the bank, the events and the saga take turns until all is at rest."""
    for _ in range(4):
        await drive()
        await run_command(database, lambda session: inbox.fill_gaps(session, gateway))
    await drive()


async def test_second_payout_arrives_when_the_bank_returned_the_first(database, gateway, drive):
    worker = new_id()
    await ask_top_up(database, gateway, new_id(), 5000)
    await drive()
    await earn(database, worker, 800)
    first = await ask_payout(database, gateway, worker, "韦小木 return-once")
    await _settle(database, gateway, drive)
    returned = await row_of(database, Payout, first.id)
    assert (returned.state, returned.failure_code) == (PayoutState.CANCELLED, "bank_returned")
    async with database.sessions() as session:
        assert await queries.balance(session, accounts.worker(worker), "CNY") == 800
    second = await ask_payout(database, gateway, worker, "韦小木 return-once")
    await _settle(database, gateway, drive)
    assert (await row_of(database, Payout, second.id)).state is PayoutState.PAID
    async with database.sessions() as session:
        assert await queries.balance(session, accounts.worker(worker), "CNY") == 0
