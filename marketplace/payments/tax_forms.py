"""Tax forms of payees: handed in as papers, verified by the operator, and asked for before a payout."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Final
from uuid import UUID

from obstore.store import ObjectStore
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.paging import PageQuery, read_page
from marketplace.core.settings import Settings
from marketplace.core.states import check_step
from marketplace.core.storage import signed_url
from marketplace.identity.models import Organisation
from marketplace.payments.errors import (
    TaxFormDatesInvalid,
    TaxFormMissing,
    TaxFormTypeUnknown,
    TaxFormUnknown,
    TooManyTaxForms,
)
from marketplace.payments.rules import PayoutRules
from marketplace.payments.states import TAX_FORM_STEPS, PayeeKind, TaxFormState
from marketplace.payments.tax_models import TaxForm
from marketplace.vetting.papers import Received
from marketplace.vetting.queries import worker_profile

MAX_FORMS: Final = 30  # as many as a vetting file holds papers


class HandIn(BaseModel):
    """Which form a paper is, and from when until when (inclusive; None: without end) it holds."""

    model_config = ConfigDict(extra="forbid")

    form_type: Annotated[str, Field(max_length=40)]
    valid_from: date
    valid_until: date | None = None


@dataclass(frozen=True, slots=True)
class Required:
    """A form that a payee needs: whether one holds today, and what is wrong with the best one that does not."""

    form_type: str
    holds: bool
    problem: str | None


async def check_hand_in(
    session: AsyncSession, settings: Settings, kind: PayeeKind, owner_id: UUID, command: HandIn
) -> None:
    """Refuse a form that nobody asks for, that ends before it begins, or that is one too many; before its paper comes.

    Raises:
        TaxFormTypeUnknown, TaxFormDatesInvalid, TooManyTaxForms.
    """
    if command.form_type not in settings.tax_form_type_names:
        raise TaxFormTypeUnknown(f"{command.form_type!r} is none of {', '.join(settings.tax_form_type_names)}")
    if command.valid_until is not None and command.valid_until < command.valid_from:
        raise TaxFormDatesInvalid(f"It would hold from {command.valid_from} until {command.valid_until}.")
    kept = select(func.count()).where(TaxForm.kind == kind, TaxForm.owner_id == owner_id)
    if (await session.exec(kept)).one() >= MAX_FORMS:
        raise TooManyTaxForms(f"{MAX_FORMS} are kept of a payee.")


async def add(
    session: AsyncSession, actor: Actor, kind: PayeeKind, owner_id: UUID, command: HandIn, received: Received
) -> TaxForm:
    """Keep a received paper as a payee's tax form; it counts once the operator has verified it."""
    form = TaxForm(
        id=received.id, kind=kind, owner_id=owner_id, uploaded_by=actor.id, filename=received.filename,
        media_type=received.media_type, size_bytes=received.size_bytes, sha256=received.sha256,
        object_key=received.object_key, **command.model_dump(),
    )  # fmt: skip
    session.add(form)
    await session.flush()
    record(session, actor, "tax_form.added", f"tax_form:{form.id}", form_type=form.form_type, sha256=form.sha256)
    return form


async def forms_of(
    session: AsyncSession, kind: PayeeKind, owner_id: UUID, query: PageQuery
) -> tuple[list[TaxForm], str | None]:
    """Return one page of a payee's forms, newest first."""
    statement = select(TaxForm).where(TaxForm.kind == kind, TaxForm.owner_id == owner_id)
    return await read_page(session, statement, TaxForm.id, query)


async def queue(
    session: AsyncSession, query: PageQuery, state: TaxFormState = TaxFormState.UPLOADED
) -> tuple[list[TaxForm], str | None]:
    """Return one page of all forms in a state, newest first."""
    return await read_page(session, select(TaxForm).where(TaxForm.state == state), TaxForm.id, query)


