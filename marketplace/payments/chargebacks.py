"""Chargebacks: a payer's bank takes a charge back, and gives it back or keeps it when the dispute is decided.

While it is open, as much of the enterprise's money as there is stands frozen: its prepaid balance first, then what is
reserved for its requests, the youngest first, for the oldest has most work under way. What was accrued or released is
other people's and is never touched. If the chargeback is won, what was frozen returns to the prepaid balance, wherever
it came from: a request may have ended meanwhile, and its reserve must stay empty then. If it is lost, the enterprise
owes what could not be frozen.

Like `outcomes`, it only ever moves forward, and takes the object as it is now: a chargeback that is already won when we
first hear of it is opened and won in one step. Lock order: the charge, the chargeback, guarded accounts.
"""

from typing import Final
from uuid import UUID

import structlog
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.models import DatasetRequest
from marketplace.core.clock import now
from marketplace.core.paging import PageQuery, read_page
from marketplace.core.states import check_step
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import Leg, credit, debit
from marketplace.payments.errors import AmountMismatch
from marketplace.payments.gateway import DisputeFacts, RemoteObject, RemoteState, reinstated
from marketplace.payments.models import Charge, Chargeback
from marketplace.payments.states import CHARGEBACK_STEPS, ChargebackState, ChargeState, Subject
from marketplace.payments.subjects import lock_subject

STEPS: Final = ("open", "won", "lost")

log = structlog.get_logger()


def posting_key(remote_ref: str, step: str) -> str:
    """Return the ledger's key of a step of a chargeback, one of `STEPS`; the provider's id makes it one of a kind."""
    return f"cb:{remote_ref}:{step}"


async def apply(session: AsyncSession, remote: RemoteObject) -> bool:
    """Apply a chargeback as it is now; return False while its charge has not succeeded in our books.

    Raises:
        AmountMismatch: it is about another amount than before, or more than its charge.
    """
    facts = remote.dispute
    charge = None if facts is None else await lock_subject(session, Subject.CHARGE, UUID(hex=facts.charge_ref))
    if facts is None or charge is None or charge.state is not ChargeState.SUCCEEDED:
        return False
    row = await _locked(session, charge, remote)
    if row is None:
        row = await _open(session, charge, remote, facts)
    if row.state is not ChargebackState.OPEN:
        return True
    match remote.state:
        case RemoteState.SUCCEEDED:
            await _won(session, row, facts.fee_back_minor)
        case RemoteState.FAILED:
            await _lost(session, row)
        case RemoteState.PENDING:
            row.evidence_due_at = facts.evidence_due_at
    return True


