"""Files for the bank: each payment in one of them, released when covered, given out only as they were released."""

import asyncio

import pytest
from sqlmodel import select

from marketplace.audit.models import AuditEntry
from marketplace.core.errors import TransitionRefused
from marketplace.core.ids import new_id
from marketplace.core.money import Money
from marketplace.core.signatures import signing_key
from marketplace.payments import pauses
from marketplace.payments.bank_file import batches
from marketplace.payments.bank_file.errors import BankFileChanged, BankFileHeld, NothingQueued, RailShort
from marketplace.payments.bank_file.file_format import BankFileBroken, check
from marketplace.payments.bank_file.states import BatchState
from marketplace.payments.control_schemas import Pause
from marketplace.payments.control_states import PauseScope
from tests.factories.bank_file import (
    AMOUNT_MINOR,
    MAKER,
    RELEASER,
    line_of,
    queued_payout,
)
from tests.factories.identity import make_approved_worker
from tests.factories.money import committed, tamper


def _key() -> dict[str, str]:
    return {"Idempotency-Key": str(new_id())}


async def test_each_line_stands_in_one_file_when_two_are_made_at_once(database, gateway, books, drive, funded):
    sent = [await queued_payout(database, gateway, books, drive) for _ in range(4)]

    async def make() -> int:
        try:
            async with committed(database) as session:
                return (await batches.make(session, MAKER, "CNY")).line_count
        except NothingQueued:
            return 0

    counts = await asyncio.gather(*(make() for _ in range(3)))
    assert sum(counts) == len(sent)
    lines = [await line_of(database, payout) for payout in sent]
    assert None not in {line.batch_id for line in lines}


async def test_only_one_file_is_released_when_the_rail_covers_one_of_two(settings, database, gateway, books, drive):
    await books.fund(Money(AMOUNT_MINOR, "CNY"))
    ids = []
    for _ in range(2):
        await queued_payout(database, gateway, books, drive)
        async with committed(database) as session:
            ids.append((await batches.make(session, MAKER, "CNY")).id)

    async def release(batch_id) -> BatchState | None:
        try:
            async with committed(database) as session:
                return (await batches.release(session, settings, RELEASER, batch_id)).state
        except RailShort:
            return None

    states = await asyncio.gather(*(release(batch_id) for batch_id in ids))
    assert sorted(states, key=str) == [None, BatchState.APPROVED]


async def test_payments_wait_again_when_a_file_is_discarded(settings, database, gateway, books, drive, funded):
    await queued_payout(database, gateway, books, drive)
    async with committed(database) as session:
        batch_id = (await batches.make(session, MAKER, "CNY")).id
    async with committed(database) as session:
        await batches.discard(session, RELEASER, batch_id, "a wrong name")
    with pytest.raises(TransitionRefused):
        async with committed(database) as session:
            await batches.release(session, settings, RELEASER, batch_id)
    assert len(await books.send("CNY")) == 1


async def test_file_is_not_given_out_when_a_line_was_changed_after_its_release(
    settings, database, gateway, books, drive, funded
):
    payout = await queued_payout(database, gateway, books, drive)
    await books.send("CNY")
    line = await line_of(database, payout)
    await tamper(database, f"UPDATE bank_file_line SET amount_minor = amount_minor + 1 WHERE id = '{line.id}'")
    with pytest.raises(BankFileChanged):
        async with database.sessions() as session:
            await batches.content_of(session, settings, MAKER, line.batch_id)


async def test_file_does_not_hold_when_it_or_its_signature_is_changed(
    settings, database, gateway, books, drive, funded
):
    payout = await queued_payout(database, gateway, books, drive)
    await books.send("CNY")
    async with database.sessions() as session:
        content, signature = await batches.content_of(
            session, settings, MAKER, (await line_of(database, payout)).batch_id
        )
    keys = [signing_key(settings).public_key()]
    assert check(content, signature, keys)
    forged = content.replace(b"6222021234567890123", b"6222021234567890124")
    for given, sealed in ((forged, signature), (content, signature.replace(b'"kid":"', b'"kid":"0')), (content, b"")):
        with pytest.raises(BankFileBroken):
            check(given, sealed, keys)


