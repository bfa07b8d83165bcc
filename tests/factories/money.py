"""What the tests of money share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.actor import SYSTEM
from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.core.ids import new_id
from marketplace.core.outbox import Outbox
from marketplace.core.settings import Settings
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.payments import payouts, topups
from marketplace.payments.gateway import Gateway
from marketplace.payments.models import Charge, Payout
from marketplace.payments.payouts import Owner
from marketplace.payments.rules import PayoutRules, payout_rules
from marketplace.payments.sandbox.models import SandboxObject
from marketplace.payments.schemas import AskPayout, TopUp
from marketplace.payments.states import Leg, PayeeKind


async def tamper(database: Database, *changes: str) -> None:
    """Change rows as the database's owner, past triggers and constraints, as an intruder or a fault would."""
    async with database.sessions.begin() as session:
        await session.execute(text("SET LOCAL ROLE NONE"))
        await session.execute(text("SET LOCAL session_replication_role = 'replica'"))
        for change in changes:
            await session.execute(text(change))


@asynccontextmanager
async def committed(database: Database) -> AsyncIterator[AsyncSession]:
    """A session whose work is committed at the end of the block."""
    async with database.sessions.begin() as session:
        yield session


async def put_off(database: Database, by: timedelta = timedelta(hours=3)) -> None:
    """Let waiting jobs be due now, as if time had passed."""
    async with committed(database) as session:
        await session.execute(text("UPDATE outbox SET due_at = :at"), {"at": now() - by})


async def ask_top_up(
    database: Database, gateway: Gateway, organisation_id: UUID, amount: int, currency: str = "CNY"
) -> Charge:
    """Begin a top-up."""
    async with committed(database) as session:
        command = TopUp(amount_minor=amount, currency=currency)
        return await topups.top_up(session, SYSTEM, gateway, organisation_id, command)


async def earn(database: Database, worker_id: UUID, amount: int, currency: str = "CNY") -> None:
    """Let a worker have cleared money, taken from an enterprise's balance."""
    async with committed(database) as session:
        cash = accounts.org_cash(new_id())
        await ledger.post(session, f"gift:{new_id()}", "test.cash",
                          [debit(accounts.bank("test"), amount), credit(cash, amount)], currency)  # fmt: skip
        legs = [debit(cash, amount), credit(accounts.worker(worker_id), amount)]
        await ledger.post(session, f"earn:{new_id()}", "release", legs, currency)


async def ask_payout(
    database: Database,
    gateway: Gateway,
    payee_id: UUID,
    name: str = "韦小木",
    kind: PayeeKind = PayeeKind.WORKER,
    rules: PayoutRules | None = None,
    currency: str = "CNY",
) -> Payout:
    """Ask for all of a payee's money, by the given rules or those of the environment."""
    rules = rules or payout_rules(Settings(_env_file=None))
    async with committed(database) as session:
        owner = Owner(kind, payee_id, name)
        return await payouts.ask_payout(session, SYSTEM, gateway, rules, owner, AskPayout(currency=currency))


async def remote_objects(database: Database, kind: Leg, ref: str) -> list[SandboxObject]:
    """Return all objects at the sandbox with this reference: more than one means that something happened twice."""
    async with database.sessions() as session:
        found = await session.exec(select(SandboxObject).where(SandboxObject.kind == kind, SandboxObject.ref == ref))
        return list(found.all())


async def row_of(database: Database, model: Any, row_id: UUID) -> Any:
    """Return a row as it now is."""
    async with database.sessions() as session:
        return await session.get(model, row_id)


async def waiting_jobs(database: Database) -> list[str]:
    """Return the kinds of the jobs in the outbox, oldest first."""
    async with database.sessions() as session:
        return list((await session.exec(select(Outbox.kind).order_by(col(Outbox.id)))).all())
