"""Where vendors and workers are paid, when the payout provider does not ask them itself."""

from uuid import UUID

from fastapi import APIRouter

from api.routes.money import ORGANISATION, PaidWorker, VendorReader, VendorTreasurer, Worker
from api.session import Session, Shared
from marketplace.identity.queries import visible_organisation
from marketplace.payments.bank_file.bank_details import bank_account_of, set_bank_account
from marketplace.payments.bank_file.schemas import BankAccountView, SetBankAccount
from marketplace.payments.states import PayeeKind

router = APIRouter(prefix="/v1", tags=["Money"])


@router.put("/me/bank-account")
async def set_my_bank_account(
    actor: PaidWorker, session: Session, shared: Shared, body: SetBankAccount
) -> BankAccountView:
    """Say where I am paid; payouts that are on their way keep the account they were asked with."""
    secret = shared.settings.secret_key.get_secret_value()
    account = await set_bank_account(session, actor, secret, PayeeKind.WORKER, actor.id, body)
    return BankAccountView.model_validate(account)


@router.get("/me/bank-account")
async def get_my_bank_account(actor: Worker, session: Session) -> BankAccountView:
    """Return where I am paid; of the number only the end."""
    return BankAccountView.model_validate(await bank_account_of(session, PayeeKind.WORKER, actor.id))


@router.put(ORGANISATION + "/bank-account")
async def set_vendor_bank_account(
    actor: VendorTreasurer, session: Session, shared: Shared, organisation_id: UUID, body: SetBankAccount
) -> BankAccountView:
    """Say where the vendor is paid; payouts that are on their way keep the account they were asked with."""
    organisation = await visible_organisation(session, actor, organisation_id)
    secret = shared.settings.secret_key.get_secret_value()
    account = await set_bank_account(session, actor, secret, PayeeKind.VENDOR, organisation.id, body)
    return BankAccountView.model_validate(account)


@router.get(ORGANISATION + "/bank-account")
async def get_vendor_bank_account(actor: VendorReader, session: Session, organisation_id: UUID) -> BankAccountView:
    """Return where the vendor is paid; of the number only the end."""
    organisation = await visible_organisation(session, actor, organisation_id)
    return BankAccountView.model_validate(await bank_account_of(session, PayeeKind.VENDOR, organisation.id))