async def test_details_of_the_day_are_used_when_the_payee_changes_them_later(
    settings, database, gateway, books, drive, funded
):
    worker = new_id()
    payout = await queued_payout(database, gateway, books, drive, worker)
    await books.account(worker, account_number="9999000011112222")
    await books.send("CNY")
    async with database.sessions() as session:
        content, _ = await batches.content_of(session, settings, MAKER, (await line_of(database, payout)).batch_id)
    assert b"6222021234567890123" in content
    assert b"9999000011112222" not in content


async def test_account_number_is_unreadable_when_the_database_is_read(database, gateway, books, drive):
    payout = await queued_payout(database, gateway, books, drive)
    assert b"6222021234567890123" not in (await line_of(database, payout)).account_sealed


async def test_rest_waits_for_the_next_file_when_more_wait_than_one_takes(
    database, gateway, books, drive, funded, monkeypatch
):
    first, second = [await queued_payout(database, gateway, books, drive) for _ in range(2)]
    monkeypatch.setattr(batches, "MAX_LINES", 1)
    assert await books.send("CNY") == [first.id.hex]
    assert await books.send("CNY") == [second.id.hex]


async def test_trail_says_who_read_the_account_numbers_when_a_file_is_downloaded(
    settings, database, gateway, books, drive, funded
):
    payout = await queued_payout(database, gateway, books, drive)
    await books.send("CNY")
    batch_id = (await line_of(database, payout)).batch_id
    async with committed(database) as session:
        await batches.content_of(session, settings, RELEASER, batch_id)
    async with database.sessions() as session:
        read = await session.exec(select(AuditEntry.principal).where(AuditEntry.action == "bank_file.read"))
        assert read.all() == [RELEASER.principal]


@pytest.fixture
def pause(database):
    """Pause somebody's payouts, or all of the rail."""

    async def act(scope: PauseScope, target: str) -> None:
        async with committed(database) as session:
            await pauses.pause(session, MAKER, {"bank_file"}, Pause(scope=scope, target=target, reason="asked to"))

    return act


async def _lift(database) -> None:
    await tamper(database, "UPDATE payment_pause SET lifted_at = now(), lifted_by = 'the test'")


@pytest.mark.parametrize("scope", [PauseScope.PAYEE, PauseScope.PROVIDER])
async def test_payment_waits_for_a_later_file_when_its_payee_or_the_rail_is_paused(
    database, gateway, books, drive, funded, pause, scope
):
    async with committed(database) as session:
        worker = (await make_approved_worker(session)).person.id
    payout = await queued_payout(database, gateway, books, drive, worker)
    await pause(scope, str(worker) if scope is PauseScope.PAYEE else "bank_file")
    with pytest.raises(NothingQueued):
        await books.send("CNY")
    other = await queued_payout(database, gateway, books, drive) if scope is PauseScope.PAYEE else None
    assert (await books.send("CNY") if other else []) == ([other.id.hex] if other else [])
    await _lift(database)
    assert await books.send("CNY") == [payout.id.hex]


@pytest.mark.parametrize("released", [False, True])
async def test_file_is_kept_back_when_a_payee_in_it_is_paused_since(
    settings, database, gateway, books, drive, funded, pause, released
):
    async with committed(database) as session:
        worker = (await make_approved_worker(session)).person.id
    await queued_payout(database, gateway, books, drive, worker)

    async def go_on() -> None:
        async with committed(database) as session:
            if released:
                await batches.export(session, MAKER, batch.id)
            else:
                await batches.release(session, settings, RELEASER, batch.id)

    async with committed(database) as session:
        batch = await batches.make(session, MAKER, "CNY")
    if released:
        async with committed(database) as session:
            await batches.release(session, settings, RELEASER, batch.id)
    await pause(PauseScope.PAYEE, str(worker))
    with pytest.raises(BankFileHeld):
        await go_on()
    await _lift(database)
    await go_on()


async def test_payment_waits_for_a_later_file_when_its_payee_has_just_changed_the_account(
    database, gateway, books, drive, funded
):
    payout = await queued_payout(database, gateway, books, drive)
    await tamper(database, "UPDATE payout_method SET usable_from = now() + interval '1 hour'")
    with pytest.raises(NothingQueued):
        await books.send("CNY")
    await tamper(database, "UPDATE payout_method SET usable_from = now()")
    assert await books.send("CNY") == [payout.id.hex]
