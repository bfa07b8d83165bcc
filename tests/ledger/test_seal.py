"""The seal: nothing is left out, and whatever is changed afterwards is named."""

from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from marketplace.ledger import accounts, service
from marketplace.ledger.entries import credit, debit
from marketplace.ledger.merkle import leaf_hash, path_of, root_by_path, root_of
from marketplace.ledger.seal import seal
from marketplace.ledger.verify import verify
from tests.factories.money import tamper

CASH, PSP = accounts.org_cash(uuid4()), accounts.psp("sandbox")


async def _post(session, key: str, amount: int = 10) -> None:
    legs = [debit(PSP, amount), credit(CASH, amount)]
    await service.post(session, key, "topup", legs, "CNY", facts={"note": key})


async def _seal(database, **options) -> list[int]:
    async with database.sessions.begin() as session:
        return [block.txn_count for block in await seal(session, **options)]


async def _check(database):
    async with database.sessions() as session:
        report = await verify(session)
    return next(check for check in report.checks if check.name == "sealed")


@pytest.fixture
async def sealed(database):
    for block in ("a", "b", "c"):
        async with database.sessions.begin() as session:
            for number in range(3):
                await _post(session, f"{block}{number}")
        assert await _seal(database) == [3]
    return database


async def test_blocks_hold_all_transactions_when_nothing_is_open(sealed):
    check = await _check(sealed)
    assert (check.breaks, check.figures) == ([], {"blocks": 3, "sealed": 9, "unsealed": 0})
    assert await _seal(sealed) == []


async def test_transaction_waits_for_the_next_block_when_it_is_still_open(database):
    async with database.sessions() as slow:
        await _post_alone(slow, "slow")
        async with database.sessions.begin() as session:
            await _post_alone(session, "fast")
        assert await _seal(database) == []
        await slow.rollback()
    assert await _seal(database) == [1]


async def _post_alone(session, key: str) -> None:
    cash = accounts.bank(key)  # unguarded and of its own, so that neither waits for the other
    await service.post(session, key, "topup", [debit(cash, 1), credit(f"bank:{key}-other", 1)], "CNY")


async def test_blocks_are_cut_between_database_transactions_when_there_are_many(database):
    for number in range(5):
        async with database.sessions.begin() as session:
            await _post(session, f"{number}a")
            await _post(session, f"{number}b")
    assert await _seal(database, block_max=3) == [4, 4, 2]
    assert (await _check(database)).breaks == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE posting SET amount_minor = amount_minor * 2 FROM txn WHERE txn.id = txn_id AND key = 'b1'", "b1 is"),
        ("UPDATE txn SET facts = '{}' WHERE key = 'b1'", "b1 is not as it was sealed"),
        ("UPDATE txn SET effective_at = effective_at + interval '1 microsecond' WHERE key = 'b1'", "b1 is not"),
        ("DELETE FROM txn WHERE key = 'b1'", "is gone"),
        ("DELETE FROM ledger_block_txn USING txn WHERE txn.id = txn_id AND key = 'b1'", "holds 2 transactions"),
        ("UPDATE ledger_block_txn SET position = 7 - position WHERE block_number = 2", "are not those that were"),
        ("UPDATE ledger_block SET sealed_at = sealed_at + interval '1 s' WHERE number = 2", "hash is not that of"),
        ("UPDATE ledger_block SET number = number + 7 WHERE number = 2", "block 3: does not follow block 1"),
        ("DELETE FROM ledger_block WHERE number = 2", "block 3: does not follow block 1"),
    ],
)
async def test_break_is_named_when_something_sealed_was_changed(sealed, change, named):
    await tamper(sealed, change)
    breaks = (await _check(sealed)).breaks
    assert any(named in line for line in breaks), breaks


async def test_transaction_is_named_when_it_was_slipped_in_behind_the_seal(sealed):
    async with sealed.sessions.begin() as session:
        await _post(session, "late")
    await tamper(sealed, "UPDATE txn SET xid8 = (SELECT min(xid8::text)::xid8 FROM txn) WHERE key = 'late'")
    assert (await _check(sealed)).breaks == ["late: older than the last block and in none"]


@pytest.mark.parametrize("table", ["ledger_block", "ledger_block_txn"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET {}", "TRUNCATE {} CASCADE"])
async def test_block_is_not_changed_when_the_application_tries(sealed, table, change):
    column = "block_hash = ''" if table == "ledger_block" else "leaf_hash = ''"
    async with sealed.sessions() as session:
        with pytest.raises(DBAPIError, match="permission denied"):
            await session.execute(text(change.format(table, column)))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 13])
def test_every_leaf_leads_to_the_root_when_its_path_is_right(count):
    leaves = [leaf_hash(bytes([number])) for number in range(count)]
    for place, leaf in enumerate(leaves):
        path = path_of(leaves, place)
        assert root_by_path(leaf, place, count, path) == root_of(leaves)
        assert root_by_path(leaf_hash(b"other"), place, count, path) != root_of(leaves)
        assert root_by_path(leaf, place, count, [*path, leaf]) != root_of(leaves)
