"""Files for the bank: made by one person, released by another, given out byte for byte as they were released."""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import Actor, ActorKind
from marketplace.core.clock import now
from marketplace.core.money import check_currency
from marketplace.core.paging import PageQuery, read_page
from marketplace.core.settings import Settings
from marketplace.core.signatures import signing_key
from marketplace.core.states import check_step
from marketplace.ledger.merkle import sha256_hex
from marketplace.payments import inbox
from marketplace.payments.bank_file import file_format, rail
from marketplace.payments.bank_file.bank_details import open_number
from marketplace.payments.bank_file.errors import (
    BankFileChanged,
    BankFileHeld,
    BankFileLineUnknown,
    BankFileNotReleased,
    BankFileUnknown,
    NothingQueued,
    PersonNeeded,
    RailShort,
    SecondPersonNeeded,
)
from marketplace.payments.bank_file.file_format import Payment
from marketplace.payments.bank_file.gateway import event_of
from marketplace.payments.bank_file.models import BankFileBatch, BankFileLine
from marketplace.payments.bank_file.schemas import QueueView
from marketplace.payments.bank_file.states import BATCH_STEPS, LINE_STEPS, BatchState, LineState

MAX_LINES: Final = 10_000  # what a bank still takes in one file; the rest goes into the next
# A payment waits here as its call would elsewhere: for a pause to be lifted, or a new bank account to have cooled.
_IS_HELD: Final = """
    EXISTS (
        SELECT 1 FROM payment_pause pause JOIN payee ON payee.id = CAST(line.payee_ref AS uuid)
        WHERE pause.lifted_at IS NULL AND (
            pause.scope = 'provider' AND pause.target = payee.provider
            OR pause.scope = 'payee' AND pause.target = CAST(payee.owner_id AS text)
            OR pause.scope = 'organisation' AND payee.kind = 'vendor' AND pause.target = CAST(payee.owner_id AS text))
    ) OR EXISTS (
        SELECT 1 FROM payout_method method JOIN payee ON payee.id = CAST(line.payee_ref AS uuid)
        WHERE method.kind = payee.kind AND method.owner_id = payee.owner_id AND method.provider = payee.provider
          AND method.currency = line.currency AND method.usable_from > now()
    )
"""
# One statement takes the lines: of two files made at once, each line stands in one.
_TAKE = text(
    f"""
    WITH taken AS (
        SELECT id FROM bank_file_line line
        WHERE state = 'queued' AND batch_id IS NULL AND currency = :currency AND NOT ({_IS_HELD})
        ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED),
    moved AS (
        UPDATE bank_file_line SET batch_id = :batch FROM taken WHERE bank_file_line.id = taken.id
        RETURNING bank_file_line.amount_minor)
    SELECT count(*), coalesce(sum(amount_minor), 0) FROM moved
    """  # noqa: S608  # only constants stand in it
)
_HELD_IN = text(
    f"SELECT ref FROM bank_file_line line WHERE batch_id = :batch AND ({_IS_HELD}) ORDER BY id LIMIT 10"  # noqa: S608
)


async def queue(session: AsyncSession) -> list[QueueView]:
    """Return what waits for a file, per currency."""
    found = await session.exec(
        select(BankFileLine.currency, func.count(), func.sum(col(BankFileLine.amount_minor)))
        .where(BankFileLine.state == LineState.QUEUED, col(BankFileLine.batch_id).is_(None))
        .group_by(col(BankFileLine.currency))
        .order_by(col(BankFileLine.currency))
    )
    return [QueueView(currency=currency, count=count, sum_minor=int(total)) for currency, count, total in found]


async def make(session: AsyncSession, actor: Actor, currency: str) -> BankFileBatch:
    """Put the payments of a currency that wait, the oldest first and `MAX_LINES` at most, into a new file.

    Those of payees who are paused, or whose bank account is new, go on waiting.

    Raises:
        NothingQueued: none waits that may be paid now.
        PersonNeeded: an API key asks.
    """
    _check_person(actor)
    batch = BankFileBatch(currency=check_currency(currency), made_by=actor.principal)
    session.add(batch)
    await session.flush()
    count, total = await _take(session, batch)
    if count == 0:
        raise NothingQueued
    batch.line_count, batch.sum_minor = count, total
    _record(session, actor, "make", batch, line_count=batch.line_count, sum_minor=batch.sum_minor)
    return batch


async def release(session: AsyncSession, settings: Settings, actor: Actor, batch_id: UUID) -> BankFileBatch:
    """Release a file to the bank, as a second person; its bytes are signed now and never change again.

    Raises:
        SecondPersonNeeded: the person who made it asks.
        PersonNeeded: an API key asks.
        BankFileHeld: a payee in it was paused since, or has a new bank account.
        RailShort: the rail does not hold its sum.
        ProofKeyMissing: the operator has no signing key.
    """
    _check_person(actor)
    batch = await _locked(session, batch_id)
    if actor.principal == batch.made_by:
        raise SecondPersonNeeded
    check_step(BATCH_STEPS, batch.state, BatchState.APPROVED)
    await _check_not_held(session, batch)
    await rail.lock_rail(session, batch.currency)
    free = await rail.free_minor(session, batch.currency)
    if free < batch.sum_minor:
        raise RailShort(f"{batch.sum_minor} minor units of {batch.currency} are asked, {free} are free.")
    content = await _content(session, settings, batch)
    batch.state, batch.released_by, batch.released_at = BatchState.APPROVED, actor.principal, now()
    batch.sha256 = sha256_hex(content)
    batch.signature = file_format.sign(content, batch.id.hex, signing_key(settings))
    _record(session, actor, "release", batch, sha256=batch.sha256)
    return batch


