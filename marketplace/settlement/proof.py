"""Putting a payout's proof together: what was paid, what fed it, for which accepted work, and under which seals.

It names only what the payee may read: their bundles, the verdicts on them, and hashes of the answers. A hash of
consensus labels is left out: for a few choices it could be guessed, and would tell which tasks are gold.
"""

from typing import Any
from uuid import UUID

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.core.settings import Settings
from marketplace.core.signatures import signing_key
from marketplace.ledger import queries as ledger
from marketplace.ledger.merkle import canonical, path_of, sha256_hex
from marketplace.ledger.seal import contents, headers_of, instant, leaves_of, seals_of
from marketplace.matching.models import Contract
from marketplace.payments.filing import taken_minor
from marketplace.payments.models import Payee, Payout, ProviderCall
from marketplace.payments.policy import payable_path, payout_key, payout_keys
from marketplace.payments.queries import payout_of
from marketplace.payments.states import PayeeKind, PayoutState
from marketplace.quality.models import Verdict
from marketplace.settlement import proof_format
from marketplace.settlement.errors import ProofNotYet
from marketplace.settlement.models import Accrual
from marketplace.tasks.models import Answer


async def proof_of(
    session: AsyncSession, settings: Settings, kind: PayeeKind, owner_id: UUID, payout_id: UUID
) -> bytes:
    """Return the signed proof of a payee's payout.

    Raises:
        PayoutUnknown: the payee has no such payout.
        ProofNotYet: it is not paid.
        ProofKeyMissing: the operator set no key.
    """
    key = signing_key(settings)
    payout = await payout_of(session, kind, owner_id, payout_id)
    if payout.state is not PayoutState.PAID:
        raise ProofNotYet
    path = payable_path(kind, owner_id)
    start = await _paid_before(session, payout, kind, owner_id)
    # What was clawed back, or reversed, before the payout fed no payout: it takes its turn among the credits too.
    start += await ledger.debited_before(
        session, path, payout.currency, payout_key(payout.id, "reserve"), but_kind="payout.reserve"
    )
    fed_by = await ledger.credits_between(session, path, payout.currency, start, start + payout.gross_minor)
    own = await ledger.txn_ids_of(session, payout_keys(payout.id))
    txn_ids = [*own, *(credit.txn_id for credit in fed_by)]
    transactions, blocks = await _transactions(session, txn_ids)
    document = {
        "issued_at": instant(now()),
        "payee": {"id": str(owner_id), "kind": kind.value},
        "payout": await _payout(session, payout, path),
        "rule": "credits in the order they were booked, after what earlier payouts and claw-backs used of them",
        "sources": [
            {
                "txn_id": str(credit.txn_id),
                "taken_minor": credit.taken_minor,
                "credited_minor": credit.credited_minor,
                "bundle": await _bundle(session, credit.facts),
            }
            for credit in fed_by
        ],
        "transactions": transactions,
        "blocks": blocks,
    }
    return proof_format.sign(document, key)


async def _paid_before(session: AsyncSession, payout: Payout, kind: PayeeKind, owner_id: UUID) -> int:
    payees = select(Payee.id).where(Payee.kind == kind, Payee.owner_id == owner_id)
    found = await session.exec(
        select(func.coalesce(func.sum(taken_minor()), 0)).where(
            col(Payout.payee_id).in_(payees),
            Payout.currency == payout.currency,
            col(Payout.id) < payout.id,
        )
    )
    return int(found.one())


async def _payout(session: AsyncSession, payout: Payout, path: str) -> dict[str, Any]:
    calls = await session.exec(
        select(ProviderCall).where(ProviderCall.subject_id == payout.id).order_by(col(ProviderCall.id))
    )
    return {
        "id": str(payout.id),
        "gross_minor": payout.gross_minor,
        "tax_minor": payout.tax_minor,
        "amount_minor": payout.amount_minor,
        "currency": payout.currency,
        "state": payout.state.value,
        "payable_path": path,
        "provider": payout.provider,
        "asked_at": instant(payout.created_at),
        "paid_at": instant(payout.paid_at) if payout.paid_at else None,
        "calls": [{"leg": call.leg.value, "ref": call.ref, "remote_id": call.remote_id} for call in calls],
    }


async def _bundle(session: AsyncSession, facts: dict[str, Any]) -> dict[str, Any] | None:
    if not {"request_id", "claim_id", "revision"} <= facts.keys():
        return None
    request_id, claim_id, revision = UUID(facts["request_id"]), UUID(facts["claim_id"]), int(facts["revision"])
    accrual = await session.get_one(Accrual, (request_id, claim_id, revision))
    contract = await session.get_one(Contract, (request_id, accrual.contract_id))
    of_claim = (Answer.request_id == request_id, Answer.claim_id == claim_id, Answer.revision == revision)
    answers = await session.exec(select(Answer.task_id, Answer.value).where(*of_claim).order_by(col(Answer.task_id)))
    return {
        "request_id": str(request_id),
        "claim_id": str(claim_id),
        "revision": revision,
        "contract": {
            "id": str(contract.id),
            "unit_price": contract.unit_price,
            "platform_fee_bps": contract.platform_fee_bps,
            "worker_share_bps": contract.worker_share_bps,
            "pay_workers_directly": contract.pay_workers_directly,
        },
        "split": {
            "units": accrual.units,
            "amount_minor": accrual.amount_minor,
            "fee_minor": accrual.fee_minor,
            "vendor_minor": accrual.vendor_minor,
            "worker_minor": accrual.worker_minor,
        },
        "verdict": await _verdict(session, request_id, claim_id, revision),
        "answers": [{"task_id": str(task), "sha256": sha256_hex(canonical(value))} for task, value in answers],
    }


async def _verdict(session: AsyncSession, request_id: UUID, claim_id: UUID, revision: int) -> dict[str, Any]:
    of_claim = (Verdict.request_id == request_id, Verdict.claim_id == claim_id, Verdict.revision == revision)
    verdict = (await session.exec(select(Verdict).where(*of_claim))).one()
    return {
        "outcome": verdict.outcome.value,
        "reason_code": verdict.reason_code.value,
        "gate_set_version": verdict.gate_set_version,
        "decided_by": "gates" if verdict.decided_by == "gates" else "person",
        "evidence_sha256": sha256_hex(canonical(verdict.evidence)),
    }


async def _transactions(
    session: AsyncSession, txn_ids: list[UUID]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the contents of transactions with their place in a block, and the headers of those blocks."""
    seals = await seals_of(session, txn_ids)
    numbers = sorted({seal.block_number for seal in seals.values()})
    leaves = {number: await leaves_of(session, number) for number in numbers}
    entries = []
    for content in await contents(session, txn_ids):
        seal = seals.get(UUID(content["id"]))
        place = seal and {
            "block": seal.block_number,
            "position": seal.position,
            "path": [node.hex() for node in path_of(leaves[seal.block_number], seal.position)],
        }
        entries.append({"content": content, "seal": place})
    return entries, await headers_of(session, numbers)
