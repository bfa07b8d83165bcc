"""Re-adding everything at once: the ledger's own invariants, the provider's books, and the promises of the market."""

from datetime import timedelta
from typing import Final

from sqlalchemy import text
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.ledger import queries as ledger
from marketplace.ledger.verify import MAX_BREAKS_NAMED, Check, VerifyReport
from marketplace.ledger.verify import verify as verify_ledger
from marketplace.payments.gateway import Gateway
from marketplace.payments.reconcile import reconcile
from marketplace.settlement.invoice_check import check_invoices
from marketplace.settlement.manual.queries import four_eyes
from marketplace.settlement.models import Accrual, ContractAccrual
from marketplace.settlement.states import AccrualState

PAID_WITHIN: Final = timedelta(hours=1)
_INTO: Final = frozenset({"fund"})
# of bonuses from a reserve alone a reversal comes back to one
_OUT_OF: Final = frozenset({"release", "close", "bonus", "minimum_pay", "reverse", "chargeback.open"})
_INSIDE: Final = frozenset({"accrue", "unaccrue"})

_UNPAID = text(
    """
    SELECT c.request_id, c.id FROM claim c
    JOIN verdict v ON v.request_id = c.request_id AND v.claim_id = c.id AND v.revision = c.revision
    WHERE c.state = 'accepted' AND v.outcome = 'accepted' AND v.created_at < now() - CAST(:age AS interval)
      AND NOT EXISTS (
          SELECT 1 FROM accrual a WHERE a.request_id = c.request_id AND a.claim_id = c.id AND a.revision = c.revision
            AND a.state <> 'taken_back')
    ORDER BY c.id LIMIT :limit
    """
)
_UNEARNED = text(
    """
    SELECT a.claim_id, a.revision FROM accrual a
    LEFT JOIN verdict v ON v.request_id = a.request_id AND v.claim_id = a.claim_id AND v.revision = a.revision
    WHERE a.state <> 'taken_back' AND v.outcome IS DISTINCT FROM 'accepted' ORDER BY a.claim_id LIMIT :limit
    """
)


async def verify_everything(session: AsyncSession, *gateways: Gateway) -> VerifyReport:
    """Run every check there is. Give a session in a REPEATABLE READ transaction, so that all is of one moment."""
    report = await verify_ledger(session)
    return VerifyReport(
        [
            *report.checks,
            await _requests_add_up(session),
            await _accruals_match(session),
            await _totals_match(session),
            await _paid_if_accepted(session),
            await four_eyes(session),
            await check_invoices(session),
            *await reconcile(session, *gateways),
        ]
    )


async def _requests_add_up(session: AsyncSession) -> Check:
    """Per request, what was funded is reserved, accrued, released or given back."""
    books: dict[tuple[str, str], dict[str, int]] = {}
    breaks: list[str] = []
    for flow in await ledger.flows(session, ["reserved", "accrued"]):
        if flow.kind not in _INTO | _OUT_OF | _INSIDE:
            breaks.append(f"request {flow.owner}: {flow.minor} {flow.currency} moved by {flow.kind}")
        book = books.setdefault((flow.owner, flow.currency), {})
        book[flow.kind] = book.get(flow.kind, 0) + flow.minor
    held: dict[tuple[str, str], int] = {}
    for kind in ("reserved", "accrued"):
        for row in await ledger.balances_of_type(session, kind):
            key = (row.path.split(":")[1], row.currency)
            held[key] = held.get(key, 0) + row.minor
    for (owner, currency), book in books.items():
        funded = sum(book.get(kind, 0) for kind in _INTO)
        gone = -sum(book.get(kind, 0) for kind in _OUT_OF)
        still = held.get((owner, currency), 0)
        if funded != gone + still or sum(book.get(kind, 0) for kind in _INSIDE) != 0:
            breaks.append(f"request {owner}: funded {funded}, held {still}, released and given back {gone} {currency}")
    figures = {"requests": len(books), "held": sum(held.values())}
    rule = "funded = reserved + accrued + released + given back, per request"
    return Check("requests", rule, figures, breaks[:MAX_BREAKS_NAMED])


async def _accruals_match(session: AsyncSession) -> Check:
    """Per contract, the accruals inside their window are what stands on the contract's account."""
    found = await session.exec(
        select(Accrual.request_id, Accrual.contract_id, Accrual.currency, func.sum(col(Accrual.amount_minor)))
        .where(Accrual.state == AccrualState.ACCRUED)
        .group_by(col(Accrual.request_id), col(Accrual.contract_id), col(Accrual.currency))
    )
    rows = {f"accrued:{request}:{contract} {currency}": int(total) for request, contract, currency, total in found}
    books = {f"{row.path} {row.currency}": row.minor for row in await ledger.balances_of_type(session, "accrued")}
    breaks = [
        f"{name}: accruals say {rows.get(name, 0)}, the ledger {books.get(name, 0)}"
        for name in sorted({*rows, *books})
        if rows.get(name, 0) != books.get(name, 0)
    ]
    rule = "accruals in their window are what the ledger holds"
    return Check("accruals", rule, {"contracts": len(books)}, breaks[:MAX_BREAKS_NAMED])


async def _totals_match(session: AsyncSession) -> Check:
    """Per contract, the running totals that rounding is done on are the sum of the accruals."""
    units, amount = func.sum(col(Accrual.units)), func.sum(col(Accrual.amount_minor))
    found = await session.exec(
        select(Accrual.contract_id, units, amount)
        .where(Accrual.state != AccrualState.TAKEN_BACK)
        .group_by(col(Accrual.contract_id))
    )
    sums = {contract: (int(counted), int(total)) for contract, counted, total in found}
    breaks = [
        f"contract {row.contract_id}: totals say {row.units} units and {row.accrued_minor}, "
        f"accruals {sums.get(row.contract_id, (0, 0))}"
        for row in await session.exec(select(ContractAccrual))
        if (row.units, row.accrued_minor) != sums.get(row.contract_id, (0, 0))
    ]
    units_paid = sum(counted for counted, _ in sums.values())
    return Check("contract_totals", "running totals are the sum of the accruals", {"units": units_paid}, breaks)


async def _paid_if_accepted(session: AsyncSession) -> Check:
    """Whoever passed is paid, and nobody else is."""
    unpaid = await session.execute(_UNPAID, {"age": PAID_WITHIN, "limit": MAX_BREAKS_NAMED})
    breaks = [f"claim {claim} of request {request} is accepted and not accrued" for request, claim in unpaid]
    unearned = await session.execute(_UNEARNED, {"limit": MAX_BREAKS_NAMED})
    breaks += [
        f"claim {claim} revision {revision} is paid without an accepting verdict" for claim, revision in unearned
    ]
    paid = (await session.exec(select(func.count()).select_from(Accrual))).one()
    return Check("paid_if_accepted", "accepted work is paid, and only that", {"accruals": paid}, breaks)
