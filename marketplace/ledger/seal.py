"""Sealing: hash-chained blocks over transactions (money.md §5 `audit.seal`), and re-computing them.

A block takes the transactions whose database transaction is below the snapshot's xmin: everything below had ended, so
no gap can fill later. The next block begins where the last one's bound was, by index; no run reads what is sealed.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.ledger.merkle import canonical, leaf_hash, root_of, sha256_hex
from marketplace.ledger.models import LedgerBlock, LedgerBlockTxn

BLOCK_MAX: Final = 10_000
GENESIS: Final = "0" * 64
_LOCK: Final = text("SELECT pg_advisory_xact_lock(hashtext('ledger.seal'))")
_XMIN: Final = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
# Where a full block ends: after the last database transaction that begins inside it, never in the middle of one.
_FULL: Final = text(
    """
    SELECT xid8::text::bigint FROM txn
    WHERE xid8 >= CAST(CAST(:low AS text) AS xid8) AND xid8 < CAST(CAST(:high AS text) AS xid8)
      AND NOT EXISTS (SELECT 1 FROM ledger_block_txn b WHERE b.txn_id = txn.id)
    ORDER BY xid8 OFFSET :skip LIMIT 1
    """
)
_COLUMNS: Final = """
    SELECT t.id, t.key, t.kind, t.payload_hash, t.effective_at, t.reverses, t.facts,
           (SELECT coalesce(jsonb_agg(jsonb_build_array(a.path, p.currency, p.amount_minor)
                                      ORDER BY a.path, p.currency, p.amount_minor), '[]')
            FROM posting p JOIN account a ON a.id = p.account_id WHERE p.txn_id = t.id) AS legs
"""
_OPEN: Final = text(
    _COLUMNS  # noqa: S608  # constants only
    + """
    FROM txn t WHERE t.xid8 >= CAST(CAST(:low AS text) AS xid8) AND t.xid8 < CAST(CAST(:high AS text) AS xid8)
      AND NOT EXISTS (SELECT 1 FROM ledger_block_txn b WHERE b.txn_id = t.id)
    ORDER BY t.xid8, t.id
    """
)
_OF_BLOCK: Final = text(
    _COLUMNS.replace("t.id,", "b.txn_id AS id, t.id AS found,", 1)
    + """, b.leaf_hash FROM ledger_block_txn b LEFT JOIN txn t ON t.id = b.txn_id
    WHERE b.block_number = :number ORDER BY b.position
    """
)
_BY_ID: Final = text(_COLUMNS + "FROM txn t WHERE t.id = ANY(CAST(:ids AS uuid[])) ORDER BY t.id")
_UNSEALED: Final = text(
    """
    SELECT count(*), min(t.key) FILTER (WHERE t.xid8 < CAST(CAST(:bound AS text) AS xid8)) FROM txn t
    WHERE NOT EXISTS (SELECT 1 FROM ledger_block_txn b WHERE b.txn_id = t.id)
    """
)
_ADD_MEMBERS: Final = text(
    """
    INSERT INTO ledger_block_txn (txn_id, block_number, position, leaf_hash)
    SELECT txn_id, :number, place - 1, leaf
    FROM unnest(CAST(:ids AS uuid[]), CAST(:leaves AS text[])) WITH ORDINALITY AS new (txn_id, leaf, place)
    """
)


@dataclass(slots=True)
class Seals:
    """What re-computing the blocks found."""

    blocks: int = 0
    sealed: int = 0
    unsealed: int = 0
    breaks: list[str] = field(default_factory=list)


def instant(moment: datetime) -> str:
    """Return the one way in which a moment is written into a hash."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def content_of(row: Row[Any]) -> dict[str, Any]:
    """Return what the seal covers of a transaction; its facts by their hash, so that they need not be shown."""
    return {
        "id": str(row.id),
        "key": row.key,
        "kind": row.kind,
        "payload_hash": row.payload_hash,
        "effective_at": instant(row.effective_at),
        "reverses": str(row.reverses) if row.reverses else None,
        "facts_hash": sha256_hex(canonical(row.facts)),
        "legs": [list(leg) for leg in row.legs],
    }


def header_of(block: LedgerBlock) -> dict[str, Any]:
    """Return what the hash of a block covers."""
    return {
        "number": block.number,
        "previous_hash": block.previous_hash,
        "merkle_root": block.merkle_root,
        "first_txn": str(block.first_txn),
        "last_txn": str(block.last_txn),
        "txn_count": block.txn_count,
        "sealed_at": instant(block.sealed_at),
    }


async def seal(session: AsyncSession, block_max: int = BLOCK_MAX) -> list[LedgerBlock]:
    """Seal all transactions that no block holds and that have certainly ended; return the new blocks."""
    await session.execute(_LOCK)
    ended = int((await session.execute(_XMIN)).scalar_one())
    made: list[LedgerBlock] = []
    while (block := await _seal_next(session, ended, block_max)) is not None:
        made.append(block)
    return made


