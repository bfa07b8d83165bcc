"""Re-adding everything: the ledger's invariants as checks that name what does not match.

Run inside one REPEATABLE READ transaction, so that all figures are of the same moment. What the ledger cannot know (the
provider's balance, payouts, requests) is checked by the subdomains that can, with the same `Check`.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.ledger.accounts import CHART
from marketplace.ledger.seal import check_seals

MAX_BREAKS_NAMED: Final = 20
CLEARING_LIMIT: Final = timedelta(days=10)


@dataclass(frozen=True, slots=True)
class Check:
    """One invariant: what was looked at (`figures`), and each thing that breaks it (`breaks`)."""

    name: str
    rule: str
    figures: dict[str, int] = field(default_factory=dict)
    breaks: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing breaks the rule."""
        return not self.breaks


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """All checks of one run."""

    checks: list[Check]

    @property
    def holds(self) -> bool:
        """Whether every check holds."""
        return all(check.holds for check in self.checks)


_BY_CURRENCY = text("SELECT currency, sum(amount_minor), count(*) FROM posting GROUP BY currency ORDER BY currency")
_BY_TXN = text(
    """
    SELECT t.key, p.currency, sum(p.amount_minor) FROM posting p JOIN txn t ON t.id = p.txn_id
    GROUP BY t.id, t.key, p.currency HAVING sum(p.amount_minor) <> 0 ORDER BY t.key LIMIT :limit
    """
)
_EMPTY_TXNS = text(
    """
    SELECT t.key FROM txn t WHERE NOT EXISTS (SELECT 1 FROM posting p WHERE p.txn_id = t.id) ORDER BY t.key LIMIT :limit
    """
)
_DRIFT = text(
    """
    SELECT a.path, a.currency, a.balance_minor, coalesce(s.total, 0) FROM account a
    LEFT JOIN (SELECT account_id, sum(amount_minor) AS total FROM posting GROUP BY account_id) s ON s.account_id = a.id
    WHERE a.guarded AND a.balance_minor <> coalesce(s.total, 0) * CASE a.normal WHEN 'debit' THEN 1 ELSE -1 END
    ORDER BY a.path LIMIT :limit
    """
)
_NEGATIVE = text(
    """
    SELECT a.path, a.currency, sum(p.amount_minor) * CASE a.normal WHEN 'debit' THEN 1 ELSE -1 END AS total
    FROM account a JOIN posting p ON p.account_id = a.id WHERE a.guarded
    GROUP BY a.id HAVING sum(p.amount_minor) * CASE a.normal WHEN 'debit' THEN 1 ELSE -1 END < 0
    ORDER BY a.path LIMIT :limit
    """
)
_COUNTS = text(
    "SELECT (SELECT count(*) FROM txn), (SELECT count(*) FROM posting), (SELECT count(*) FROM account WHERE guarded)"
)
_CLEARING = text(
    """
    SELECT a.path, a.currency, sum(p.amount_minor) AS total, max(p.created_at) AS last FROM account a
    JOIN posting p ON p.account_id = a.id WHERE split_part(a.path, ':', 1) = ANY(CAST(:kinds AS text[]))
    GROUP BY a.id HAVING sum(p.amount_minor) <> 0 ORDER BY a.path
    """
)


async def verify(session: AsyncSession, *, clearing_limit: timedelta = CLEARING_LIMIT) -> VerifyReport:
    """Re-add the whole ledger and report each figure and each break."""
    return VerifyReport(
        [
            await _sum_zero(session),
            await _each_txn_balanced(session),
            await _no_drift(session),
            await _none_negative(session),
            await _clearing_young(session, clearing_limit),
            await _sealed(session),
        ]
    )


async def _sum_zero(session: AsyncSession) -> Check:
    figures: dict[str, int] = {}
    breaks: list[str] = []
    for currency, total, count in await session.execute(_BY_CURRENCY):
        figures[f"postings {currency}"] = int(count)
        if total != 0:
            breaks.append(f"{currency}: all postings add up to {total}")
    return Check("sum_zero", "Σ of all postings is zero in every currency", figures, breaks)


async def _each_txn_balanced(session: AsyncSession) -> Check:
    unbalanced = await session.execute(_BY_TXN, {"limit": MAX_BREAKS_NAMED})
    breaks = [f"{key}: adds up to {total} {currency}" for key, currency, total in unbalanced]
    empty = await session.execute(_EMPTY_TXNS, {"limit": MAX_BREAKS_NAMED})
    breaks += [f"{key}: has no postings" for key in empty.scalars()]
    txns, postings, _ = (await session.execute(_COUNTS)).one()
    figures = {"transactions": int(txns), "postings": int(postings)}
    return Check("txn_balanced", "every transaction has postings that add up to zero", figures, breaks)


async def _no_drift(session: AsyncSession) -> Check:
    found = await session.execute(_DRIFT, {"limit": MAX_BREAKS_NAMED})
    breaks = [f"{path}: row says {row} {currency}, postings say {total}" for path, currency, row, total in found]
    guarded = (await session.execute(_COUNTS)).one()[2]
    return Check("balance_rows", "a guarded balance equals its postings", {"guarded accounts": int(guarded)}, breaks)


async def _none_negative(session: AsyncSession) -> Check:
    found = await session.execute(_NEGATIVE, {"limit": MAX_BREAKS_NAMED})
    breaks = [f"{path}: postings come to {total} {currency}" for path, currency, total in found]
    return Check("never_negative", "no guarded account is below zero by its postings", {}, breaks)


async def _clearing_young(session: AsyncSession, limit: timedelta) -> Check:
    kinds = [line.name for line in CHART.values() if line.clearing]
    open_accounts = (await session.execute(_CLEARING, {"kinds": kinds})).all()
    oldest = now() - limit
    breaks = [f"{path}: {total} {currency} since {last:%Y-%m-%d %H:%M}" for path, currency, total, last in open_accounts
              if last < oldest][:MAX_BREAKS_NAMED]  # fmt: skip
    rule = f"money on its way arrives within {limit.days} days"
    return Check("clearing", rule, {"clearing accounts open": len(open_accounts)}, breaks)


async def _sealed(session: AsyncSession) -> Check:
    found = await check_seals(session, MAX_BREAKS_NAMED)
    figures = {"blocks": found.blocks, "sealed": found.sealed, "unsealed": found.unsealed}
    return Check("sealed", "every block holds what was sealed, and the chain is whole", figures, found.breaks)