async def form_of(session: AsyncSession, form_id: UUID, *, lock: bool = False) -> TaxForm:
    """Return a form, or raise `TaxFormUnknown`."""
    statement = select(TaxForm).where(TaxForm.id == form_id)
    form = (await session.exec(statement.with_for_update() if lock else statement)).first()
    if form is None:
        raise TaxFormUnknown
    return form


async def decide(session: AsyncSession, actor: Actor, form_id: UUID, verdict: TaxFormState, reason: str) -> TaxForm:
    """Verify a form, or refuse it; a verified one may be refused later.

    Raises:
        TaxFormUnknown: there is no such form.
        TransitionRefused: it is decided so already.
    """
    form = await form_of(session, form_id, lock=True)
    check_step(TAX_FORM_STEPS, form.state, verdict)
    form.state, form.decided_at, form.decided_by, form.reason = verdict, now(), actor.id, reason
    record(session, actor, f"tax_form.{verdict}", f"tax_form:{form.id}", reason=reason)
    return form


async def address(session: AsyncSession, settings: Settings, store: ObjectStore, actor: Actor, form_id: UUID) -> str:
    """Return an address under which a form can be read for a short while; each view is written down.

    Raises:
        TaxFormUnknown: there is no such form, or its paper was erased.
    """
    form = await form_of(session, form_id)
    if not form.object_key:
        raise TaxFormUnknown("Its paper was erased.")
    record(session, actor, "tax_form.viewed", f"tax_form:{form.id}")
    return await signed_url(settings, store, "GET", form.object_key)


async def required_of(session: AsyncSession, rules: PayoutRules, kind: PayeeKind, owner_id: UUID) -> list[Required]:
    """Return the forms that the operator asks of a payee, by the payee's country, and whether they hold today."""
    if not rules.forms_required:
        return []
    country = await _country(session, kind, owner_id)
    wanted = sorted(rules.forms_required.get(country or "", ()))
    found = await session.exec(
        select(TaxForm)
        .where(TaxForm.kind == kind, TaxForm.owner_id == owner_id, col(TaxForm.form_type).in_(wanted))
        .order_by(col(TaxForm.id))
    )
    handed_in: dict[str, list[TaxForm]] = {}
    for form in found:
        handed_in.setdefault(form.form_type, []).append(form)
    return [_standing(form_type, handed_in.get(form_type, []), now().date()) for form_type in wanted]


def _standing(form_type: str, forms: list[TaxForm], today: date) -> Required:
    """Say whether one of the forms holds; if none does, what is wrong with the newest."""
    problems = [_problem(form, today) for form in forms]
    if None in problems:
        return Required(form_type, holds=True, problem=None)
    return Required(form_type, holds=False, problem=problems[-1] if problems else "was not handed in")


def _problem(form: TaxForm, today: date) -> str | None:
    if form.state is not TaxFormState.VERIFIED:
        return "is not verified yet" if form.state is TaxFormState.UPLOADED else "was refused"
    if form.valid_until is not None and form.valid_until < today:
        return f"lapsed after {form.valid_until}"
    return f"holds from {form.valid_from} only" if form.valid_from > today else None


async def check(session: AsyncSession, rules: PayoutRules, kind: PayeeKind, owner_id: UUID) -> None:
    """Refuse a payout to a payee who lacks a form.

    Raises:
        TaxFormMissing: with the types that do not hold, and why.
    """
    lacking = [form for form in await required_of(session, rules, kind, owner_id) if not form.holds]
    if lacking:
        why = "; ".join(f"{form.form_type} {form.problem}" for form in lacking)
        raise TaxFormMissing(f"Tax forms: {why}.", missing=[form.form_type for form in lacking])


async def _country(session: AsyncSession, kind: PayeeKind, owner_id: UUID) -> str | None:
    if kind is PayeeKind.VENDOR:
        organisation = await session.get(Organisation, owner_id)
        return organisation.country if organisation else None
    profile = await worker_profile(session, owner_id)
    return profile.country if profile else None
