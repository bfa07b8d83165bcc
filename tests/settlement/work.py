"""Accepted work without the labelling: a funded request, its contract, claims and the verdicts on them."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.states import RequestState
from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.core.ids import new_id
from marketplace.ledger import accounts, queries
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.matching.models import Contract
from marketplace.quality.models import Verdict
from marketplace.quality.states import Outcome, ReasonCode
from marketplace.settlement import funding
from marketplace.tasks.models import Claim
from marketplace.tasks.states import ClaimState
from tests.factories.catalog import make_request
from tests.factories.identity import make_enterprise, make_vendor
from tests.factories.matching import make_contract
from tests.factories.money import committed

BUDGET = 1_000_000


@dataclass(frozen=True, slots=True)
class Deal:
    """A funded request with one contract."""

    database: Database
    enterprise: Actor
    request: DatasetRequest
    contract: Contract

    async def accepted(
        self, units: int = 10, *, outcome: Outcome = Outcome.ACCEPTED, worker: UUID | None = None
    ) -> Claim:
        """A claim of that many units, judged."""
        claim = Claim(
            request_id=self.request.id, contract_id=self.contract.id, seat_id=new_id(), bundle_id=new_id(),
            worker_id=worker or new_id(), key=str(new_id()), state=ClaimState(outcome.value), units=units,
            gold_start=0, gold_count=0, revision=1, lease_expires_at=now(),
        )  # fmt: skip
        verdict = Verdict(
            request_id=self.request.id, claim_id=claim.id, revision=1, contract_id=self.contract.id,
            worker_id=claim.worker_id, outcome=outcome, reason_code=ReasonCode.PASSED, evidence={"gates": []},
            gate_set_version="1", decided_by="gates", final_at=now(),
        )  # fmt: skip
        async with committed(self.database) as session:
            session.add_all([claim, verdict])
        return claim

    async def balance(self, path: str) -> int:
        """What stands on an account."""
        async with self.database.sessions() as session:
            return await queries.balance(session, path, self.request.currency)

    async def reserved(self) -> int:
        """What is left of the reserve."""
        return await self.balance(accounts.reserved(self.request.id))

    async def accrued(self) -> int:
        """What is accrued and not released."""
        return await self.balance(accounts.accrued(self.request.id, self.contract.id))


async def make_deal(
    database: Database, *, with_vendor: bool = False, contract: dict[str, Any] | None = None, **request: Any
) -> Deal:
    """Make a request with a contract, funded from a balance of twice its budget."""
    async with committed(database) as session:
        enterprise = await make_enterprise(session)
        organisation_id = enterprise.organisation.id
        fields = {"state": RequestState.IN_PRODUCTION, "budget_minor": BUDGET, "release_window_seconds": 0} | request
        made = await make_request(session, organisation_id, **fields)
        vendor = (await make_vendor(session)).organisation.id if with_vendor else None
        deal = await make_contract(session, made, vendor, **(contract or {}))
        await put_cash(session, organisation_id, 2 * BUDGET)
        await funding.fund(session, enterprise.actor, made.id, BUDGET)
    return Deal(database, enterprise.actor, made, deal)


async def put_cash(session, organisation_id: UUID, amount: int) -> None:
    """Put money on an enterprise's prepaid balance, as a transfer to the platform's bank would."""
    legs = [debit(accounts.bank("test"), amount), credit(accounts.org_cash(organisation_id), amount)]
    await ledger.post(session, f"cash:{new_id()}", "test.cash", legs, "CNY")
