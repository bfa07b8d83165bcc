"""Money: top-ups, funding, balances, earnings, payouts and statements. Amounts are integers in minor units."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, status

from api.auth import Allow
from api.idempotency import OnceOnly
from api.session import Session, Shared
from marketplace.catalog.queries import request_of
from marketplace.core.actor import Actor, OrganisationKind, Role, Scope
from marketplace.core.paging import Page, PageQuery
from marketplace.identity.queries import person_of_actor, visible_organisation
from marketplace.ledger import accounts
from marketplace.payments import payouts, topups
from marketplace.payments import queries as payments
from marketplace.payments.gateway import Gateway
from marketplace.payments.payouts import Owner
from marketplace.payments.providers import open_gateway
from marketplace.payments.rules import PayoutRules, payout_rules
from marketplace.payments.schemas import AskPayout, Currency, PayoutSettings, PayoutView, TopUp, TopUpView
from marketplace.payments.states import ChargeState, PayeeKind
from marketplace.settlement import funding, queries
from marketplace.settlement.schemas import BalanceView, EarningsView, Fund, RequestMoneyView, StatementLineView

router = APIRouter(prefix="/v1", tags=["Money"])
ORGANISATION = "/organisations/{organisation_id}"

Treasurer = Annotated[Actor, Allow(Scope.MONEY_WRITE, Role.OWNER, Role.FINANCE, kind=OrganisationKind.ENTERPRISE)]
VendorTreasurer = Annotated[Actor, Allow(Scope.MONEY_WRITE, Role.OWNER, Role.FINANCE, kind=OrganisationKind.VENDOR)]
Reader = Annotated[Actor, Allow(Scope.MONEY_READ)]
VendorReader = Annotated[Actor, Allow(Scope.MONEY_READ, kind=OrganisationKind.VENDOR)]
Worker = Annotated[Actor, Allow(Scope.MONEY_READ, Role.WORKER)]
PaidWorker = Annotated[Actor, Allow(Scope.MONEY_WRITE, Role.WORKER)]
Paging = Annotated[PageQuery, Depends()]
InCurrency = Annotated[Currency, Query()]


async def _gateway(shared: Shared) -> Gateway:
    return open_gateway(shared.settings, shared.database)


async def _rules(shared: Shared) -> PayoutRules:
    return payout_rules(shared.settings)


async def _payout_gateway(shared: Shared) -> Gateway:
    return open_gateway(shared.settings, shared.database, shared.settings.pays_out_by)


Provider = Annotated[Gateway, Depends(_gateway)]
PayoutProvider = Annotated[Gateway, Depends(_payout_gateway)]
Rules = Annotated[PayoutRules, Depends(_rules)]


async def _worker(actor: PaidWorker, session: Session) -> Owner:
    person = await person_of_actor(session, actor)
    return Owner(PayeeKind.WORKER, person.id, person.display_name)


async def _vendor(actor: VendorTreasurer, session: Session, organisation_id: UUID) -> Owner:
    organisation = await visible_organisation(session, actor, organisation_id)
    return Owner(PayeeKind.VENDOR, organisation.id, organisation.name)


WorkerOwner = Annotated[Owner, Depends(_worker)]
VendorOwner = Annotated[Owner, Depends(_vendor)]


# Enterprises ----------------------------------------------------------------------------------------------------------


@router.post(ORGANISATION + "/top-ups", status_code=status.HTTP_201_CREATED)
async def top_up(
    actor: Treasurer, session: Session, provider: Provider, once: OnceOnly, organisation_id: UUID, body: TopUp
) -> TopUpView:
    """Put money on the prepaid balance; it is there when the state is `succeeded`."""
    organisation = await visible_organisation(session, actor, organisation_id)

    async def command() -> TopUpView:
        return TopUpView.model_validate(await topups.top_up(session, actor, provider, organisation.id, body))

    return await once.run(TopUpView, command)


@router.get(ORGANISATION + "/top-ups")
async def list_top_ups(actor: Reader, session: Session, organisation_id: UUID, query: Paging) -> Page[TopUpView]:
    """List the organisation's top-ups, newest first."""
    organisation = await visible_organisation(session, actor, organisation_id)
    rows, cursor = await payments.charges_of(session, organisation.id, query)
    return Page(items=[TopUpView.model_validate(row) for row in rows], next_cursor=cursor)


