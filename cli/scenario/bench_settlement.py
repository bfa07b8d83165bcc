"""The load of `kapok bench settlement`: accepted bundles, settled by the product and by bare SQL alike."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from cli.scenario.bench_request import BUDGET_MINOR, BenchRequest, make_request
from marketplace.core.clock import now
from marketplace.core.db import Database, plain_url
from marketplace.core.ids import new_id
from marketplace.core.settings import Settings
from marketplace.ledger import accounts
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.quality.models import Verdict
from marketplace.quality.queries import Revision
from marketplace.quality.states import Outcome, ReasonCode
from marketplace.settlement import accrual, release
from marketplace.tasks.models import Claim
from marketplace.tasks.states import ClaimState
from workers.session import run_command

UNIT_MINOR: Final = 10  # the unit price of the bench's requests, in minor units
FEE_BPS: Final = 1000
_FILL: Final = """
WITH added AS (
    INSERT INTO txn (id, created_at, key, kind, payload_hash, effective_at, facts)
    SELECT gen_random_uuid(), now(), 'bench-fill:' || gen_random_uuid(), 'bench.fill', '', now(), '{}'
    FROM generate_series(1, $1) RETURNING id
)
INSERT INTO posting (id, created_at, txn_id, account_id, currency, amount_minor)
SELECT gen_random_uuid(), now(), added.id, a.id, a.currency, CASE a.path WHEN 'platform_fee' THEN -1 ELSE 1 END
FROM added CROSS JOIN account a WHERE a.path = ANY($2::text[])
"""
_TXNS: Final = """
INSERT INTO txn (id, created_at, key, kind, payload_hash, effective_at, facts)
SELECT id, now(), 'bare:' || id, $2, $3, now(), '{}' FROM unnest($1::uuid[]) AS new (id)
"""
_POSTINGS: Final = """
INSERT INTO posting (id, created_at, txn_id, account_id, currency, amount_minor)
SELECT gen_random_uuid(), now(), txn_id, account_id, 'CNY', amount
FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS new (txn_id, account_id, amount)
"""
_LOCK: Final = "SELECT id FROM account WHERE id = ANY($1::uuid[]) AND guarded ORDER BY id FOR UPDATE"
_MOVE: Final = """
UPDATE account SET balance_minor = balance_minor + moved.delta, version = version + 1
FROM unnest($1::uuid[], $2::bigint[]) AS moved (id, delta) WHERE account.id = moved.id AND guarded
"""

Legs = list[tuple[UUID, UUID, int]]  # (txn, account, signed amount: debits are positive)


@dataclass(slots=True)
class Spent:
    """What a load settled and how long it took."""

    bundles: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Deal:
    """A funded request, its payees and its accounts' ids."""

    request: BenchRequest
    workers: list[UUID]
    account_ids: dict[str, UUID] = field(default_factory=dict)


async def make_deal(database: Database, workers: int) -> Deal:
    """Make a funded request, whose accounts (those of its payees too) exist."""
    deal = Deal(await make_request(database, 1, 1, []), [new_id() for _ in range(workers)])
    reserved, accrued = _paths(deal)
    legs = [debit(accounts.bank("bench"), BUDGET_MINOR), credit(reserved, BUDGET_MINOR - 1 - workers)]
    legs += [credit(accounts.worker(worker), 1) for worker in deal.workers] + [credit(accrued, 1)]
    back = [debit(accrued, 1), credit(accounts.PLATFORM_FEE, 1)]

    async def command(session: AsyncSession) -> dict[str, UUID]:
        await ledger.post(session, f"bench:{new_id()}", "bench.fund", legs, "CNY")
        await ledger.post(session, f"bench:{new_id()}", "bench.fund", back, "CNY")
        found = await session.execute(text("SELECT path, id FROM account WHERE currency = 'CNY'"))
        return {row.path: row.id for row in found}

    deal.account_ids = await run_command(database, command)
    return deal


