"""Reconciliation as a daily act: its result is kept and shown to the operator, and books are never changed by it."""

from dataclasses import asdict
from uuid import UUID

import structlog
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.paging import PageQuery, read_page
from marketplace.payments import reconcile
from marketplace.payments.errors import ReconciliationUnknown
from marketplace.payments.gateway import Gateway
from marketplace.payments.models import ReconciliationRun

log = structlog.get_logger()


async def run(session: AsyncSession, gateway: Gateway) -> ReconciliationRun:
    """Compare our books with the provider's, keep the result, and raise an alarm in the log for every break.

    No transaction is open while the provider answers; our books are read first, as `reconcile` says.
    """
    posted = await reconcile.posted_at(session, gateway.name)
    await session.rollback()
    entries, balances = await reconcile.at_rest(gateway)
    checks = [*reconcile.provider_checks(posted, entries, balances), await reconcile.payouts_match(session)]
    broken = [line for check in checks for line in check.breaks]
    results = [asdict(check) | {"holds": check.holds} for check in checks]
    made = ReconciliationRun(provider=gateway.name, holds=not broken, breaks=len(broken), checks=results)
    session.add(made)
    for line in broken:
        log.error("payments.reconciliation_break", provider=gateway.name, run_id=str(made.id), found=line)
    return made


async def runs(session: AsyncSession, query: PageQuery) -> tuple[list[ReconciliationRun], str | None]:
    """Return a page of the reconciliations, newest first, and the cursor of the next page."""
    return await read_page(session, select(ReconciliationRun), ReconciliationRun.id, query)


async def run_of(session: AsyncSession, run_id: UUID) -> ReconciliationRun:
    """Return one reconciliation, or raise `ReconciliationUnknown`."""
    found = await session.get(ReconciliationRun, run_id)
    if found is None:
        raise ReconciliationUnknown
    return found
