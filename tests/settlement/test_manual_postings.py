"""Four eyes: proposed by one, approved by another, posted once; and the routes of that."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlmodel import select

from marketplace.audit.models import AuditEntry
from marketplace.core.actor import Actor, ActorKind, Role
from marketplace.core.ids import new_id
from marketplace.identity.errors import PersonsOnly
from marketplace.identity.models import Person
from marketplace.ledger import accounts
from marketplace.settlement.manual import service
from marketplace.settlement.manual.errors import (
    InOwnFavour,
    ProposalDecided,
    SecondOperatorNeeded,
)
from marketplace.settlement.manual.models import ManualPosting
from marketplace.settlement.manual.states import ProposalState
from tests.factories.identity import bearer, make_enterprise, make_member
from tests.factories.money import committed, row_of, tamper
from tests.settlement.desk import WHY, bonus, person

PATH = "/v1/operator/manual-postings"


async def test_nothing_moves_until_a_second_operator_approves(desk):
    worker, proposal = await bonus(desk)
    assert await desk.balance(accounts.worker(worker)) == 0
    with pytest.raises(SecondOperatorNeeded):
        async with committed(desk.database) as session:
            await service.approve(session, desk.first, proposal.id, WHY)
    assert await desk.balance(accounts.worker(worker)) == 0
    approved = await desk.approve(proposal)
    assert (approved.state, approved.decided_by) == (ProposalState.APPROVED, desk.second.principal)
    assert await desk.balance(accounts.worker(worker)) == 900
    assert await desk.broken() == {}


async def test_trail_says_who_proposed_and_approved_and_why(desk):
    _, proposal = await bonus(desk)
    await desk.approve(proposal)
    async with desk.database.sessions() as session:
        rows = await session.exec(select(AuditEntry).where(AuditEntry.subject == f"manual_posting:{proposal.id}"))
        trail = {row.action: row for row in rows}
    assert trail["manual_posting.proposed"].principal == desk.first.principal
    approved = trail["manual_posting.approved"]
    assert (approved.principal, approved.facts["reason"]) == (desk.second.principal, WHY)
    assert approved.facts["terms"]["amount_minor"] == 900


async def test_what_was_proposed_never_changes(desk):
    _, proposal = await bonus(desk)
    async with desk.database.sessions() as session:
        with pytest.raises(ProgrammingError, match="permission denied"):
            await session.execute(text(f"UPDATE manual_posting SET terms = '{{}}' WHERE id = '{proposal.id}'"))


async def test_one_posting_when_two_approve_at_once(desk, operators):
    worker, proposal = await bonus(desk)
    async with committed(desk.database) as session:
        third = await make_member(session, operators[0].organisation, Role.OPERATOR_FINANCE)

    async def approve(actor):
        async with committed(desk.database) as session:
            return await service.approve(session, actor, proposal.id, WHY)

    ended = await asyncio.gather(approve(desk.second), approve(third.actor), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ended) == ["ManualPosting", "ProposalDecided"]
    assert await desk.balance(accounts.worker(worker)) == 900


@pytest.mark.parametrize("order", [("approve", "reject"), ("reject", "approve")])
async def test_one_decision_holds_when_approval_meets_rejection(desk, order):
    worker, proposal = await bonus(desk)
    acts = {"approve": (service.approve, desk.second), "reject": (service.reject, desk.first)}

    async def decide(act, actor):
        async with committed(desk.database) as session:
            return await act(session, actor, proposal.id, WHY)

    ended = await asyncio.gather(*(decide(*acts[name]) for name in order), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ended) == ["ManualPosting", "ProposalDecided"]
    row = await row_of(desk.database, ManualPosting, proposal.id)
    given = 900 if row.state is ProposalState.APPROVED else 0
    assert await desk.balance(accounts.worker(worker)) == given
    assert await desk.broken() == {}


async def test_rejected_proposal_is_not_approved_afterwards(desk):
    _, proposal = await bonus(desk)
    async with committed(desk.database) as session:
        await service.reject(session, desk.second, proposal.id, WHY)
    with pytest.raises(ProposalDecided):
        await desk.approve(proposal)


async def test_nobody_decides_by_key_or_in_their_own_favour(desk):
    terms = {"kind": "promo_bonus", "worker_id": desk.first.id, "amount_minor": 1, "currency": "CNY"}
    with pytest.raises(InOwnFavour):
        await desk.propose(**terms)
    proposal = await desk.propose(**terms | {"worker_id": desk.second.id})
    with pytest.raises(InOwnFavour):
        await desk.approve(proposal)
    key = Actor(
        kind=ActorKind.API_KEY, id=new_id(), organisation_id=desk.first.organisation_id,
        organisation_kind=desk.first.organisation_kind, roles=desk.first.roles, scopes=desk.first.scopes,
    )  # fmt: skip
    with pytest.raises(PersonsOnly):
        async with committed(desk.database) as session:
            await service.approve(session, key, proposal.id, WHY)


async def test_nobody_decides_in_favour_of_a_company_that_they_act_for(desk, database):
    async with committed(database) as session:
        theirs, other = await make_enterprise(session), await make_enterprise(session)
        for actor, company in ((desk.first, theirs), (desk.second, other)):
            await make_member(
                session, company.organisation, Role.FINANCE, person=await session.get_one(Person, actor.id)
            )

    def gift(company):
        legs = [
            {"account": "promo", "side": "debit", "amount_minor": 5},
            {"account": accounts.org_cash(company.organisation.id), "side": "credit", "amount_minor": 5},
        ]
        return {"kind": "manual", "currency": "CNY", "legs": legs}

    with pytest.raises(InOwnFavour):
        await desk.propose(**gift(theirs))
    proposal = await desk.propose(**gift(other))
    with pytest.raises(InOwnFavour):
        await desk.approve(proposal)


async def test_database_refuses_and_verify_names_what_one_person_did_alone(desk, database):
    _, proposal = await bonus(desk)
    await desk.approve(proposal)
    with pytest.raises(IntegrityError):
        await tamper(database, f"UPDATE manual_posting SET decided_by = proposed_by WHERE id = '{proposal.id}'")
    assert await desk.broken() == {}
    await tamper(database, f"DELETE FROM manual_posting WHERE id = '{proposal.id}'")
    assert set(await desk.broken()) == {"manual_postings"}


# Routes ---------------------------------------------------------------------------------------------------------------


async def test_routes_take_a_proposal_to_its_posting(app, client, operators, database):
    worker = await person(database)
    first, second = (bearer(app, party) for party in operators)
    terms = {"kind": "promo_bonus", "worker_id": str(worker), "amount_minor": 900, "currency": "CNY"}
    body, key = {"terms": terms, "reason": WHY}, {"Idempotency-Key": "p1"}
    made = await client.post(PATH, json=body, headers=first | key)
    again = await client.post(PATH, json=body, headers=first | key)
    assert (made.status_code, again.json()) == (201, made.json())
    path, decision = f"{PATH}/{made.json()['id']}", {"reason": WHY}
    own = await client.post(path + "/approve", json=decision, headers=first | {"Idempotency-Key": "a1"})
    assert (own.status_code, own.json()["code"]) == (403, "second_operator_needed")
    answers = [
        await client.post(path + "/approve", json=decision, headers=second | {"Idempotency-Key": "a2"})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert (await client.get(path, headers=first)).json() == answers[1].json()
    late = await client.post(path + "/reject", json=decision, headers=second | {"Idempotency-Key": "r1"})
    assert (late.status_code, late.json()["code"]) == (409, "manual_posting_decided")
    async with committed(database) as session:
        outsiders = [
            await make_enterprise(session),
            await make_member(session, operators[0].organisation, Role.ARBITRATOR),
        ]
    for outsider in outsiders:
        refused = await client.post(PATH, json=body, headers=bearer(app, outsider) | key)
        assert refused.status_code == 403
    bad = await client.post(
        PATH, json={"terms": {"kind": "gift"}, "reason": WHY}, headers=first | {"Idempotency-Key": "b"}
    )
    assert bad.status_code == 422


async def test_expired_proposal_is_listed_as_such_and_not_decided(app, client, operators, database, desk):
    _, proposal = await bonus(desk)
    _, other = await bonus(desk)
    finance = bearer(app, operators[1])
    await tamper(database, f"UPDATE manual_posting SET expires_at = created_at WHERE id = '{proposal.id}'")
    listed = {}
    for state in ("proposed", "expired", "approved"):
        page = (await client.get(PATH, params={"state": state}, headers=finance)).json()
        listed[state] = [(row["id"], row["state"]) for row in page["items"]]
    assert listed["expired"] == [(str(proposal.id), "expired")]
    assert listed["proposed"] == [(str(other.id), "proposed")]
    assert listed["approved"] == []
    for act in ("approve", "reject"):
        path = f"{PATH}/{proposal.id}/{act}"
        answer = await client.post(path, json={"reason": WHY}, headers=finance | {"Idempotency-Key": act})
        assert (answer.status_code, answer.json()["code"]) == (409, "manual_posting_expired")
