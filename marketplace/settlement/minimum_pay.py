"""Minimum pay: said before a request is published, and made good when it closes."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.models import DatasetRequest
from marketplace.core.actor import SYSTEM
from marketplace.core.clock import now
from marketplace.core.errors import FieldProblem
from marketplace.core.paging import PageQuery, read_page
from marketplace.ledger import accounts
from marketplace.ledger import queries as ledger_queries
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import Entry, credit, debit
from marketplace.settlement import pay_rules
from marketplace.settlement.errors import PayBelowMinimum
from marketplace.settlement.minimum_pay_models import MinimumPay
from marketplace.settlement.pay_rules import Estimate, MinimumRow, MinimumTable
from marketplace.settlement.states import MinimumPayAction, PaidFrom
from marketplace.vetting.queries import worker_standings

KIND: Final = "minimum_pay"
# The time of a claim is what its client measured, but no longer than the claim was open, nor than the idle cap for as
# many answers as were sent in, gold among them. Claims that were open side by side count the clock once: nobody
# works on two at a time. A vendor that pays its workers itself answers for their minimum.
_WORKED: Final = """
    SELECT worker_id, earned_minor, least(told_seconds, (
               SELECT extract(epoch FROM sum(upper(stretch) - lower(stretch))) FROM unnest(open_during) AS stretch
           )) AS seconds
    FROM (
    SELECT a.worker_id, sum(a.worker_minor)::bigint AS earned_minor,
           sum(least(coalesce(c.active_seconds, 0),
                     extract(epoch FROM coalesce(c.submitted_at, c.created_at) - c.created_at),
                     CAST(:answer_seconds AS float8) * (c.units + c.gold_count) * c.revision)) AS told_seconds,
           range_agg(tstzrange(c.created_at, greatest(c.submitted_at, c.created_at))) AS open_during
    FROM accrual a
    JOIN claim c ON c.request_id = a.request_id AND c.id = a.claim_id AND c.state = 'accepted'
    JOIN contract k ON k.request_id = a.request_id AND k.id = a.contract_id
    WHERE a.request_id = :request AND a.state <> 'taken_back'
      AND (k.vendor_organisation_id IS NULL OR k.pay_workers_directly)
    GROUP BY a.worker_id
    ) AS claims