@router.get(ORGANISATION + "/top-ups/{top_up_id}")
async def get_top_up(
    actor: Reader, session: Session, shared: Shared, organisation_id: UUID, top_up_id: UUID
) -> TopUpView:
    """Return a top-up and where it stands; while it is pending, with what its payer does next."""
    organisation = await visible_organisation(session, actor, organisation_id)
    charge = await payments.charge_of(session, organisation.id, top_up_id)
    view, provider = TopUpView.model_validate(charge), charge.provider
    if view.state is ChargeState.PENDING:
        await session.rollback()  # no transaction is open while the provider answers
        gateway = open_gateway(shared.settings, shared.database, provider)
        view.next_action = await topups.next_action(
            gateway, view.id, publishable_key=shared.settings.stripe_publishable_key
        )
    return view


@router.post("/requests/{request_id}/fund", tags=["Dataset requests"])
async def fund_request(
    actor: Treasurer, session: Session, once: OnceOnly, request_id: UUID, body: Fund
) -> RequestMoneyView:
    """Reserve prepaid money for a request; a draft becomes `funded` and can be published then."""

    async def command() -> RequestMoneyView:
        request = await funding.fund(session, actor, request_id, body.amount_minor)
        return await queries.money_of_request(session, request)

    return await once.run(RequestMoneyView, command)


@router.get("/requests/{request_id}/money")
async def get_request_money(actor: Reader, session: Session, request_id: UUID) -> RequestMoneyView:
    """Return where a request's money is."""
    return await queries.money_of_request(session, await request_of(session, actor, request_id))


# Organisations --------------------------------------------------------------------------------------------------------


@router.get(ORGANISATION + "/balance")
async def get_balance(actor: Reader, session: Session, organisation_id: UUID) -> list[BalanceView]:
    """Return the organisation's money, one line a currency."""
    organisation = await visible_organisation(session, actor, organisation_id)
    if organisation.kind is OrganisationKind.VENDOR:
        return await queries.balance_of_payee(session, PayeeKind.VENDOR, organisation.id)
    return await queries.balance_of_enterprise(session, organisation.id)


@router.get(ORGANISATION + "/statement")
async def get_statement(
    actor: Reader, session: Session, organisation_id: UUID, currency: InCurrency, query: Paging
) -> Page[StatementLineView]:
    """List every movement on the organisation's balance, newest first."""
    organisation = await visible_organisation(session, actor, organisation_id)
    is_vendor = organisation.kind is OrganisationKind.VENDOR
    path = accounts.vendor(organisation.id) if is_vendor else accounts.org_cash(organisation.id)
    return await queries.statement(session, path, currency, query)


# Vendors --------------------------------------------------------------------------------------------------------------


@router.get(ORGANISATION + "/earnings")
async def get_vendor_earnings(actor: VendorReader, session: Session, organisation_id: UUID) -> list[EarningsView]:
    """Return what the vendor has earned: pending, cleared, on its way, and paid."""
    organisation = await visible_organisation(session, actor, organisation_id)
    return await queries.earnings(session, PayeeKind.VENDOR, organisation.id)


@router.post(ORGANISATION + "/payouts", status_code=status.HTTP_201_CREATED)
async def ask_vendor_payout(
    actor: VendorTreasurer,
    session: Session,
    provider: PayoutProvider,
    rules: Rules,
    once: OnceOnly,
    owner: VendorOwner,
    body: AskPayout,
) -> PayoutView:
    """Have the vendor's cleared money paid out."""

    async def command() -> PayoutView:
        return PayoutView.model_validate(await payouts.ask_payout(session, actor, provider, rules, owner, body))

    return await once.run(PayoutView, command)


