"""What the bank says: a result file applied row by row, once; each row's news goes the way of a webhook."""

from typing import Any, Final
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.paging import PageQuery, read_page
from marketplace.core.states import check_step
from marketplace.ledger.merkle import sha256_hex
from marketplace.payments import inbox
from marketplace.payments.bank_file import rail, results_format
from marketplace.payments.bank_file.gateway import event_of
from marketplace.payments.bank_file.models import BankFileBatch, BankFileImport, BankFileLine
from marketplace.payments.bank_file.results_format import ResultRow, Row
from marketplace.payments.bank_file.states import BATCH_STEPS, LINE_STEPS, BatchState, LineState

_APPLIED: Final = "applied"
_REPEATED: Final = "repeated"


async def import_results(session: AsyncSession, actor: Actor, content: bytes) -> BankFileImport:
    """Apply a result file of the bank; the same file again changes nothing and returns the first report.

    A row is refused, and named in the report, when its reference is unknown, its payment is in no file that was given
    out, its amount or currency is another, or it contradicts what the bank said before.

    Raises:
        BankResultRefused: the file is not of the form, or its control totals do not fit; nothing is applied.
    """
    await rail.lock_rail(session, "results")
    digest = sha256_hex(content)
    earlier = await session.exec(select(BankFileImport).where(BankFileImport.sha256 == digest))
    if (known := earlier.first()) is not None:
        return known
    results = results_format.read(content)
    lines = await _locked_lines(session, [row.ref for row in results.rows])
    report: list[dict[str, Any]] = []
    for row in results.rows:
        line = lines.get(row.ref)
        outcome = _judge(row, line, results.currency)
        if outcome == _APPLIED and line is not None and row.said is not None:
            await _apply(session, line, row.said)
        report.append({"line": row.line, "ref": row.ref, "outcome": outcome, "why": row.problem or None})
    await _settle(session, {line.batch_id for line in lines.values() if line.batch_id is not None})
    made = _import_row(actor, digest, results, report)
    session.add(made)
    record(
        session, actor, "bank_file.import", f"bank_file_import:{made.id}",
        sha256=digest, applied=made.applied, repeated=made.repeated, refused=made.refused,
    )  # fmt: skip
    return made


async def imports(session: AsyncSession, query: PageQuery) -> tuple[list[BankFileImport], str | None]:
    """Return a page of the result files, newest first."""
    return await read_page(session, select(BankFileImport), BankFileImport.id, query)


def _import_row(
    actor: Actor, digest: str, results: results_format.Results, report: list[dict[str, Any]]
) -> BankFileImport:
    outcomes, balance = [entry["outcome"] for entry in report], results.balance
    applied, repeated = outcomes.count(_APPLIED), outcomes.count(_REPEATED)
    return BankFileImport(
        sha256=digest, imported_by=actor.principal, currency=results.currency, applied=applied, repeated=repeated,
        refused=len(outcomes) - applied - repeated, report=report,
        stated_minor=balance.stated_minor if balance else None, stated_on=balance.stated_on if balance else None,
    )  # fmt: skip


def _judge(row: Row, line: BankFileLine | None, currency: str) -> str:
    """Say what becomes of a row: `applied`, `repeated`, or the reason why not. Pure."""
    if row.said is None:
        return "malformed"
    if line is None:
        return "unknown_ref"
    if (line.amount_minor, line.currency) != (row.amount_minor, currency):
        return "wrong_amount"
    target = LineState(row.said.result)
    if line.state is LineState.QUEUED:
        return "not_exported"
    if line.state is target or (target, line.state) == (LineState.PAID, LineState.RETURNED):
        return _REPEATED  # what was returned had been paid
    return _APPLIED if target in LINE_STEPS.get(line.state, frozenset()) else "contradicts"


async def _apply(session: AsyncSession, line: BankFileLine, said: ResultRow) -> None:
    target = LineState(said.result)
    check_step(LINE_STEPS, line.state, target)
    if target is not LineState.FAILED and line.paid_on is None:
        line.paid_on = said.on  # what comes back had left
    if target is LineState.RETURNED:
        line.returned_on = said.on
    line.state, line.changed_at = target, now()
    line.bank_reference, line.reason = said.bank_reference or line.bank_reference, said.reason or None
    await inbox.receive(session, rail.NAME, event_of(line))


async def _locked_lines(session: AsyncSession, refs: list[str]) -> dict[str, BankFileLine]:
    """Return the lines by reference, locked behind their files, in the order of whoever discards or exports one."""
    chosen = col(BankFileLine.ref).in_(refs)
    files = await session.exec(select(BankFileLine.batch_id).where(chosen, col(BankFileLine.batch_id).is_not(None)))
    await session.exec(
        select(BankFileBatch.id)
        .where(col(BankFileBatch.id).in_(set(files.all())))
        .order_by(col(BankFileBatch.id))
        .with_for_update()
    )
    found = await session.exec(
        select(BankFileLine)
        .where(chosen)
        .order_by(col(BankFileLine.id))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {line.ref: line for line in found.all()}


async def _settle(session: AsyncSession, batch_ids: set[UUID]) -> None:
    """Close the files of which every payment is answered."""
    waiting = await session.exec(
        select(BankFileLine.batch_id).where(
            col(BankFileLine.batch_id).in_(batch_ids), BankFileLine.state == LineState.EXPORTED
        )
    )
    for batch_id in batch_ids - set(waiting.all()):
        batch = await session.get_one(BankFileBatch, batch_id)
        if batch.state is BatchState.EXPORTED:
            check_step(BATCH_STEPS, batch.state, BatchState.SETTLED)
            batch.state, batch.settled_at = BatchState.SETTLED, now()