async def _seal_next(session: AsyncSession, ended: int, block_max: int) -> LedgerBlock | None:
    found = await session.exec(select(LedgerBlock).order_by(col(LedgerBlock.number).desc()).limit(1))
    last = found.first()
    # A bound above what this server has reached is of another server: a restored copy counts from the start again.
    low = 0 if last is None or int(last.below_xid8) > ended else int(last.below_xid8)
    full = await session.execute(_FULL, {"low": str(low), "high": str(ended), "skip": block_max - 1})
    cut = full.scalar()
    high = ended if cut is None else min(ended, int(cut) + 1)
    rows = (await session.execute(_OPEN, {"low": str(low), "high": str(high)})).all()
    if not rows:
        return None
    leaves = [leaf_hash(canonical(content_of(row))) for row in rows]
    block = _block(last, rows, leaves, high)
    session.add(block)
    await session.flush()
    members = {"number": block.number, "ids": [row.id for row in rows], "leaves": [leaf.hex() for leaf in leaves]}
    await session.execute(_ADD_MEMBERS, members)
    return block


def _block(last: LedgerBlock | None, rows: Sequence[Row[Any]], leaves: list[bytes], bound: int) -> LedgerBlock:
    block = LedgerBlock(
        number=last.number + 1 if last else 1, previous_hash=last.block_hash if last else GENESIS, block_hash="",
        merkle_root=root_of(leaves).hex(), first_txn=rows[0].id, last_txn=rows[-1].id, txn_count=len(rows),
        below_xid8=bound, sealed_at=now(),
    )  # fmt: skip
    block.block_hash = sha256_hex(canonical(header_of(block)))
    return block


async def contents(session: AsyncSession, txn_ids: list[UUID]) -> list[dict[str, Any]]:
    """Return what the seal covers of these transactions, by id."""
    return [content_of(row) for row in await session.execute(_BY_ID, {"ids": txn_ids})]


async def seals_of(session: AsyncSession, txn_ids: list[UUID]) -> dict[UUID, LedgerBlockTxn]:
    """Return where these transactions are sealed; those that are not yet are left out."""
    found = await session.exec(select(LedgerBlockTxn).where(col(LedgerBlockTxn.txn_id).in_(txn_ids)))
    return {row.txn_id: row for row in found}


async def leaves_of(session: AsyncSession, number: int) -> list[bytes]:
    """Return the leaf hashes of a block in their order."""
    found = await session.exec(
        select(LedgerBlockTxn.leaf_hash)
        .where(LedgerBlockTxn.block_number == number)
        .order_by(col(LedgerBlockTxn.position))
    )
    return [bytes.fromhex(leaf) for leaf in found]


async def headers_of(session: AsyncSession, numbers: list[int]) -> list[dict[str, Any]]:
    """Return the headers of these blocks with the hashes of them, by number."""
    found = await session.exec(
        select(LedgerBlock).where(col(LedgerBlock.number).in_(numbers)).order_by(col(LedgerBlock.number))
    )
    return [{"header": header_of(block), "hash": block.block_hash} for block in found]


async def check_seals(session: AsyncSession, limit: int) -> Seals:
    """Re-compute every block and the chain; name up to `limit` blocks and transactions that are not as sealed."""
    seals = Seals()
    previous, number, bound = GENESIS, 0, 0
    async for block in _blocks(session):
        if block.number != number + 1 or block.previous_hash != previous:
            seals.breaks.append(f"block {block.number}: does not follow block {number}")
        seals.breaks += await _breaks_of(session, block)
        previous, number, bound = block.block_hash, block.number, int(block.below_xid8)
        seals.blocks += 1
        seals.sealed += block.txn_count
    unsealed, left_out = (await session.execute(_UNSEALED, {"bound": str(bound)})).one()
    seals.unsealed = int(unsealed)
    if left_out is not None:
        seals.breaks.append(f"{left_out}: older than the last block and in none")
    seals.breaks = seals.breaks[:limit]
    return seals


async def _blocks(session: AsyncSession) -> AsyncIterator[LedgerBlock]:
    number = 0
    while True:
        found = await session.exec(
            select(LedgerBlock).where(LedgerBlock.number > number).order_by(col(LedgerBlock.number)).limit(100)
        )
        blocks = found.all()
        if not blocks:
            return
        for block in blocks:
            yield block
        number = blocks[-1].number


async def _breaks_of(session: AsyncSession, block: LedgerBlock) -> list[str]:
    breaks: list[str] = []
    rows = (await session.execute(_OF_BLOCK, {"number": block.number})).all()
    for row in rows:
        if row.found is None:
            breaks.append(f"block {block.number}: transaction {row.id} is gone")
        elif leaf_hash(canonical(content_of(row))).hex() != row.leaf_hash:
            breaks.append(f"block {block.number}: {row.key} is not as it was sealed")
    if len(rows) != block.txn_count:
        breaks.append(f"block {block.number}: holds {len(rows)} transactions, {block.txn_count} were sealed")
    if root_of([bytes.fromhex(row.leaf_hash) for row in rows]).hex() != block.merkle_root:
        breaks.append(f"block {block.number}: its transactions are not those that were sealed")
    if sha256_hex(canonical(header_of(block))) != block.block_hash:
        breaks.append(f"block {block.number}: its hash is not that of its content")
    return breaks
