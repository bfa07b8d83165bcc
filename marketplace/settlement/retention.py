"""Erasing personal records of closed accounts once the operator's years have passed; never a row of the ledger.

An account is closed when its person is disabled. As long as we owe that person anything, or a payout of theirs is
under way, nothing of theirs is due. What is erased are papers in the object store, their names, bank accounts, and the
names under which payees are known; what stays are the hash of a paper, its dates, who decided on it, and all payments.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import obstore
from obstore.store import ObjectStore
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import SYSTEM
from marketplace.ledger import accounts
from marketplace.ledger import queries as ledger
from marketplace.settlement.retention_rules import RecordClass, RetentionRule, RetentionTable

BATCH: Final = 500
# Per class: the id, the object if there is one, and the person of every record that still holds something personal.
_RECORDS: Final = {
    RecordClass.IDENTITY_PAPERS: "SELECT id, object_key, subject_id AS person_id FROM vetting_paper"
    " WHERE object_key <> ''",
    RecordClass.TAX_FORMS: "SELECT id, object_key, owner_id AS person_id FROM tax_form"
    " WHERE object_key <> '' AND kind = 'worker'",
    RecordClass.PAYEE_NAMES: "SELECT id, NULL AS object_key, owner_id AS person_id FROM payee"
    " WHERE display_name <> '' AND kind = 'worker'",
    RecordClass.PAYOUT_METHODS: "SELECT id, NULL AS object_key, owner_id AS person_id FROM payout_method"
    " WHERE holder_name <> '' AND kind = 'worker'",
}
_ERASURES: Final = {
    RecordClass.IDENTITY_PAPERS: ("UPDATE vetting_paper SET object_key = '', filename = '' WHERE id = ANY(:ids)",),
    RecordClass.TAX_FORMS: ("UPDATE tax_form SET object_key = '', filename = '' WHERE id = ANY(:ids)",),
    RecordClass.PAYOUT_METHODS: (
        """
        UPDATE payout_method
        SET holder_name = '', bank_name = '', bank_code = '', account_sealed = '', account_last4 = ''
        WHERE id = ANY(:ids)
        """,
    ),
    RecordClass.PAYEE_NAMES: (
        "UPDATE payee SET display_name = '', auto_payout = false WHERE id = ANY(:ids)",
        # a call that is still open has to be sent as it was
        """
        UPDATE provider_call SET request = '{}'::jsonb
        WHERE subject = 'payee' AND subject_id = ANY(:ids) AND state NOT IN ('sending', 'unknown')
        """,
    ),
}
_HELD: Final = "SELECT count(*) FROM ({records}) AS r"
_DUE: Final = """
    SELECT r.id, r.object_key, r.person_id FROM ({records}) AS r JOIN person p ON p.id = r.person_id
    WHERE p.disabled_at + make_interval(years => :years) <= :at AND r.id > :after
      AND NOT EXISTS (
          SELECT 1 FROM payee y JOIN payout o ON o.payee_id = y.id
          WHERE y.owner_id = p.id AND o.state NOT IN ('paid', 'cancelled'))
    ORDER BY r.id LIMIT :limit
"""


@dataclass(frozen=True, slots=True)
class Holding:
    """What a class holds: records with something personal in them, and how many of those are due; None: no rule."""

    record_class: RecordClass
    rule: RetentionRule | None
    held: int
    due: int


@dataclass(frozen=True, slots=True)
class DueRecord:
    """A record whose years have passed; its object is erased first, then its columns."""

    record_class: RecordClass
    id: UUID
    person_id: UUID
    object_key: str | None


async def holdings(session: AsyncSession, table: RetentionTable, at: datetime) -> list[Holding]:
    """Return per class how many records there are, and how many are due at a moment."""
    rules = {rule.record_class: rule for rule in table.classes}
    found = []
    for name, records in _RECORDS.items():
        held = (await session.execute(text(_HELD.format(records=records)))).scalar_one()
        rule = rules.get(name)
        found.append(Holding(name, rule, held, len(await due_of(session, rule, at)) if rule else 0))
    return found


async def due_of(session: AsyncSession, rule: RetentionRule, at: datetime) -> list[DueRecord]:
    """Return the records of a class whose years have passed, but for people to whom we owe something."""
    statement = text(_DUE.format(records=_RECORDS[rule.record_class]))
    due: list[DueRecord] = []
    after = UUID(int=0)
    while True:
        asked: dict[str, Any] = {"years": rule.years, "at": at, "after": after, "limit": BATCH}
        rows = (await session.execute(statement, asked)).all()
        owed = await _owed(session, {row.person_id for row in rows})
        due += [
            DueRecord(rule.record_class, row.id, row.person_id, row.object_key)
            for row in rows
            if row.person_id not in owed
        ]
        if len(rows) < BATCH:
            return due
        after = rows[-1].id


async def _owed(session: AsyncSession, people: set[UUID]) -> set[UUID]:
    paths = {accounts.worker(person): person for person in people}
    return {paths[found.path] for found in await ledger.balances(session, list(paths)) if found.minor != 0}


async def erase_objects(store: ObjectStore, due: Sequence[DueRecord]) -> None:
    """Delete the papers of due records; one that is gone already is no error. No transaction is open meanwhile."""
    keys = [one.object_key for one in due if one.object_key]
    if keys:
        await obstore.delete_async(store, keys)


async def erase_columns(session: AsyncSession, rule: RetentionRule, due: Sequence[DueRecord]) -> None:
    """Empty the personal columns of due records whose objects are gone, and write down that it was done."""
    for statement in _ERASURES[rule.record_class]:
        await session.execute(text(statement), {"ids": [one.id for one in due]})
    for one in due:
        record(
            session, SYSTEM, "retention.erased", f"{rule.record_class}:{one.id}",
            person=str(one.person_id), years=rule.years, source=rule.source,
        )  # fmt: skip