async def discard(session: AsyncSession, actor: Actor, batch_id: UUID, reason: str) -> BankFileBatch:
    """Give up a file that was not exported; its payments wait again."""
    batch = await _locked(session, batch_id)
    _step(batch, BatchState.DISCARDED)
    for line in await _lines(session, batch.id):
        line.batch_id = None
    _record(session, actor, "discard", batch, reason=reason)
    return batch


async def export(session: AsyncSession, actor: Actor, batch_id: UUID) -> BankFileBatch:
    """Mark a released file as on its way to the bank; again is harmless.

    Raises:
        BankFileHeld: a payee in it was paused since, or has a new bank account.
    """
    batch = await _locked(session, batch_id)
    if batch.state in {BatchState.EXPORTED, BatchState.SETTLED}:
        return batch
    _step(batch, BatchState.EXPORTED)
    await _check_not_held(session, batch)
    batch.exported_at = now()
    for line in await _lines(session, batch.id):
        check_step(LINE_STEPS, line.state, LineState.EXPORTED)
        line.state, line.changed_at = LineState.EXPORTED, batch.exported_at
    _record(session, actor, "export", batch, sha256=batch.sha256)
    return batch


async def content_of(session: AsyncSession, settings: Settings, actor: Actor, batch_id: UUID) -> tuple[bytes, bytes]:
    """Return a file and its detached signature, as released; the trail says who read the account numbers in it.

    Raises:
        BankFileNotReleased: it was not released and exported.
        BankFileChanged: its lines are not those that were released.
    """
    batch = await batch_of(session, batch_id)
    if batch.exported_at is None or batch.signature is None:
        raise BankFileNotReleased
    content = await _content(session, settings, batch)
    if sha256_hex(content) != batch.sha256:
        raise BankFileChanged
    _record(session, actor, "read", batch, sha256=batch.sha256)
    return content, batch.signature.encode()


async def refuse_line(session: AsyncSession, actor: Actor, line_id: UUID, reason: str) -> BankFileLine:
    """Take a payment that waits, and stands in no file, out of the queue; the payee has the money back by the saga."""
    found = await session.exec(
        select(BankFileLine)
        .where(BankFileLine.id == line_id, col(BankFileLine.batch_id).is_(None))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    line = found.first()
    if line is None:
        raise BankFileLineUnknown("There is no such line, or it stands in a file: discard the file first.")
    check_step(LINE_STEPS, line.state, LineState.FAILED)
    line.state, line.reason, line.changed_at = LineState.FAILED, reason[:200], now()
    await inbox.receive(session, rail.NAME, event_of(line))
    record(session, actor, "bank_file_line.refuse", f"bank_file_line:{line.id}", ref=line.ref, reason=reason)
    return line


async def batch_of(session: AsyncSession, batch_id: UUID) -> BankFileBatch:
    """Return a file's row, or raise `BankFileUnknown`."""
    batch = await session.get(BankFileBatch, batch_id)
    if batch is None:
        raise BankFileUnknown
    return batch


async def batches(session: AsyncSession, query: PageQuery) -> tuple[list[BankFileBatch], str | None]:
    """Return a page of the files, newest first."""
    return await read_page(session, select(BankFileBatch), BankFileBatch.id, query)


async def lines(
    session: AsyncSession, query: PageQuery, batch_id: UUID | None
) -> tuple[list[BankFileLine], str | None]:
    """Return a page of a file's payments, or without a file of those that wait, newest first."""
    chosen = select(BankFileLine).where(BankFileLine.batch_id == batch_id)
    if batch_id is None:
        chosen = chosen.where(BankFileLine.state == LineState.QUEUED)
    return await read_page(session, chosen, BankFileLine.id, query)


async def _take(session: AsyncSession, batch: BankFileBatch) -> tuple[int, int]:
    """Move what waits into a file; return how many payments and their sum."""
    values = {"currency": batch.currency, "batch": batch.id, "limit": MAX_LINES}
    count, total = (await session.execute(_TAKE, values)).one()
    return int(count), int(total)


async def _content(session: AsyncSession, settings: Settings, batch: BankFileBatch) -> bytes:
    secret = settings.secret_key.get_secret_value()
    payments = [
        Payment(
            line.ref, line.holder_name, line.bank_code, open_number(secret, line.id, line.account_sealed),
            line.amount_minor,
        )
        for line in await _lines(session, batch.id)
    ]  # fmt: skip
    return file_format.render(batch.id.hex, batch.currency, payments)


async def _lines(session: AsyncSession, batch_id: UUID) -> list[BankFileLine]:
    found = await session.exec(
        select(BankFileLine).where(BankFileLine.batch_id == batch_id).order_by(col(BankFileLine.id))
    )
    return list(found.all())


async def _locked(session: AsyncSession, batch_id: UUID) -> BankFileBatch:
    found = await session.exec(
        select(BankFileBatch)
        .where(BankFileBatch.id == batch_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    batch = found.first()
    if batch is None:
        raise BankFileUnknown
    return batch


async def _check_not_held(session: AsyncSession, batch: BankFileBatch) -> None:
    held = list((await session.execute(_HELD_IN, {"batch": batch.id})).scalars())
    if held:
        raise BankFileHeld(f"Discard it and make a new one, or wait; held are {', '.join(held)}.")


def _check_person(actor: Actor) -> None:
    if actor.kind is not ActorKind.PERSON:
        raise PersonNeeded


def _step(batch: BankFileBatch, target: BatchState) -> None:
    check_step(BATCH_STEPS, batch.state, target)
    batch.state = target


def _record(session: AsyncSession, actor: Actor, act: str, batch: BankFileBatch, **facts: Any) -> None:
    record(session, actor, f"bank_file.{act}", f"bank_file:{batch.id}", currency=batch.currency, **facts)
