"""Two operators who propose and approve postings, and what they need in the books."""

from marketplace.core.ids import new_id
from marketplace.ledger import accounts, queries
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.settlement import accrual, release
from marketplace.settlement.manual import service
from marketplace.settlement.manual.schemas import ProposePosting
from marketplace.settlement.verify import verify_everything
from tests.factories.identity import make_person
from tests.factories.money import committed
from tests.settlement.work import make_deal

WHY = "the bank's letter of today"


class Desk:
    """Proposing and approving, each in a transaction of its own."""

    def __init__(self, database, operators, gateway):
        self.database, self.gateway = database, gateway
        self.first, self.second = (party.actor for party in operators)

    async def propose(self, **terms):
        async with committed(self.database) as session:
            command = ProposePosting.model_validate({"terms": terms, "reason": WHY})
            return await service.propose(session, self.first, command)

    async def approve(self, proposal):
        async with committed(self.database) as session:
            return await service.approve(session, self.second, proposal.id, WHY)

    async def post(self, **terms):
        return await self.approve(await self.propose(**terms))

    async def balance(self, path):
        async with self.database.sessions() as session:
            return await queries.balance(session, path, "CNY")

    async def txns(self, session, *keys):
        return await queries.txn_ids_of(session, list(keys))

    async def broken(self):
        async with self.database.sessions() as session:
            report = await verify_everything(session, self.gateway)
        return {check.name: check.breaks for check in report.checks if not check.holds}


async def person(database):
    async with committed(database) as session:
        return (await make_person(session)).id


async def bonus(desk, amount=900):
    worker = await person(desk.database)
    terms = {"kind": "promo_bonus", "worker_id": worker, "amount_minor": amount, "currency": "CNY"}
    return worker, await desk.propose(**terms)


async def released(desk, **options):
    """A deal with released work; returns it with the terms that claw that back."""
    deal = await make_deal(desk.database, **options)
    claim = await deal.accepted(worker=await person(desk.database))
    async with committed(desk.database) as session:
        await accrual.accrue(session, deal.request.id, claim.id, 1)
        await release.release_due(session)
    terms = {"kind": "claw_back", "request_id": deal.request.id, "claim_id": claim.id, "revision": 1}
    return deal, claim, terms


async def owed(desk, owner, amount):
    """Let somebody owe us money, as after a claw-back that found their account empty."""
    async with committed(desk.database) as session:
        legs = [debit(accounts.receivable(owner), amount), credit(accounts.PROMO, amount)]
        await ledger.post(session, f"owed:{new_id()}", "test.owed", legs, "CNY")
