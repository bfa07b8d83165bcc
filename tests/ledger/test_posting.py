"""What the ledger promises about a single posting."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import select

from marketplace.core.paging import PageQuery
from marketplace.ledger import accounts, queries, service
from marketplace.ledger.entries import Entry, Leg, credit, debit
from marketplace.ledger.errors import AccountUnknown, IdempotencyConflict, InsufficientFunds, Unbalanced
from marketplace.ledger.models import Account, Posting, Txn

ORG = uuid4()
CASH, PSP = accounts.org_cash(ORG), accounts.psp("sandbox")


def top_up(amount: int) -> list[Leg]:
    return [debit(PSP, amount), credit(CASH, amount)]


async def test_balances_move_to_their_normal_side_when_posted(session):
    await service.post(session, "topup:1", "topup", top_up(700), "CNY")
    await service.post(session, "topup:2", "topup", top_up(300), "CNY")
    assert await queries.balance(session, CASH, "CNY") == 1000
    assert await queries.balance(session, PSP, "CNY") == 1000
    assert await queries.balance(session, CASH, "USD") == 0


async def test_stored_txn_is_returned_when_the_same_key_comes_again(session):
    first = await service.post(session, "topup:1", "topup", top_up(700), "CNY", facts={"note": "first"})
    again = await service.post(session, "topup:1", "topup", top_up(700), "CNY", facts={"note": "again"})
    assert again.id == first.id
    assert again.facts == {"note": "first"}
    assert await queries.balance(session, CASH, "CNY") == 700


@pytest.mark.parametrize(
    ("kind", "amount", "currency"), [("topup", 701, "CNY"), ("gift", 700, "CNY"), ("topup", 700, "USD")]
)
async def test_conflict_is_raised_when_a_key_comes_with_another_payload(session, kind, amount, currency):
    await service.post(session, "topup:1", "topup", top_up(700), "CNY")
    with pytest.raises(IdempotencyConflict):
        await service.post(session, "topup:1", kind, top_up(amount), currency)


async def test_guarded_account_refuses_when_it_would_go_negative(session):
    await service.post(session, "topup:1", "topup", top_up(700), "CNY")
    fund = [debit(CASH, 701), credit(accounts.reserved(uuid4()), 701)]
    with pytest.raises(InsufficientFunds) as refused:
        await service.post(session, "fund:1", "fund", fund, "CNY")
    assert refused.value.extra["lacking_minor"] == 1
    assert await queries.balance(session, CASH, "CNY") == 700


async def test_batch_sees_its_own_earlier_entries_when_it_checks_funds(session):
    request = uuid4()
    await service.post_many(
        session,
        [
            Entry("topup:1", "topup", top_up(50), "CNY"),
            Entry("fund:1", "fund", [debit(CASH, 30), credit(accounts.reserved(request), 30)], "CNY"),
            Entry("fund:2", "fund", [debit(CASH, 20), credit(accounts.reserved(request), 20)], "CNY"),
        ],
    )
    assert await queries.balance(session, CASH, "CNY") == 0
    assert await queries.balance(session, accounts.reserved(request), "CNY") == 50


async def test_batch_is_refused_when_an_entry_posted_before_would_cover_another(session):
    earlier = Entry("topup:1", "topup", top_up(50), "CNY")
    spends = [
        Entry(f"fund:{n}", "fund", [debit(CASH, 50), credit(accounts.reserved(uuid4()), 50)], "CNY") for n in "12"
    ]
    await service.post_many(session, [earlier, spends[0]])
    with pytest.raises(InsufficientFunds):
        await service.post_many(session, [earlier, spends[1]])


async def test_credits_are_told_as_a_statement_tells_them_when_they_were_booked_at_once(session):
    worker = accounts.worker(uuid4())
    legs = [debit(accounts.PROMO, 5), credit(worker, 5)]
    await service.post_many(session, [Entry(f"bonus:{n}", "bonus", legs, "CNY", facts={"n": n}) for n in range(50)])
    lines, _ = await queries.statement(session, [worker], "CNY", PageQuery(limit=100))
    told = await queries.credits_between(session, worker, "CNY", 0, 250)
    assert [one.facts["n"] for one in told] == [line.facts["n"] for line in reversed(lines)]


async def test_legs_of_one_account_are_netted_when_posted(session):
    legs = [*top_up(10), debit(CASH, 4), credit(PSP, 4), debit(accounts.PSP_FEE, 0)]
    txn = await service.post(session, "k", "topup", legs, "CNY")
    postings = (await session.exec(select(Posting).where(Posting.txn_id == txn.id))).all()
    assert sorted(posting.amount_minor for posting in postings) == [-6, 6]


@pytest.mark.parametrize("legs", [[], [debit(PSP, 5)], [debit(PSP, 5), credit(CASH, 4)], [debit(PSP, 0)]])
def test_entry_is_refused_when_its_legs_do_not_balance(legs):
    with pytest.raises(Unbalanced):
        Entry("k", "topup", legs, "CNY").net()


def test_entry_is_refused_when_an_account_is_not_in_the_chart():
    with pytest.raises(AccountUnknown):
        Entry("k", "topup", [debit("piggy_bank:1", 5), credit(CASH, 5)], "CNY").net()


async def test_statement_pages_newest_first_when_there_are_more_rows_than_the_limit(session):
    for number in range(5):
        await service.post(session, f"topup:{number}", "topup", top_up(number + 1), "CNY")
    lines, cursor = await queries.statement(session, [CASH], "CNY", PageQuery(limit=3))
    rest, end = await queries.statement(session, [CASH], "CNY", PageQuery(limit=3, cursor=cursor))
    assert [line.amount_minor for line in lines + rest] == [5, 4, 3, 2, 1]
    assert end is None
    assert lines[0].kind == "topup"


async def test_transaction_fails_at_commit_when_postings_do_not_add_up(database):
    with pytest.raises(DBAPIError, match="adds up to 1 CNY"):
        await _raw_txn(database, [5, -4])


async def test_transaction_fails_at_commit_when_it_has_no_postings(database):
    with pytest.raises(DBAPIError, match="has no postings"):
        await _raw_txn(database, [])


async def test_closed_transaction_refuses_when_balanced_postings_are_added_later(database):
    async with database.sessions.begin() as session:
        txn = await service.post(session, "topup:1", "topup", top_up(5), "CNY")
    with pytest.raises(DBAPIError, match="is closed"):
        await _add_postings(database, txn.id, "CNY", [3, -3])


async def test_posting_is_refused_when_its_currency_is_not_its_accounts(database):
    async with database.sessions.begin() as session:
        txn = await service.post(session, "topup:1", "topup", top_up(5), "CNY")
    with pytest.raises(IntegrityError, match="fk_posting_account_id_currency"):
        await _add_postings(database, txn.id, "USD", [3, -3])


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE posting SET amount_minor = 1",
        "DELETE FROM posting",
        "UPDATE txn SET kind = 'x'",
        "DELETE FROM txn",
        "TRUNCATE posting",
        "UPDATE account SET path = 'psp:x'",
        "DELETE FROM account",
        "UPDATE audit_entry SET action = 'x'",
        "DELETE FROM audit_entry",
    ],
)
async def test_application_role_is_refused_when_it_changes_what_is_append_only(session, change):
    await service.post(session, "topup:1", "topup", top_up(5), "CNY")
    role = (await session.execute(text("SELECT current_user"))).scalar_one()
    assert role == "kapok_app"
    with pytest.raises(DBAPIError, match="permission denied"):
        await session.execute(text(change))


@pytest.mark.parametrize("change", ["UPDATE posting SET amount_minor = 1", "DELETE FROM txn", "TRUNCATE posting"])
async def test_even_the_owner_is_refused_when_triggers_stand(database, change):
    async with database.sessions.begin() as session:
        await service.post(session, "topup:1", "topup", top_up(5), "CNY")
    with pytest.raises(DBAPIError, match="reversing transaction"):
        await _as_owner(database, change)


async def _add_postings(database, txn_id, currency: str, amounts: list[int]) -> None:
    async with database.sessions.begin() as session:
        account = (await session.exec(select(Account.id).where(Account.path == PSP))).one()
        for amount in amounts:
            session.add(Posting(txn_id=txn_id, account_id=account, currency=currency, amount_minor=amount))


async def _as_owner(database, change: str) -> None:
    async with database.sessions.begin() as session:
        await session.execute(text("SET LOCAL ROLE NONE"))
        await session.execute(text(change))


async def _raw_txn(database, amounts: list[int]) -> None:
    """Write rows past the service, as a fault in it would."""
    async with database.sessions.begin() as session:
        await service.post(session, "topup:1", "topup", top_up(9), "CNY")
        account = (await session.exec(select(Account.id).where(Account.path == PSP))).one()
        txn = Txn(key="raw", kind="raw", payload_hash="0" * 64)
        session.add(txn)
        await session.flush()
        for amount in amounts:
            session.add(Posting(txn_id=txn.id, account_id=account, currency="CNY", amount_minor=amount))


@given(amounts=st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=8), shuffle=st.randoms())
def test_payload_hash_is_the_same_when_legs_come_in_another_order(amounts, shuffle):
    legs = [Leg(accounts.worker(uuid4()), amount) for amount in amounts]
    legs.append(Leg(PSP, -sum(amounts)))
    if not any(amounts):
        return
    other = list(legs)
    shuffle.shuffle(other)
    one, two = Entry("k", "x", legs, "CNY"), Entry("k", "x", other, "CNY")
    assert one.payload_hash(one.net()) == two.payload_hash(two.net())