async def _locked(session: AsyncSession, charge: Charge, remote: RemoteObject) -> Chargeback | None:
    """Return the row of a chargeback, locked; its charge is locked, so nobody adds it meanwhile."""
    found = await session.exec(
        select(Chargeback)
        .where(Chargeback.provider == charge.provider, Chargeback.remote_ref == remote.ref)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    row = found.first()
    limit = charge.amount_minor if row is None else row.amount_minor
    too_much = remote.amount_minor > limit if row is None else remote.amount_minor != limit
    if too_much or remote.currency != charge.currency:
        detail = f"dispute {remote.ref}: {remote.amount_minor} {remote.currency} at the provider, "
        raise AmountMismatch(detail + f"{limit} {charge.currency} here")
    return row


async def _open(session: AsyncSession, charge: Charge, remote: RemoteObject, facts: DisputeFacts) -> Chargeback:
    row = Chargeback(
        charge_id=charge.id, organisation_id=charge.organisation_id, provider=charge.provider, remote_ref=remote.ref,
        currency=charge.currency, amount_minor=remote.amount_minor, fee_minor=remote.fee_minor, reason=facts.reason,
        evidence_due_at=facts.evidence_due_at,
    )  # fmt: skip
    row.frozen = await _to_freeze(session, row)
    session.add(row)
    await session.flush()
    legs = [
        debit(accounts.dispute_held(row.provider), row.amount_minor),
        debit(accounts.PSP_FEE, row.fee_minor),
        credit(accounts.psp(row.provider), row.amount_minor + row.fee_minor),
        *(debit(path, minor) for path, minor in row.frozen.items()),
        credit(accounts.frozen(row.id), row.frozen_minor),
    ]
    await _post(session, row, "open", legs, row.remote_ref)
    log.warning("payments.chargeback", chargeback_id=str(row.id), charge_id=str(charge.id), reason=row.reason)
    return row


async def _to_freeze(session: AsyncSession, row: Chargeback) -> dict[str, int]:
    """Return how much can be frozen on which account; the accounts are locked, so it stays so.

    The prepaid balance is locked before the reserves are listed: nothing can move from it into a reserve we have not
    seen. Its account is older than theirs, so the order of locks is that of posting.
    """
    cash = accounts.org_cash(row.organisation_id)
    held = await ledger.lock_balances(session, [cash], row.currency)
    parts = _take(held, [cash], row.amount_minor)
    left = row.amount_minor - sum(parts.values())
    if left == 0:
        return parts
    found = await session.exec(
        select(DatasetRequest.id)
        .where(DatasetRequest.organisation_id == row.organisation_id)
        .order_by(col(DatasetRequest.id).desc())
    )
    reserves = [accounts.reserved(request_id) for request_id in found]
    return parts | _take(await ledger.lock_balances(session, reserves, row.currency), reserves, left)


def _take(held: dict[str, int], order: list[str], amount_minor: int) -> dict[str, int]:
    """Take an amount, or as much of it as there is, from balances in an order. Pure."""
    parts: dict[str, int] = {}
    for path in order:
        part = min(held.get(path, 0), amount_minor - sum(parts.values()))
        if part > 0:
            parts[path] = part
    return parts


async def _won(session: AsyncSession, row: Chargeback, fee_back_minor: int) -> None:
    legs = [
        debit(accounts.psp(row.provider), row.amount_minor + fee_back_minor),
        credit(accounts.dispute_held(row.provider), row.amount_minor),
        credit(accounts.PSP_FEE, fee_back_minor),
        debit(accounts.frozen(row.id), row.frozen_minor),
        credit(accounts.org_cash(row.organisation_id), row.frozen_minor),
    ]
    await _post(session, row, "won", legs, reinstated(row.remote_ref))
    _step(row, ChargebackState.WON)


async def _lost(session: AsyncSession, row: Chargeback) -> None:
    legs = [
        debit(accounts.frozen(row.id), row.frozen_minor),
        debit(accounts.receivable(row.organisation_id), row.uncovered_minor),
        credit(accounts.dispute_held(row.provider), row.amount_minor),
    ]
    await _post(session, row, "lost", legs, row.remote_ref)
    _step(row, ChargebackState.LOST)


def _step(row: Chargeback, target: ChargebackState) -> None:
    check_step(CHARGEBACK_STEPS, row.state, target)
    row.state, row.changed_at = target, now()


async def _post(session: AsyncSession, row: Chargeback, step: str, legs: list[Leg], ref: str) -> None:
    facts = {
        "chargeback_id": str(row.id), "top_up_id": str(row.charge_id), "object": "dispute", "ref": ref,
        "remote_id": row.remote_ref,
    }  # fmt: skip
    await ledger.post(session, posting_key(row.remote_ref, step), f"chargeback.{step}", legs, row.currency, facts=facts)


async def page_of(
    session: AsyncSession,
    query: PageQuery,
    *,
    organisation_id: UUID | None = None,
    state: ChargebackState | None = None,
) -> tuple[list[Chargeback], str | None]:
    """Return a page of the chargebacks of an organisation, or of all, newest first, and the cursor of the next page."""
    chosen = select(Chargeback)
    if organisation_id is not None:
        chosen = chosen.where(Chargeback.organisation_id == organisation_id)
    if state is not None:
        chosen = chosen.where(Chargeback.state == state)
    return await read_page(session, chosen, Chargeback.id, query)
