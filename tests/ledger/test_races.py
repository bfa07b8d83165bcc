"""The ledger under 16 writers at once, on a real server."""

import asyncio
from uuid import uuid4

from marketplace.ledger import accounts, queries, service, verify
from marketplace.ledger.entries import credit, debit
from marketplace.ledger.errors import InsufficientFunds

ORG = uuid4()
CASH, PSP = accounts.org_cash(ORG), accounts.psp("sandbox")
WRITERS = 16


async def _top_up(database, amount: int) -> None:
    async with database.sessions.begin() as session:
        await service.post(session, "topup:1", "topup", [debit(PSP, amount), credit(CASH, amount)], "CNY")


async def test_guarded_account_never_goes_negative_when_many_spend_it_at_once(database):
    await _top_up(database, 100)
    request = uuid4()

    async def spend(writer: int) -> int:
        spent = 0
        for number in range(10):
            legs = [debit(CASH, 1), credit(accounts.reserved(request), 1)]
            try:
                async with database.sessions.begin() as session:
                    await service.post(session, f"fund:{writer}:{number}", "fund", legs, "CNY")
                spent += 1
            except InsufficientFunds:
                break
        return spent

    spent = await asyncio.gather(*(spend(writer) for writer in range(WRITERS)))
    assert sum(spent) == 100
    async with database.sessions() as session:
        assert await queries.balance(session, CASH, "CNY") == 0
        assert await queries.balance(session, accounts.reserved(request), "CNY") == 100
        assert (await verify.verify(session)).holds


async def test_one_txn_results_when_the_same_key_is_posted_at_once(database):
    async def post() -> object:
        async with database.sessions.begin() as session:
            txn = await service.post(session, "topup:1", "topup", [debit(PSP, 5), credit(CASH, 5)], "CNY")
            return txn.id

    ids = await asyncio.gather(*(post() for _ in range(WRITERS)))
    assert len(set(ids)) == 1
    async with database.sessions() as session:
        assert await queries.balance(session, CASH, "CNY") == 5
        assert await queries.balance(session, PSP, "CNY") == 5


async def test_one_txn_results_when_only_unguarded_accounts_are_raced_for(database):
    async def post() -> object:
        legs = [debit(accounts.PSP_FEE, 5), credit(PSP, 5)]
        async with database.sessions.begin() as session:
            return (await service.post(session, "fee:1", "fee", legs, "CNY")).id

    ids = await asyncio.gather(*(post() for _ in range(WRITERS)))
    assert len(set(ids)) == 1
    async with database.sessions() as session:
        assert await queries.balance(session, accounts.PSP_FEE, "CNY") == 5


async def test_no_deadlock_arises_when_money_goes_both_ways_at_once(database):
    other = accounts.org_cash(uuid4())
    await _top_up(database, 1000)
    async with database.sessions.begin() as session:
        await service.post(session, "move:0", "move", [debit(CASH, 500), credit(other, 500)], "CNY")

    async def move(writer: int) -> None:
        source, goal = (CASH, other) if writer % 2 else (other, CASH)
        for number in range(10):
            async with database.sessions.begin() as session:
                await service.post(session, f"m:{writer}:{number}", "move", [debit(source, 1), credit(goal, 1)], "CNY")

    await asyncio.gather(*(move(writer) for writer in range(WRITERS)))
    async with database.sessions() as session:
        assert await queries.balance(session, CASH, "CNY") == 500
        assert (await verify.verify(session)).holds
