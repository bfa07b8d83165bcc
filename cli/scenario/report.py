"""What became of a request, read from the database after the fact and never from what the scenario meant to do."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlmodel.ext.asyncio.session import AsyncSession

from cli.scenario.client import LONGEST_PAUSE_SECONDS, PATIENCE_SECONDS
from marketplace.core.db import Database
from marketplace.core.settings import Settings
from marketplace.payments.providers import open_gateways
from marketplace.settlement.verify import verify_everything

T = TypeVar("T")

_COUNTS: Final = text(
    """
    SELECT (SELECT state FROM dataset_request WHERE id = :request) AS request_state,
           (SELECT count(*) FROM task WHERE request_id = :request) AS tasks,
           (SELECT count(*) FROM consensus k JOIN task t ON t.request_id = k.request_id AND t.id = k.task_id
            WHERE k.request_id = :request) AS consensus_tasks,
           (SELECT count(*) FROM answer a JOIN claim c ON c.request_id = a.request_id AND c.id = a.claim_id
            WHERE a.request_id = :request AND NOT a.is_gold AND a.revision = c.revision) AS answers,
           (SELECT count(*) FROM answer a JOIN claim c ON c.request_id = a.request_id AND c.id = a.claim_id
            WHERE a.request_id = :request AND NOT a.is_gold AND a.revision = c.revision
              AND c.state = 'accepted') AS accepted_answers,
           (SELECT count(*) FROM late_submission WHERE request_id = :request) AS late_submissions,
           (SELECT count(*) FROM claim WHERE request_id = :request AND state = 'accepted') AS accepted_bundles,
           (SELECT count(*) FROM claim WHERE request_id = :request AND state = 'rejected') AS rejected_bundles,
           (SELECT count(*) FROM appeal WHERE request_id = :request AND state = 'upheld') AS appeals_upheld,
           (SELECT count(*) FROM appeal WHERE request_id = :request AND state = 'overturned') AS appeals_overturned,
           (SELECT count(*) FROM dead_letter
            WHERE resolved_at IS NULL AND payload->>'request_id' = :name) AS dead_letters
    """
)
_BUNDLES: Final = text(
    """
    WITH paid AS (
        SELECT facts->>'claim_id' AS claim_id, count(*) AS times FROM txn
        WHERE kind = 'release' AND facts->>'request_id' = :name GROUP BY 1
    ), owed AS (
        SELECT a.claim_id::text AS claim_id, sum(a.amount_minor) AS amount FROM accrual a
        WHERE a.request_id = :request AND a.state = 'released' GROUP BY 1
    )
    SELECT count(*) FILTER (WHERE c.state = 'accepted' AND (paid.times = 1 OR owed.amount = 0)) AS paid_bundles,
           count(*) FILTER (WHERE paid.times > 1) AS double_paid,
           count(*) FILTER (WHERE c.state <> 'accepted' AND paid.times > 0) AS paid_unaccepted
    FROM claim c LEFT JOIN paid ON paid.claim_id = c.id::text LEFT JOIN owed ON owed.claim_id = c.id::text
    WHERE c.request_id = :request
    """
)
_MONEY: Final = text(
    """
    SELECT coalesce(sum(p.amount_minor) FILTER (WHERE t.kind = 'fund' AND a.path LIKE 'reserved:%'), 0)::bigint
               AS funded,
           coalesce(sum(p.amount_minor) FILTER (WHERE t.kind = 'close' AND a.path LIKE 'org_cash:%'), 0)::bigint
               AS given_back,
           coalesce(sum(CASE WHEN t.kind = 'release' AND a.path LIKE 'worker:%' THEN p.amount_minor
                             WHEN t.kind = 'minimum_pay' AND a.path LIKE 'reserved:%' THEN -p.amount_minor END),
                    0)::bigint AS to_workers,
           coalesce(sum(p.amount_minor) FILTER (WHERE t.kind = 'release' AND a.path LIKE 'vendor:%'), 0)::bigint
               AS to_vendors,
           coalesce(sum(p.amount_minor) FILTER (WHERE t.kind = 'release' AND a.path LIKE 'platform_fee%'), 0)::bigint
               AS fees
    FROM txn t JOIN posting p ON p.txn_id = t.id JOIN account a ON a.id = p.account_id
    WHERE t.facts->>'request_id' = :name AND t.kind IN ('fund', 'close', 'release', 'minimum_pay')
    """
)
_REFUNDS: Final = text(
    """
    SELECT coalesce((SELECT balance_minor FROM account WHERE path = 'reserved:' || :name), 0)::bigint AS kept,
           coalesce(sum(amount_minor) FILTER (WHERE state = 'done'), 0)::bigint AS done,
           count(*) FILTER (WHERE state = 'done') AS arrived,
           count(*) FILTER (WHERE state <> 'done') AS on_the_way
    FROM refund WHERE cause LIKE 'close:' || :name || '%'
    """
)
# Payouts of whoever is paid for the request. One that was paid and came back has a `payout.returned` in the ledger, or
# was returned before we had read that it was paid, which only the sandbox's code of the failure tells;
# it is made good when the same payee has as much in later payouts that stand.
_PAYOUTS: Final = text(
    """
    WITH paid_for AS (
        SELECT worker_id AS owner_id FROM accrual WHERE request_id = :request
        UNION SELECT vendor_organisation_id FROM accrual WHERE request_id = :request
    ), one AS (
        SELECT o.id, o.payee_id, o.currency, o.amount_minor, o.state,
               o.failure_code IS NOT DISTINCT FROM 'bank_returned'
                   OR EXISTS (SELECT 1 FROM txn t WHERE t.key = 'payout:' || o.id || ':returned:1') AS returned
        FROM payout o JOIN payee e ON e.id = o.payee_id JOIN paid_for f ON f.owner_id = e.owner_id
    )
    SELECT count(*) FILTER (WHERE state = 'paid') AS payouts_paid,
           count(*) FILTER (WHERE returned) AS payouts_returned,
           count(*) FILTER (WHERE returned AND amount_minor <= (
               SELECT coalesce(sum(l.amount_minor), 0) FROM one l
               WHERE l.payee_id = one.payee_id AND l.currency = one.currency AND l.id > one.id AND l.state = 'paid'
           )) AS returned_and_repaid
    FROM one
    """
)
_WORKERS: Final = text(
    """
    SELECT p.id, p.display_name AS name,
           (SELECT count(*) FROM verdict v WHERE v.request_id = :request AND v.worker_id = w.worker_id) AS submitted,
           (SELECT count(*) FROM verdict v WHERE v.request_id = :request AND v.worker_id = w.worker_id
              AND v.outcome = 'rework') AS reworked,
           (SELECT count(*) FROM claim c WHERE c.request_id = :request AND c.worker_id = w.worker_id
              AND c.state = 'accepted') AS accepted,
           (SELECT count(*) FROM claim c WHERE c.request_id = :request AND c.worker_id = w.worker_id
              AND c.state = 'rejected') AS rejected,
           (SELECT coalesce(sum(a.worker_minor), 0)::bigint FROM accrual a WHERE a.request_id = :request
              AND a.worker_id = w.worker_id AND a.state = 'released') AS earned_minor,
           (SELECT count(*) FROM accrual a WHERE a.request_id = :request AND a.worker_id = w.worker_id
              AND a.state = 'released') AS paid_bundles,
           (SELECT coalesce(sum(o.amount_minor), 0)::bigint FROM payout o JOIN payee e ON e.id = o.payee_id
            WHERE e.kind = 'worker' AND e.owner_id = w.worker_id AND o.state = 'paid') AS paid_out_minor
    FROM request_worker w JOIN person p ON p.id = w.worker_id WHERE w.request_id = :request
    ORDER BY earned_minor DESC, p.display_name
    """
)
_SUM_ZERO: Final = "sum_zero"
_REPEATABLE: Final = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


@dataclass(frozen=True)
class Outcome:
    """The figures of a request that has run its course. Amounts are minor units."""

    counts: dict[str, Any]
    money: dict[str, int]
    workers: list[dict[str, Any]]
    ledger_sum_zero: bool
    ledger_breaks: list[str] = field(default_factory=list)
    ledger_checks: int = 0
    payouts: dict[str, int] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """Return what is broken, in words."""
        found = []
        if self.counts["request_state"] != "closed":
            found.append(f"the request is {self.counts['request_state']}, not closed")
        if self.counts["consensus_tasks"] != self.counts["tasks"]:
            found.append(f"{self.counts['tasks'] - self.counts['consensus_tasks']} tasks have no consensus")
        if self.counts["paid_bundles"] != self.counts["accepted_bundles"]:
            found.append(f"{self.counts['accepted_bundles'] - self.counts['paid_bundles']} accepted bundles are unpaid")
        for name, words in _FAULTS.items():
            if self.counts[name]:
                found.append(f"{self.counts[name]} {words}")
        spent = sum(self.money[part] for part in ("workers_minor", "vendors_minor", "platform_fee_minor"))
        missing = self.money["funded_minor"] - spent - self.money["refund_minor"] - self.money["kept_for_appeals_minor"]
        if missing:
            found.append(f"{missing} minor units are neither spent nor given back")
        if self.money["refunds_on_the_way"]:
            found.append("a refund has not arrived")
        if lost := self.payouts.get("payouts_returned", 0) - self.payouts.get("returned_and_repaid", 0):
            found.append(f"{lost} returned payouts were not paid again")
        if not self.ledger_sum_zero or self.ledger_breaks:
            found.append("the ledger does not add up: " + "; ".join(self.ledger_breaks))
        return found


_FAULTS: Final = {
    "double_paid": "bundles were paid twice",
    "paid_unaccepted": "bundles were paid though not accepted",
    "dead_letters": "jobs of the request failed for good",
}


async def patiently(read: Callable[[], Awaitable[T]]) -> T:
    """Return what `read` reads, however often it has to be tried while the database is away."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await read()
        except (DBAPIError, OSError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(LONGEST_PAUSE_SECONDS)


async def outcome_of(database: Database, settings: Settings, request_id: str) -> Outcome:
    """Read what became of a request, all of one moment; waits while the database is away."""
    return await patiently(lambda: _outcome_of(database, settings, request_id))


async def _outcome_of(database: Database, settings: Settings, request_id: str) -> Outcome:
    names = {"request": UUID(request_id), "name": request_id}
    async with database.sessions() as session:
        await session.execute(_REPEATABLE)
        counts = {**await _row(session, _COUNTS, names), **await _row(session, _BUNDLES, names)}
        money, refunds = await _row(session, _MONEY, names), await _row(session, _REFUNDS, names)
        payouts = await _row(session, _PAYOUTS, names) | {"refunds": refunds["arrived"]}
        workers = [dict(row) for row in (await session.execute(_WORKERS, {"request": names["request"]})).mappings()]
        ledger = await verify_everything(session, *open_gateways(settings, database))
    sums = {
        "funded_minor": -money["funded"],
        "refund_minor": -money["given_back"],
        "kept_for_appeals_minor": refunds["kept"],
        "refunded_to_source_minor": refunds["done"],
        "refunds_on_the_way": refunds["on_the_way"],
        "workers_minor": -money["to_workers"],
        "vendors_minor": -money["to_vendors"],
        "platform_fee_minor": -money["fees"],
    }
    sum_zero = all(check.holds for check in ledger.checks if check.name == _SUM_ZERO)
    breaks = [line for check in ledger.checks for line in check.breaks]
    return Outcome(counts, sums, workers, sum_zero, breaks, len(ledger.checks), payouts)


async def _row(session: AsyncSession, statement: TextClause, names: dict[str, Any]) -> dict[str, Any]:
    wanted = {name: names[name] for name in statement.compile().params}
    return dict((await session.execute(statement, wanted)).mappings().one())


async def labels_of(database: Database, request_id: str) -> dict[str, Any]:
    """Return the consensus of each item of a request, by the item's external id."""
    statement = text(
        """
        SELECT i.external_id, k.value FROM consensus k JOIN item i ON i.request_id = k.request_id AND i.id = k.task_id
        WHERE k.request_id = :request
        """
    )

    async def read() -> dict[str, Any]:
        async with database.sessions() as session:
            found = await session.execute(statement, {"request": UUID(request_id)})
            return {row.external_id: row.value for row in found}

    return await patiently(read)
