"""A proof names bonuses among what fed a payout, and skips what was clawed back before it."""

import json

from marketplace.core.outbox import emit
from marketplace.ledger import accounts
from marketplace.ledger.seal import seal
from marketplace.payments.models import Payout
from marketplace.payments.states import PayeeKind, PayoutState
from marketplace.quality.aliases import worker_alias
from marketplace.settlement import accrual, release
from marketplace.settlement.bonus import give_bonus
from marketplace.settlement.proof import proof_of, signing_key
from marketplace.settlement.proof_format import check
from marketplace.settlement.schemas import GiveBonus
from tests.factories.identity import make_approved_worker
from tests.factories.money import ask_payout, ask_top_up, committed, put_off, row_of
from tests.jobs import run_outbox
from tests.settlement.work import make_deal


async def _paid(desk, resources, worker_id):
    """Have all of a worker's money paid out, and everything sealed."""
    payout = await ask_payout(desk.database, desk.gateway, worker_id)
    for _ in range(12):
        async with committed(desk.database) as session:
            emit(session, "sandbox.advance", {})
            emit(session, "payments.fill_gaps", {})  # no webhook is delivered here
        await put_off(desk.database)
        for kind in ("payments.", "sandbox.advance", "payments."):
            await run_outbox(resources, only=kind)
    async with committed(desk.database) as session:
        await seal(session)
    payout = await row_of(desk.database, Payout, payout.id)
    assert payout.state is PayoutState.PAID
    return payout


async def test_proof_names_bonus_and_skips_what_was_clawed_back(desk, settings, worker_resources):
    async with committed(desk.database) as session:
        worker = (await make_approved_worker(session)).person.id
    deal = await make_deal(desk.database)
    await ask_top_up(desk.database, desk.gateway, deal.request.organisation_id, 5_000_000)
    claims = [await deal.accepted(worker=worker) for _ in range(2)]
    async with committed(desk.database) as session:
        for claim in claims:
            await accrual.accrue(session, deal.request.id, claim.id, 1)
        await release.release_due(session)
    earned = await deal.balance(accounts.worker(worker))
    terms = {"kind": "claw_back", "request_id": deal.request.id, "claim_id": claims[0].id, "revision": 1}
    await desk.post(**terms, with_fee=False)
    async with committed(desk.database) as session:
        alias = worker_alias(deal.request.id, worker)
        command = GiveBonus(worker=alias, amount_minor=500, paid_from="cash", reason="谢谢")
        await give_bonus(session, deal.enterprise, deal.request.id, command)
    payout = await _paid(desk, worker_resources, worker)
    async with desk.database.sessions() as session:
        content = await proof_of(session, settings, PayeeKind.WORKER, worker, payout.id)
    check(content, [signing_key(settings).public_key()])
    sources = json.loads(content)["document"]["sources"]
    taken = [(source["taken_minor"], source["bundle"] is not None) for source in sources]
    assert taken == [(earned // 2, True), (500, False)]
    assert sum(amount for amount, _ in taken) == payout.gross_minor