"""
_BY_WORKER: Final = text(f"{_WORKED} ORDER BY worker_id")
_MEDIAN: Final = text(
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY earned_minor / seconds)"  # noqa: S608  # no input in it
    f" FROM ({_WORKED}) AS worked WHERE seconds > 0"
)


@dataclass(frozen=True, slots=True)
class Worked:
    """What a worker earned on a request in minor units, and the seconds it took."""

    worker_id: UUID
    earned_minor: int
    seconds: float


@dataclass(slots=True)
class _Purse:
    """What is left of the enterprise's money for top-ups: the request's reserve first, then the prepaid balance."""

    request: DatasetRequest
    reserve_minor: int
    balance_minor: int

    def take(self, amount_minor: int) -> PaidFrom | None:
        """Take an amount as a whole from the first place that holds it."""
        if amount_minor <= self.reserve_minor:
            self.reserve_minor -= amount_minor
            return PaidFrom.RESERVE
        if amount_minor <= self.balance_minor:
            self.balance_minor -= amount_minor
            return PaidFrom.BALANCE
        return None

    def path(self, source: PaidFrom) -> str:
        """Return the account that a place is."""
        reserve, cash = accounts.reserved(self.request.id), accounts.org_cash(self.request.organisation_id)
        return reserve if source is PaidFrom.RESERVE else cash


async def estimates(
    session: AsyncSession, table: MinimumTable | None, request: DatasetRequest, fee_bps: int
) -> list[Estimate]:
    """Return what an hour brings in each place where the data may be seen and the table has a minimum.

    Once people have worked on the request, the median of what an hour brought them counts, not the plan.
    """
    if table is None:
        return []
    rows = table.rows_within(request.residency, now().date())
    if not rows:
        return []
    hourly, basis = await _hourly(session, table, request, fee_bps)
    return [pay_rules.estimate(row, request.currency, hourly, basis) for row in rows]


async def _hourly(session: AsyncSession, table: MinimumTable, request: DatasetRequest, fee_bps: int) -> tuple[int, str]:
    found = await session.execute(_MEDIAN, _question(table, request))
    a_second = found.scalar_one()
    if a_second is not None:
        return int(a_second * 3600), "measured"
    net = pay_rules.net_price(request.unit_price_ceiling, fee_bps)
    return pay_rules.per_hour(net, request.seconds_per_task), "planned"


def _question(table: MinimumTable, request: DatasetRequest) -> dict[str, Any]:
    return {"request": request.id, "answer_seconds": table.idle_factor * request.seconds_per_task}


async def check_publishable(
    session: AsyncSession, table: MinimumTable | None, request: DatasetRequest, fee_bps: int
) -> None:
    """Refuse to publish where the operator blocks pay below the minimum.

    Raises:
        PayBelowMinimum: with the figures, by region.
    """
    found = await estimates(session, table, request, fee_bps)
    blocked = [one for one in found if one.below and one.action is MinimumPayAction.BLOCK]
    if blocked:
        problems = [FieldProblem("unit_price_ceiling", pay_rules.sentence(one)) for one in blocked]
        raise PayBelowMinimum("; ".join(problem.reason for problem in problems) + ".", fields=problems)


async def make_good(
    session: AsyncSession, table: MinimumTable | None, request: DatasetRequest, spendable_minor: int
) -> list[MinimumPay]:
    """Write down who earned too little on a request that closes, and pay the difference where the table says so.

    The difference comes from what can be spent of the reserve, or else from the prepaid balance; when neither holds it
    nothing is paid, and the row says so. A second call does nothing.
    """
    if table is None:
        return []
    rows = await _missed_now(session, table, request)
    cash = await ledger_queries.balance(session, accounts.org_cash(request.organisation_id), request.currency)
    purse = _Purse(request, max(spendable_minor, 0), cash)
    entries = [entry for row in rows if row.action is MinimumPayAction.TOP_UP for entry in _pay(purse, row)]
    session.add_all(rows)
    await session.flush()
    if entries:
        await ledger.post_many(session, entries)
    for row in rows:
        record(
            session, SYSTEM, "minimum_pay.missed", f"request:{request.id}", organisation_id=request.organisation_id,
            worker=str(row.worker_id), missing_minor=row.minimum_minor - row.earned_minor,
            topped_up_minor=row.topped_up_minor,
        )  # fmt: skip
    return rows


async def _missed_now(session: AsyncSession, table: MinimumTable, request: DatasetRequest) -> list[MinimumPay]:
    """Return rows for the workers below the minimum of their place that have none yet; another currency is left out."""
    found = await session.execute(_BY_WORKER, _question(table, request))
    worked = [Worked(row.worker_id, row.earned_minor, float(row.seconds)) for row in found]
    known = set(await session.exec(select(MinimumPay.worker_id).where(MinimumPay.request_id == request.id)))
    places = await worker_standings(session, [one.worker_id for one in worked])
    rows, today = [], now().date()
    for one in worked:
        if one.worker_id in known or one.worker_id not in places:
            continue
        place = places[one.worker_id]
        minimum = table.row_of(place.country, place.region, today)
        if minimum is None or minimum.currency != request.currency:
            continue
        if pay_rules.missing(minimum, one.seconds, one.earned_minor) > 0:
            rows.append(_row(request, one, minimum))
    return rows


def _row(request: DatasetRequest, worked: Worked, minimum: MinimumRow) -> MinimumPay:
    return MinimumPay(
        request_id=request.id, worker_id=worked.worker_id, region=minimum.region, source=minimum.source,
        action=minimum.action, currency=request.currency, seconds=worked.seconds, earned_minor=worked.earned_minor,
        minimum_minor=pay_rules.minimum_of(minimum, worked.seconds),
    )  # fmt: skip


def _pay(purse: _Purse, row: MinimumPay) -> list[Entry]:
    """Return the entry that pays a worker's difference; none when the enterprise's money does not hold it."""
    amount = row.minimum_minor - row.earned_minor
    source = purse.take(amount)
    if source is None:
        return []
    row.topped_up_minor, row.paid_from = amount, source
    legs = [debit(purse.path(source), amount), credit(accounts.worker(row.worker_id), amount)]
    facts = {
        "request_id": str(row.request_id), "worker_id": str(row.worker_id), "earned_minor": row.earned_minor,
        "minimum_minor": row.minimum_minor, "region": row.region,
    }  # fmt: skip
    return [Entry(f"min-pay:{row.request_id}:{row.worker_id}", KIND, legs, row.currency, facts=facts)]


async def missed(
    session: AsyncSession, query: PageQuery, request_id: UUID | None = None
) -> tuple[list[MinimumPay], str | None]:
    """Return one page of who earned less than the minimum on closed requests, or on one of them."""
    statement = select(MinimumPay)
    if request_id is not None:
        statement = statement.where(MinimumPay.request_id == request_id)
    return await read_page(session, statement, MinimumPay.id, query)