@router.get(ORGANISATION + "/payouts")
async def list_vendor_payouts(
    actor: VendorReader, session: Session, organisation_id: UUID, query: Paging
) -> Page[PayoutView]:
    """List the vendor's payouts, newest first."""
    organisation = await visible_organisation(session, actor, organisation_id)
    rows, cursor = await payments.payouts_of(session, PayeeKind.VENDOR, organisation.id, query)
    return Page(items=[PayoutView.model_validate(row) for row in rows], next_cursor=cursor)


@router.get(ORGANISATION + "/payouts/{payout_id}")
async def get_vendor_payout(
    actor: VendorReader, session: Session, organisation_id: UUID, payout_id: UUID
) -> PayoutView:
    """Return a payout and where it stands."""
    organisation = await visible_organisation(session, actor, organisation_id)
    return PayoutView.model_validate(await payments.payout_of(session, PayeeKind.VENDOR, organisation.id, payout_id))


@router.put(ORGANISATION + "/payout-settings")
async def set_vendor_payout_settings(
    actor: VendorTreasurer, session: Session, provider: PayoutProvider, owner: VendorOwner, body: PayoutSettings
) -> PayoutSettings:
    """Say whether the vendor's cleared money is paid out by itself."""
    payee = await payouts.set_auto_payout(session, actor, provider, owner, on=body.auto_payout)
    return PayoutSettings(auto_payout=payee.auto_payout)


# Workers --------------------------------------------------------------------------------------------------------------


@router.get("/me/balance")
async def get_my_balance(actor: Worker, session: Session) -> list[BalanceView]:
    """Return my money, one line a currency."""
    return await queries.balance_of_payee(session, PayeeKind.WORKER, actor.id)


@router.get("/me/earnings")
async def get_my_earnings(actor: Worker, session: Session) -> list[EarningsView]:
    """Return what I have earned: pending, cleared, on its way, and paid."""
    return await queries.earnings(session, PayeeKind.WORKER, actor.id)


@router.get("/me/statement")
async def get_my_statement(
    actor: Worker, session: Session, currency: InCurrency, query: Paging
) -> Page[StatementLineView]:
    """List every movement on my balance, newest first."""
    return await queries.statement(session, accounts.worker(actor.id), currency, query)


@router.post("/me/payouts", status_code=status.HTTP_201_CREATED)
async def ask_my_payout(
    actor: PaidWorker,
    session: Session,
    provider: PayoutProvider,
    rules: Rules,
    once: OnceOnly,
    owner: WorkerOwner,
    body: AskPayout,
) -> PayoutView:
    """Have my cleared money paid out."""

    async def command() -> PayoutView:
        return PayoutView.model_validate(await payouts.ask_payout(session, actor, provider, rules, owner, body))

    return await once.run(PayoutView, command)


@router.get("/me/payouts")
async def list_my_payouts(actor: Worker, session: Session, query: Paging) -> Page[PayoutView]:
    """List my payouts, newest first."""
    rows, cursor = await payments.payouts_of(session, PayeeKind.WORKER, actor.id, query)
    return Page(items=[PayoutView.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/me/payouts/{payout_id}")
async def get_my_payout(actor: Worker, session: Session, payout_id: UUID) -> PayoutView:
    """Return a payout and where it stands."""
    return PayoutView.model_validate(await payments.payout_of(session, PayeeKind.WORKER, actor.id, payout_id))


@router.put("/me/payout-settings")
async def set_my_payout_settings(
    actor: PaidWorker, session: Session, provider: PayoutProvider, owner: WorkerOwner, body: PayoutSettings
) -> PayoutSettings:
    """Say whether my cleared money is paid out by itself."""
    payee = await payouts.set_auto_payout(session, actor, provider, owner, on=body.auto_payout)
    return PayoutSettings(auto_payout=payee.auto_payout)