async def accept(database: Database, deal: Deal, bundles: int, units: int) -> list[UUID]:
    """Let so many claims of `units` answers be accepted; returns them."""
    claims, verdicts = [], []
    for n in range(bundles):
        claim = Claim(
            request_id=deal.request.id, contract_id=deal.request.contract_id, seat_id=new_id(), bundle_id=new_id(),
            worker_id=deal.workers[n % len(deal.workers)], key=str(new_id()), state=ClaimState.ACCEPTED, units=units,
            gold_start=0, gold_count=0, revision=1, lease_expires_at=now(),
        )  # fmt: skip
        claims.append(claim)
        verdicts.append(Verdict(
            request_id=claim.request_id, claim_id=claim.id, revision=1, contract_id=claim.contract_id,
            worker_id=claim.worker_id, outcome=Outcome.ACCEPTED, reason_code=ReasonCode.PASSED, evidence={"gates": []},
            gate_set_version="1", decided_by="gates", final_at=now(),
        ))  # fmt: skip
    ids = [claim.id for claim in claims]

    async def command(session: AsyncSession) -> None:
        session.add_all([*claims, *verdicts])

    await run_command(database, command)
    return ids


async def settle(database: Database, deal: Deal, claims: list[UUID], at_once: int) -> Spent:
    """Accrue the claims in batches, so many at once, as waiting jobs are; then release all that is due."""

    async def batch(claim_ids: list[UUID]) -> None:
        revisions = [Revision(deal.request.id, claim_id, 1) for claim_id in claim_ids]
        await run_command(database, lambda session: accrual.accrue_many(session, revisions))

    began = time.perf_counter()
    await _spread(_batches(claims), batch, at_once)
    while await run_command(database, lambda session: release.release_due(session, deal.request.id)):
        pass
    return Spent(len(claims), time.perf_counter() - began)


async def settle_bare(pool: "asyncpg.Pool[Any]", deal: Deal, bundles: int, units: int, at_once: int) -> Spent:
    """Post the same legs by SQL alone, in transactions of the same size and as many at once."""
    amount, ids = units * UNIT_MINOR, deal.account_ids
    fee = amount * FEE_BPS // 10_000
    reserved, accrued = (ids[path] for path in _paths(deal))
    payees = [ids[accounts.worker(worker)] for worker in deal.workers]

    async def batch(numbers: list[int]) -> None:
        legs: Legs = []
        for _ in numbers:
            txn = new_id()
            legs += [(txn, reserved, amount), (txn, accrued, -amount)]
        await _post_bare(pool, "accrue", legs)

    began = time.perf_counter()
    batches = _batches(list(range(bundles)))
    await _spread(batches, batch, at_once)
    for numbers in batches:
        legs: Legs = []
        for n in numbers:
            txn = new_id()
            legs += [(txn, accrued, amount), (txn, ids[accounts.PLATFORM_FEE], -fee)]
            legs.append((txn, payees[n % len(payees)], fee - amount))
        await _post_bare(pool, "release", legs)
    return Spent(bundles, time.perf_counter() - began)


def _batches(work: list[Any]) -> list[list[Any]]:
    return [work[start : start + release.BATCH] for start in range(0, len(work), release.BATCH)]


async def _post_bare(pool: "asyncpg.Pool[Any]", kind: str, legs: Legs) -> None:
    deltas: dict[UUID, int] = {}
    for _, account, amount in legs:
        deltas[account] = deltas.get(account, 0) - amount
    txns, of, amounts = zip(*legs, strict=True)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(_LOCK, list(deltas))
        await connection.execute(_TXNS, list(dict.fromkeys(txns)), kind, "0" * 64)
        await connection.execute(_MOVE, list(deltas), list(deltas.values()))
        await connection.execute(_POSTINGS, list(txns), list(of), list(amounts))


async def _spread(work: list[Any], one: Any, at_once: int) -> None:
    waiting = iter(work)

    async def lane() -> None:
        for piece in waiting:
            await one(piece)

    await asyncio.gather(*(lane() for _ in range(at_once)))


async def fill(settings: Settings, postings: int) -> None:
    """Let the ledger hold at least so many postings, in balanced pairs between accounts without a balance row."""
    connection = await asyncpg.connect(plain_url(settings.database_url))
    try:
        missing = postings - await connection.fetchval("SELECT count(*) FROM posting")
        if missing > 0:
            async with connection.transaction():
                await connection.execute("ALTER TABLE posting DISABLE TRIGGER USER")
                pair = [accounts.bank("bench"), accounts.PLATFORM_FEE]
                await connection.execute(_FILL, (missing + 1) // 2, pair, timeout=600)
                await connection.execute("ALTER TABLE posting ENABLE TRIGGER USER")
        await connection.execute("ANALYZE txn, posting, account, accrual, claim, verdict")
    finally:
        await connection.close()


def _paths(deal: Deal) -> tuple[str, str]:
    return accounts.reserved(deal.request.id), accounts.accrued(deal.request.id, deal.request.contract_id)
