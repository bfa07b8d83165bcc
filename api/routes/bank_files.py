"""The manual rail, for the operator: files for the bank, the bank's results, and the rail's own money."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Query, Response, status

from api.auth import Allow
from api.idempotency import OnceOnly
from api.routes.money import Paging
from api.routes.operator_ledger import WithReason
from api.session import Session, Shared
from marketplace.core.actor import Actor, OrganisationKind, Role, Scope
from marketplace.core.paging import Page
from marketplace.payments.bank_file import batches, rail, results
from marketplace.payments.bank_file.schemas import (
    BankFileLineView,
    BankFileView,
    BankResultView,
    MakeBankFile,
    MovementView,
    MoveRailMoney,
    QueueView,
    RailBalanceView,
)

router = APIRouter(prefix="/v1/operator/bank-files", tags=["Money"])

Reader = Annotated[Actor, Allow(Scope.MONEY_READ, Role.OPERATOR_FINANCE, Role.ADMIN, kind=OrganisationKind.OPERATOR)]
Finance = Annotated[Actor, Allow(Scope.MONEY_WRITE, Role.OPERATOR_FINANCE, Role.ADMIN, kind=OrganisationKind.OPERATOR)]
CSV = "text/csv"


@router.get("/queue")
async def get_queue(_actor: Reader, session: Session) -> list[QueueView]:
    """Return what waits for a file, one line a currency."""
    return await batches.queue(session)


@router.get("/balances")
async def get_rail_balances(_actor: Reader, session: Session) -> list[RailBalanceView]:
    """Return our money on the rail, and what the bank says of it."""
    return await rail.balances(session)


@router.post("/movements", status_code=status.HTTP_201_CREATED)
async def move_rail_money(actor: Finance, session: Session, once: OnceOnly, body: MoveRailMoney) -> MovementView:
    """Book money that you moved to the rail's bank account or from it, or a fee that the bank took."""

    async def command() -> MovementView:
        return MovementView.model_validate(await rail.move(session, actor, body))

    return await once.run(MovementView, command)


@router.get("/lines")
async def list_lines(
    _actor: Reader, session: Session, query: Paging, bank_file_id: Annotated[UUID | None, Query()] = None
) -> Page[BankFileLineView]:
    """List the payments of a file, or those that wait for one, newest first."""
    rows, cursor = await batches.lines(session, query, bank_file_id)
    return Page(items=[BankFileLineView.model_validate(row) for row in rows], next_cursor=cursor)


@router.post("/lines/{line_id}/refuse")
async def refuse_line(
    actor: Finance, session: Session, once: OnceOnly, line_id: UUID, body: WithReason
) -> BankFileLineView:
    """Take a waiting payment out of the queue; the payee has the money back."""

    async def command() -> BankFileLineView:
        return BankFileLineView.model_validate(await batches.refuse_line(session, actor, line_id, body.reason))

    return await once.run(BankFileLineView, command)


@router.post("/results")
async def import_results(
    actor: Finance,
    session: Session,
    content: Annotated[bytes, Body(media_type=CSV, description="The bank's result file")],
) -> BankResultView:
    """Apply a result file of the bank; the same file again returns its first report and changes nothing."""
    return BankResultView.model_validate(await results.import_results(session, actor, content))


@router.get("/results")
async def list_results(_actor: Reader, session: Session, query: Paging) -> Page[BankResultView]:
    """List the bank's result files, newest first, with a report of each row."""
    rows, cursor = await results.imports(session, query)
    return Page(items=[BankResultView.model_validate(row) for row in rows], next_cursor=cursor)


@router.post("", status_code=status.HTTP_201_CREATED)
async def make_bank_file(actor: Finance, session: Session, once: OnceOnly, body: MakeBankFile) -> BankFileView:
    """Put all payments of a currency that wait into a new file; somebody else must release it."""

    async def command() -> BankFileView:
        return BankFileView.model_validate(await batches.make(session, actor, body.currency))

    return await once.run(BankFileView, command)


@router.get("")
async def list_bank_files(_actor: Reader, session: Session, query: Paging) -> Page[BankFileView]:
    """List the files for the bank, newest first."""
    rows, cursor = await batches.batches(session, query)
    return Page(items=[BankFileView.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/{bank_file_id}")
async def get_bank_file(_actor: Reader, session: Session, bank_file_id: UUID) -> BankFileView:
    """Return a file and where it stands."""
    return BankFileView.model_validate(await batches.batch_of(session, bank_file_id))


@router.post("/{bank_file_id}/release")
async def release_bank_file(
    actor: Finance, session: Session, shared: Shared, once: OnceOnly, bank_file_id: UUID
) -> BankFileView:
    """Release a file that somebody else made; its bytes are signed now and never change again."""

    async def command() -> BankFileView:
        return BankFileView.model_validate(await batches.release(session, shared.settings, actor, bank_file_id))

    return await once.run(BankFileView, command)


@router.post("/{bank_file_id}/discard")
async def discard_bank_file(
    actor: Finance, session: Session, once: OnceOnly, bank_file_id: UUID, body: WithReason
) -> BankFileView:
    """Give up a file that was not exported; its payments wait again."""

    async def command() -> BankFileView:
        return BankFileView.model_validate(await batches.discard(session, actor, bank_file_id, body.reason))

    return await once.run(BankFileView, command)


@router.post("/{bank_file_id}/export")
async def export_bank_file(actor: Finance, session: Session, once: OnceOnly, bank_file_id: UUID) -> BankFileView:
    """Say that a released file goes to the bank now; from then on it can be downloaded."""

    async def command() -> BankFileView:
        return BankFileView.model_validate(await batches.export(session, actor, bank_file_id))

    return await once.run(BankFileView, command)


@router.get("/{bank_file_id}/file")
async def download_bank_file(actor: Finance, session: Session, shared: Shared, bank_file_id: UUID) -> Response:
    """Return the CSV file as it was released, the same bytes each time."""
    content, _signature = await batches.content_of(session, shared.settings, actor, bank_file_id)
    name = f'attachment; filename="kapok-{bank_file_id.hex}.csv"'
    return Response(content, media_type=CSV, headers={"Content-Disposition": name})


@router.get("/{bank_file_id}/signature")
async def download_signature(actor: Finance, session: Session, shared: Shared, bank_file_id: UUID) -> Response:
    """Return the detached signature of the file; `kapok bank-file verify` checks it."""
    _content, signature = await batches.content_of(session, shared.settings, actor, bank_file_id)
    return Response(signature, media_type="application/json")
