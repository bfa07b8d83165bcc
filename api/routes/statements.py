"""Statements of account as files, for workers, vendors and enterprises."""

from datetime import date, timedelta
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from api.papers import InLanguage, PaperFormat, as_file
from api.routes.money import ORGANISATION, InCurrency, Reader, Worker
from api.session import Session, Shared
from marketplace.core.actor import OrganisationKind
from marketplace.core.clock import now
from marketplace.core.papers.language import Language
from marketplace.identity.queries import get_person, visible_organisation
from marketplace.ledger import accounts
from marketplace.settlement.papers.statement import statement_paper
from marketplace.settlement.periods import Period
from marketplace.settlement.statements import statement_of

router = APIRouter(prefix="/v1", tags=["Money"])

# A page of PDF takes a tenth of a second to lay out.
MOST_LINES: Final = {PaperFormat.PDF: 1_000, PaperFormat.CSV: 20_000}
_EARLIEST: Final = date(2000, 1, 1)
_LATEST: Final = date(2999, 12, 31)
FirstDay = Annotated[date, Query(alias="from", ge=_EARLIEST, description="The first day, in the operator's time zone")]
LastDay = Annotated[date, Query(alias="to", le=_LATEST, description="The last day, included")]


class _Asked:
    """Which statement is asked for, and how."""

    def __init__(
        self,
        shared: Shared,
        language: InLanguage,
        currency: InCurrency,
        first: FirstDay,
        last: LastDay,
        file_format: Annotated[PaperFormat, Query(alias="format")] = PaperFormat.PDF,
    ) -> None:
        self.period = Period(first, last + timedelta(days=1), shared.settings.papers_time_zone)
        self.currency = currency
        self.language: Language = language
        self.file_format = file_format


Asked = Annotated[_Asked, Depends()]


@router.get("/me/statement/file")
async def get_my_statement_file(actor: Worker, session: Session, asked: Asked) -> Response:
    """Return my statement of some days as PDF or CSV: opening balance, movements, tax withheld, closing balance."""
    person = await get_person(session, actor.id)
    return await _file(session, accounts.worker(person.id), person.display_name, asked)


@router.get(ORGANISATION + "/statement/file")
async def get_statement_file(actor: Reader, session: Session, organisation_id: UUID, asked: Asked) -> Response:
    """Return the organisation's statement of some days as PDF or CSV: opening balance, movements, closing balance."""
    organisation = await visible_organisation(session, actor, organisation_id)
    is_vendor = organisation.kind is OrganisationKind.VENDOR
    path = accounts.vendor(organisation.id) if is_vendor else accounts.org_cash(organisation.id)
    return await _file(session, path, organisation.name, asked)


async def _file(session: Session, path: str, holder: str, asked: _Asked) -> Response:
    most = MOST_LINES[asked.file_format]
    statement = await statement_of(session, path, asked.currency, asked.period, most=most)
    paper = statement_paper(statement, holder, now(), asked.language)
    name = f"statement-{asked.currency}-{asked.period.first}-{asked.period.last}"
    return await as_file(paper, asked.file_format, name)
