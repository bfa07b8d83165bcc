"""Our money on the rail: what was moved there, what payments take, and whether the bank's statement agrees.

`psp:bank_file` is the operator's account at the bank that the files go to. A transfer earmarks money there when a
payout is asked, so our books run ahead of the bank; on any day the bank must hold what was moved there by that day
less what it paid and did not return by then.
"""

from dataclasses import dataclass
from datetime import date
from typing import Final

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import distinct_on
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import Actor
from marketplace.core.ids import new_id
from marketplace.core.money import check_currency
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.payments.bank_file.models import BankFileBatch, BankFileImport, BankFileLine, BankFileObject
from marketplace.payments.bank_file.schemas import MoveRailMoney, RailBalanceView
from marketplace.payments.bank_file.states import BatchState, LineState, MovementKind
from marketplace.payments.states import Leg

NAME: Final = "bank_file"


@dataclass(frozen=True, slots=True)
class Statement:
    """The bank's newest closing balance in a currency, and by how much it is more than our books of that day."""

    stated_minor: int
    stated_on: date
    difference_minor: int


async def move(session: AsyncSession, actor: Actor, command: MoveRailMoney) -> BankFileObject:
    """Book money that the operator moved to the rail or from it, or a fee that the bank took."""
    check_currency(command.currency)
    row_id = new_id()
    grows = command.kind is MovementKind.MOVED_IN
    moved = BankFileObject(
        id=row_id, kind=Leg.CHARGE, ref=row_id.hex, key=f"{row_id.hex}charge1", currency=command.currency,
        amount_minor=command.amount_minor if grows else -command.amount_minor, value_on=command.value_on,
    )  # fmt: skip
    session.add(moved)
    rail = accounts.psp(NAME)
    other = accounts.PSP_FEE if command.kind is MovementKind.FEE else accounts.bank(command.bank)
    legs = [
        debit(rail if grows else other, command.amount_minor),
        credit(other if grows else rail, command.amount_minor),
    ]
    facts = {"object": Leg.CHARGE.value, "ref": moved.ref, "reason": command.reason}
    kind = f"rail.{command.kind.value}"
    await ledger.post(session, f"rail:{row_id}", kind, legs, command.currency, facts=facts)
    record(
        session, actor, kind, f"bank_file_object:{row_id}",
        amount_minor=moved.amount_minor, currency=moved.currency, reason=command.reason,
    )  # fmt: skip
    return moved


async def lock_rail(session: AsyncSession, name: str) -> None:
    """Make acts of this name follow each other until the transaction ends."""
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"{NAME}:{name}"})


async def booked(session: AsyncSession) -> dict[str, int]:
    """Return our balance by the rail's own book, per currency: movements less transfers, plus those taken back."""
    found = await session.exec(
        select(BankFileObject.currency, func.sum(col(BankFileObject.amount_minor)))
        .where(BankFileObject.kind != Leg.PAYEE)
        .group_by(col(BankFileObject.currency))
    )
    return {currency: int(total) for currency, total in found}


async def free_minor(session: AsyncSession, currency: str) -> int:
    """Return what a further file may take: what the bank must hold, less what released files will still take."""
    released = func.coalesce(func.sum(col(BankFileLine.amount_minor)), 0)
    found = await session.exec(
        select(released)
        .join(BankFileBatch, col(BankFileBatch.id) == col(BankFileLine.batch_id))
        .where(
            BankFileLine.currency == currency,
            col(BankFileLine.state).in_((LineState.QUEUED, LineState.EXPORTED)),
            col(BankFileBatch.state).in_((BatchState.APPROVED, BatchState.EXPORTED)),
        )
    )
    return await _held(session, currency, date.max) - int(found.one())


async def statements(session: AsyncSession) -> dict[str, Statement]:
    """Return the newest statement per currency; one without is missing, there is nothing to compare with."""
    found = await session.exec(
        select(BankFileImport)
        .where(col(BankFileImport.stated_minor).is_not(None))
        .ext(distinct_on(col(BankFileImport.currency)))
        .order_by(
            col(BankFileImport.currency), col(BankFileImport.stated_on).desc(), col(BankFileImport.id).desc()
        )
    )  # fmt: skip
    told: dict[str, Statement] = {}
    for row in found.all():
        if row.stated_minor is not None and row.stated_on is not None:
            held = await _held(session, row.currency, row.stated_on)
            told[row.currency] = Statement(row.stated_minor, row.stated_on, row.stated_minor - held)
    return told


async def balances(session: AsyncSession) -> list[RailBalanceView]:
    """Return our money on the rail per currency, and what the bank says of it."""
    told, views = await statements(session), []
    for currency, total in sorted((await booked(session)).items()):
        said = told.get(currency)
        views.append(
            RailBalanceView(
                currency=currency,
                booked_minor=total,
                free_minor=await free_minor(session, currency),
                stated_minor=said.stated_minor if said else None,
                stated_on=said.stated_on if said else None,
                difference_minor=said.difference_minor if said else None,
            )
        )
    return views


async def _held(session: AsyncSession, currency: str, on: date) -> int:
    """Return what the bank must hold for us at the end of a day."""
    moved = select(func.coalesce(func.sum(col(BankFileObject.amount_minor)), 0)).where(
        BankFileObject.kind == Leg.CHARGE, BankFileObject.currency == currency, col(BankFileObject.value_on) <= on
    )
    amount = col(BankFileLine.amount_minor)
    paid = func.coalesce(func.sum(amount).filter(col(BankFileLine.paid_on) <= on), 0)
    returned = func.coalesce(func.sum(amount).filter(col(BankFileLine.returned_on) <= on), 0)
    gone = select(paid - returned).where(BankFileLine.currency == currency)
    return int((await session.exec(moved)).one()) - int((await session.exec(gone)).one())
