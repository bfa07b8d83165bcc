"""Tax forms: payees hand them in, the operator's finance verifies them."""

from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Form, UploadFile, status
from pydantic import BaseModel, ConfigDict

from api.auth import Allow
from api.routes.money import Paging, Rules, Worker
from api.routes.operator_ledger import Finance, WithReason
from api.routes.operator_ledger import Reader as FinanceReader
from api.session import Session, Shared
from marketplace.core.actor import Actor, OrganisationKind, Role, Scope
from marketplace.core.paging import Page
from marketplace.identity.queries import visible_organisation
from marketplace.payments import tax_forms
from marketplace.payments.states import PayeeKind, TaxFormState
from marketplace.payments.tax_forms import HandIn
from marketplace.payments.tax_models import TaxForm
from marketplace.vetting import papers
from marketplace.vetting.policy import MAX_PAPER_BYTES

router = APIRouter(prefix="/v1", tags=["Tax"])
VENDOR: Final = "/organisations/{organisation_id}/tax-forms"
_CHUNK_BYTES: Final = 1024 * 1024
# the paper itself and the multipart frame around it
_MAX_BODY: Final = MAX_PAPER_BYTES + 64 * 1024
VendorFinance = Annotated[Actor, Allow(Scope.MONEY_WRITE, Role.OWNER, Role.FINANCE, kind=OrganisationKind.VENDOR)]
VendorReader = Annotated[Actor, Allow(Scope.MONEY_READ, Role.OWNER, Role.FINANCE, kind=OrganisationKind.VENDOR)]
PaidWorker = Annotated[Actor, Allow(Scope.MONEY_WRITE, Role.WORKER)]


class TaxFormView(BaseModel):
    """A tax form; `sha256` is of the paper as it was received. It counts from `verified` on, inside its dates."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: PayeeKind
    owner_id: UUID
    form_type: str
    valid_from: date
    valid_until: date | None
    filename: str
    media_type: str
    size_bytes: int
    sha256: str
    state: TaxFormState
    reason: str | None
    created_at: datetime
    decided_at: datetime | None


class RequiredFormView(BaseModel):
    """A form without which you are not paid out, and what is wrong with yours if it does not hold."""

    model_config = ConfigDict(from_attributes=True)

    form_type: str
    holds: bool
    problem: str | None


class FormAddressView(BaseModel):
    """Where a form can be read, for so many seconds."""

    url: str
    expires_in: int


class DecideForm(WithReason):
    """Verify a form or refuse it."""

    verdict: Literal[TaxFormState.VERIFIED, TaxFormState.REFUSED]


async def _hand_in(
    form_type: Annotated[str, Form(max_length=40)],
    valid_from: Annotated[date, Form()],
    valid_until: Annotated[date | None, Form()] = None,
) -> HandIn:
    return HandIn(form_type=form_type, valid_from=valid_from, valid_until=valid_until)


HandedIn = Annotated[HandIn, Depends(_hand_in)]


async def _chunks(upload: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await upload.read(_CHUNK_BYTES):
        yield chunk


async def _receive(
    shared: Shared, kind: PayeeKind, owner_id: UUID, command: HandIn, paper: UploadFile
) -> papers.Received:
    """Check what comes, then stream it; no transaction is open while that lasts."""
    async with shared.database.sessions() as session:
        await tax_forms.check_hand_in(session, shared.settings, kind, owner_id, command)
    return await papers.stream_paper(shared.store, "tax-forms", owner_id, paper.filename or "", _chunks(paper))


def _page(found: tuple[list[TaxForm], str | None]) -> Page[TaxFormView]:
    return Page(items=[TaxFormView.model_validate(form) for form in found[0]], next_cursor=found[1])


@router.post("/me/tax-forms/uploads", status_code=status.HTTP_201_CREATED, max_body_size=_MAX_BODY)
async def add_my_tax_form(
    actor: PaidWorker, shared: Shared, session: Session, paper: UploadFile, command: HandedIn
) -> TaxFormView:
    """Hand in a tax form (PDF, PNG or JPEG by content, 20 MB at most); it counts once it is verified."""
    received = await _receive(shared, PayeeKind.WORKER, actor.id, command, paper)
    form = await tax_forms.add(session, actor, PayeeKind.WORKER, actor.id, command, received)
    return TaxFormView.model_validate(form)


@router.get("/me/tax-forms")
async def list_my_tax_forms(actor: Worker, session: Session, query: Paging) -> Page[TaxFormView]:
    """List my tax forms, newest first."""
    return _page(await tax_forms.forms_of(session, PayeeKind.WORKER, actor.id, query))


@router.get("/me/tax-forms/required")
async def list_my_required_tax_forms(actor: Worker, session: Session, rules: Rules) -> list[RequiredFormView]:
    """List the forms without which I am not paid out."""
    found = await tax_forms.required_of(session, rules, PayeeKind.WORKER, actor.id)
    return [RequiredFormView.model_validate(form) for form in found]


@router.post(VENDOR + "/uploads", status_code=status.HTTP_201_CREATED, max_body_size=_MAX_BODY)
async def add_vendor_tax_form(
    actor: VendorFinance, shared: Shared, session: Session, organisation_id: UUID, paper: UploadFile, command: HandedIn
) -> TaxFormView:
    """Hand in a tax form of the vendor."""
    async with shared.database.sessions() as reading:
        vendor = await visible_organisation(reading, actor, organisation_id)
    received = await _receive(shared, PayeeKind.VENDOR, vendor.id, command, paper)
    form = await tax_forms.add(session, actor, PayeeKind.VENDOR, vendor.id, command, received)
    return TaxFormView.model_validate(form)


@router.get(VENDOR)
async def list_vendor_tax_forms(
    actor: VendorReader, session: Session, organisation_id: UUID, query: Paging
) -> Page[TaxFormView]:
    """List the vendor's tax forms, newest first."""
    vendor = await visible_organisation(session, actor, organisation_id)
    return _page(await tax_forms.forms_of(session, PayeeKind.VENDOR, vendor.id, query))


@router.get(VENDOR + "/required")
async def list_required_vendor_tax_forms(
    actor: VendorReader, session: Session, rules: Rules, organisation_id: UUID
) -> list[RequiredFormView]:
    """List the forms without which the vendor is not paid out."""
    vendor = await visible_organisation(session, actor, organisation_id)
    found = await tax_forms.required_of(session, rules, PayeeKind.VENDOR, vendor.id)
    return [RequiredFormView.model_validate(form) for form in found]


@router.get("/operator/tax/forms")
async def list_tax_forms(
    _actor: FinanceReader, session: Session, query: Paging, state: TaxFormState = TaxFormState.UPLOADED
) -> Page[TaxFormView]:
    """List all payees' tax forms in a state, newest first."""
    return _page(await tax_forms.queue(session, query, state))


@router.post("/operator/tax/forms/{form_id}/decision")
async def decide_tax_form(actor: Finance, session: Session, form_id: UUID, body: DecideForm) -> TaxFormView:
    """Verify a tax form or refuse it, with a reason."""
    return TaxFormView.model_validate(await tax_forms.decide(session, actor, form_id, body.verdict, body.reason))


@router.post("/operator/tax/forms/{form_id}/address")
async def get_tax_form_address(actor: Finance, shared: Shared, session: Session, form_id: UUID) -> FormAddressView:
    """Make an address under which the form can be read for a short while; each one is written down."""
    url = await tax_forms.address(session, shared.settings, shared.store, actor, form_id)
    return FormAddressView(url=url, expires_in=shared.settings.signed_url_seconds)
