"""Settlement proofs: what was paid and for which work, signed by the operator."""

from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel

from api.auth import Public
from api.routes.money import ORGANISATION, VendorReader, Worker
from api.session import Session, Shared
from marketplace.core.signatures import public_jwk, published_keys
from marketplace.identity.queries import visible_organisation
from marketplace.payments.states import PayeeKind
from marketplace.settlement.proof import proof_of

router = APIRouter(prefix="/v1", tags=["Money"])


class ProofKeys(BaseModel):
    """The public keys of the operator's proofs, as JWKs."""

    keys: list[dict[str, str]]


@router.get("/proof-keys")
async def get_proof_keys(_: Public, shared: Shared) -> ProofKeys:
    """Return the keys that proofs of this operator are checked with."""
    return ProofKeys(keys=[public_jwk(key) for key in published_keys(shared.settings)])


@router.get("/me/payouts/{payout_id}/proof")
async def get_my_payout_proof(actor: Worker, session: Session, shared: Shared, payout_id: UUID) -> Response:
    """Return the signed proof of a payout that was paid to me; `kapok proof verify` checks it."""
    content = await proof_of(session, shared.settings, PayeeKind.WORKER, actor.id, payout_id)
    return Response(content, media_type="application/json")


@router.get(ORGANISATION + "/payouts/{payout_id}/proof")
async def get_vendor_payout_proof(
    actor: VendorReader, session: Session, shared: Shared, organisation_id: UUID, payout_id: UUID
) -> Response:
    """Return the signed proof of a payout that was paid to the vendor; `kapok proof verify` checks it."""
    organisation = await visible_organisation(session, actor, organisation_id)
    content = await proof_of(session, shared.settings, PayeeKind.VENDOR, organisation.id, payout_id)
    return Response(content, media_type="application/json")
