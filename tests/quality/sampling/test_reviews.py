"""Reviews by sample over HTTP: the draw, who may review, blind doubles, arbitration, and what the plan decides."""

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlmodel import select

from marketplace.core.actor import Role
from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.core.ids import new_id
from marketplace.core.settings import Settings
from marketplace.quality.models import Consensus
from marketplace.quality.sampling.models import ItemReview, ReviewItem
from marketplace.quality.sampling.plans import drawn
from marketplace.quality.sampling.queries import newest_lot, reviewed_accuracy, reviewed_labels
from marketplace.quality.sampling.reviewing import HELD_FOR, Offer, offer
from marketplace.quality.sampling.states import Part
from marketplace.tasks.models import Claim, Task
from tests.factories.identity import (
    Party,
    bearer,
    make_approved_worker,
    make_enterprise,
    make_member,
    make_operator,
    make_vendor,
)
from tests.factories.matching import make_contract
from tests.quality.work import Work, choice, make_work

ITEMS = 60


@dataclass
class Desk:
    """A labeled request and the people around it."""

    client: httpx.AsyncClient
    app: FastAPI
    work: Work
    owner: Party
    reviewers: list[Party]
    stranger: Party
    operator: Party

    async def call(self, party: Party, method: str, path: str, body: Any = None) -> httpx.Response:
        path = f"/v1/requests/{self.work.request.id}{path}"
        return await self.client.request(method, path, json=body, headers=bearer(self.app, party))

    async def open(self, **draft: Any) -> dict[str, Any]:
        answer = await self.call(self.owner, "POST", "/review-lots", {"double_share": 0, "seed": 7, **draft})
        assert answer.status_code == 201, answer.text
        lot: dict[str, Any] = answer.json()
        return lot

    async def next(self, party: Party, lot: dict[str, Any]) -> httpx.Response:
        return await self.call(party, "POST", f"/review-lots/{lot['id']}/next")

    async def give(self, party: Party, lot: dict[str, Any], position: int, *, right: bool) -> httpx.Response:
        body = {"position": position, "right": right, "fault": None if right else "wrong_class"}
        return await self.call(party, "POST", f"/review-lots/{lot['id']}/reviews", body)

    async def review(self, party: Party, lot: dict[str, Any], *, right: bool) -> dict[str, Any]:
        taken = await self.next(party, lot)
        assert taken.status_code == 200, taken.text
        given = await self.give(party, lot, taken.json()["position"], right=right)
        assert given.status_code == 200, given.text
        state: dict[str, Any] = given.json()
        return state


async def label_all(work: Work) -> None:
    """Give every task a label without the work of people, which other tests do."""
    async with work.database.sessions() as session:
        for task in (await session.exec(select(Task).where(Task.request_id == work.request.id))).all():
            task.done = True
            session.add(task)
            session.add(
                Consensus(
                    request_id=work.request.id, task_id=task.id, value=choice("positive"), confidence=0.99,
                    distribution={}, answers=3, done=True,
                )
            )  # fmt: skip
        await session.commit()


@pytest.fixture
async def desk(client: httpx.AsyncClient, app: FastAPI, database: Database, settings: Settings) -> Desk:
    async with database.sessions() as session:
        owner, stranger = await make_enterprise(session), await make_enterprise(session)
        assert owner.organisation is not None
        reviewers = [await make_member(session, owner.organisation, Role.REVIEWER) for _ in range(2)]
        operator = await make_operator(session, Role.QUALITY_ASSESSOR)
        await session.commit()
    work = await make_work(database, settings, items=ITEMS, organisation=owner.organisation.id)
    await label_all(work)
    return Desk(client, app, work, owner, reviewers, stranger, operator)


async def test_draw_can_be_repeated_when_plan_and_population_are_known(desk: Desk) -> None:
    lot = await desk.open(method="single", aql=2.5)
    ids = sorted(await desk.work.tasks())
    assert lot["population_sha256"] == hashlib.sha256(b"".join(each.bytes for each in ids)).hexdigest()
    order = drawn(lot["plan"]["seed"], ids)
    taken = (await desk.next(desk.reviewers[0], lot)).json()
    assert (taken["position"], UUID(taken["item_id"])) == (1, order[0])
    assert taken["label"] == choice("positive")
    assert (await desk.next(desk.reviewers[0], lot)).json()["position"] == 1  # until it is given
    assert (await desk.next(desk.reviewers[1], lot)).json()["position"] == 2  # nobody else gets it meanwhile


async def test_label_stays_as_it_was_drawn_when_the_consensus_changes_later(desk: Desk) -> None:
    lot = await desk.open()
    async with desk.work.database.hot.acquire() as connection:
        await connection.execute('UPDATE consensus SET value = \'{"choice": "negative"}\'')
    assert (await desk.next(desk.reviewers[0], lot)).json()["label"] == choice("positive")


async def test_only_settled_labels_are_in_a_lot_while_production_goes_on(desk: Desk) -> None:
    async with desk.work.database.hot.acquire() as connection:
        await connection.execute("UPDATE task SET done = false WHERE id IN (SELECT id FROM task ORDER BY id LIMIT 20)")
    assert (await desk.open())["plan"]["lot_size"] == ITEMS - 20
    async with desk.work.database.hot.acquire() as connection:
        await connection.execute("UPDATE dataset_request SET state = 'in_acceptance'")
    assert (await desk.open())["plan"]["lot_size"] == ITEMS


async def test_inspection_is_tightened_when_two_of_the_lots_before_were_rejected(desk: Desk) -> None:
    for _ in range(2):
        lot = await desk.open(method="single", aql=2.5)
        assert lot["plan"]["inspection"] == "normal"
        while lot["state"] == "open":
            lot = await desk.review(desk.reviewers[0], lot, right=False)
    assert (await desk.open())["plan"]["inspection"] == "tightened"


async def test_plan_keeps_its_hash_and_shows_when_it_was_changed(desk: Desk) -> None:
    lot = await desk.open()
    assert (await desk.call(desk.owner, "GET", f"/review-lots/{lot['id']}")).json()["plan_holds"] is True
    async with desk.work.database.hot.acquire() as connection:
        await connection.execute("UPDATE review_lot SET plan = plan || '{\"accept_number\": 99}'")
    assert (await desk.call(desk.owner, "GET", f"/review-lots/{lot['id']}")).json()["plan_holds"] is False


async def test_sequential_lot_is_accepted_early_when_all_is_right(desk: Desk) -> None:
    lot = await desk.open(method="sprt", aql=2.5, p1=0.2)
    state, count = lot, 0
    while state["state"] == "open":
        state, count = await desk.review(desk.reviewers[count % 2], lot, right=True), count + 1
    assert (state["state"], state["items"], state["wrong"]) == ("accepted", count, 0)
    assert count < state["plan"]["limit"]
    detail = (await desk.call(desk.owner, "GET", f"/review-lots/{lot['id']}")).json()
    point = detail["curve"][count - 1]
    assert (point["wrong"], point["accept_at"]) == (0, 0)
    assert all(each["accept_at"] == -1 for each in detail["curve"][: count - 1])
    assert [each["wrong"] for each in detail["curve"][count:]] == [None] * (len(detail["curve"]) - count)
    assert detail["risks"][1]["accepted"] > 0.9
    gone = await desk.next(desk.reviewers[0], lot)
    assert (gone.status_code, gone.json()["code"]) == (409, "review_lot_decided")


async def test_rejected_lot_touches_no_pay_when_labels_are_wrong(desk: Desk) -> None:
    lot = await desk.open(method="single", aql=2.5)
    async with desk.work.database.hot.acquire() as connection:
        before = await connection.fetchval("SELECT count(*) FROM outbox WHERE kind LIKE 'settlement.%'")
    state, count = lot, 0
    while state["state"] == "open":
        state, count = await desk.review(desk.reviewers[0], lot, right=False), count + 1
    assert (state["state"], state["wrong"]) == ("rejected", count)
    assert count == state["plan"]["accept_number"] + 1
    async with desk.work.database.hot.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM outbox WHERE kind LIKE 'settlement.%'") == before
        assert await connection.fetchval("SELECT count(*) FROM verdict WHERE outcome = 'rejected'") == 0


async def test_second_reviewer_is_blind_and_a_third_decides_when_two_differ(desk: Desk) -> None:
    lot = await desk.open(method="single", double_share=1)
    first, second = desk.reviewers
    state = await desk.review(first, lot, right=True)
    assert state["items"] == 0  # half a finding counts nothing
    blind = (await desk.next(second, lot)).json()
    assert (blind["position"], blind["part"], blind["opinions"]) == (1, "review", [])
    assert (await desk.give(second, lot, 1, right=False)).json()["items"] == 0
    assert (await desk.next(first, lot)).json()["position"] == 2  # neither of the two decides
    assert (await desk.next(second, lot)).json()["position"] == 2
    deciding = (await desk.next(desk.operator, lot)).json()
    assert (deciding["position"], deciding["part"]) == (1, "arbitration")
    assert sorted(one["right"] for one in deciding["opinions"]) == [False, True]
    state = (await desk.give(desk.operator, lot, 1, right=True)).json()
    assert (state["items"], state["wrong"]) == (1, 0)
    detail = (await desk.call(desk.owner, "GET", f"/review-lots/{lot['id']}")).json()
    rates = sorted((row["double"], row["overruled"], row["error_rate"]) for row in detail["reviewers"])
    assert rates == [(1, 0, 0.0), (1, 1, 1.0)]
    assert all(0 <= row["low"] < row["high"] <= 1 for row in detail["reviewers"])
    assert not any(str(party.actor.id) in str(detail) for party in (first, second))


async def test_undecided_item_holds_back_those_behind_it_when_others_are_faster(desk: Desk) -> None:
    lot = await desk.open(method="single")
    await desk.next(desk.reviewers[0], lot)
    state = await desk.review(desk.reviewers[1], lot, right=True)
    assert state["items"] == 0
    assert (await desk.give(desk.reviewers[0], lot, 1, right=True)).json()["items"] == 2


async def test_finding_is_given_once_when_it_is_repeated_or_changed(desk: Desk) -> None:
    lot = await desk.open(method="single")
    assert (await desk.give(desk.reviewers[0], lot, 1, right=True)).json()["code"] == "review_not_taken"
    await desk.next(desk.reviewers[0], lot)
    first = await desk.give(desk.reviewers[0], lot, 1, right=True)
    again = await desk.give(desk.reviewers[0], lot, 1, right=True)
    assert (first.json(), again.status_code) == (again.json(), 200)
    assert (await desk.give(desk.reviewers[0], lot, 1, right=False)).json()["code"] == "review_given"


async def test_lapsed_item_goes_to_another_and_late_finding_is_refused(desk: Desk) -> None:
    lot = await desk.open(method="single")
    await desk.next(desk.reviewers[0], lot)
    async with desk.work.database.hot.acquire() as connection:
        await connection.execute("UPDATE item_review SET taken_at = taken_at - $1::interval", HELD_FOR)
    assert (await desk.review(desk.reviewers[1], lot, right=True))["items"] == 1
    assert (await desk.give(desk.reviewers[0], lot, 1, right=False)).json()["code"] == "review_lapsed"


async def test_lot_is_hidden_from_other_tenants_and_workers_are_refused(desk: Desk) -> None:
    lot = await desk.open()
    async with desk.work.database.sessions() as session:
        vendor, worker = await make_vendor(session), await make_approved_worker(session)
        assert vendor.organisation is not None
        await make_contract(session, desk.work.request, vendor.organisation.id)
        await session.commit()
    paths = [
        ("GET", "/review-lots", None), ("GET", f"/review-lots/{lot['id']}", None), ("GET", "/reviewed-accuracy", None),
        ("POST", f"/review-lots/{lot['id']}/next", None), ("POST", "/review-lots", {}),
        ("POST", f"/review-lots/{lot['id']}/reviews", {"position": 1, "right": True}),
    ]  # fmt: skip
    for method, path, body in paths:
        for party in (desk.stranger, vendor):
            assert (await desk.call(party, method, path, body)).status_code == 404, path
        assert (await desk.call(worker, method, path, body)).status_code == 403, path
    for method, path, body in paths[-3:-1]:
        assert (await desk.call(desk.operator, method, path, body)).status_code in {200, 201}, path
    assert (await desk.call(desk.reviewers[0], "POST", "/review-lots", {})).status_code == 403
    assert (await desk.call(desk.owner, "GET", f"/review-lots/{new_id()}")).status_code == 404


async def test_reviewer_is_refused_when_they_worked_on_the_lot_or_belong_to_its_vendor(desk: Desk) -> None:
    lot = await desk.open()
    worked, member = desk.reviewers
    async with desk.work.database.sessions() as session:
        vendor = await make_vendor(session)
        assert vendor.organisation is not None
        await make_contract(session, desk.work.request, vendor.organisation.id)
        await make_member(session, vendor.organisation, Role.FINANCE, person=member.person)
        await session.commit()
    claim = await desk.work.claim(await desk.work.worker(worked.actor.id))
    async with desk.work.database.sessions() as session:
        assert await session.get(Claim, (desk.work.request.id, claim.id)) is not None
    for party in (worked, member):
        refused = await desk.next(party, lot)
        assert (refused.status_code, refused.json()["code"]) == (403, "reviewer_involved")
    other = await desk.open(contract_id=str(desk.work.contract.id))
    assert (await desk.next(member, other)).status_code == 200  # none of their vendor's work is in it
    assert (await desk.next(worked, other)).status_code == 403


async def test_reviewed_accuracy_counts_each_item_once_when_lots_overlap(desk: Desk) -> None:
    for right in (False, True):
        lot = await desk.open(method="single", seed=3)
        await desk.review(desk.reviewers[0], lot, right=right)
    await desk.review(desk.reviewers[0], lot, right=False)
    async with desk.work.database.sessions() as session:
        found = await reviewed_accuracy(session, desk.work.request.id)
        assert sorted(label.right for label in await reviewed_labels(session, desk.work.request.id)) == [False, True]
        newest = await newest_lot(session, desk.work.request.id)
    assert newest is not None
    assert str(newest.id) == lot["id"]
    assert (found.right, found.wrong, found.estimate) == (1, 1, 0.5)
    assert [found.low, found.high] == pytest.approx([0.0607, 0.9393], abs=1e-3)
    shown = (await desk.call(desk.owner, "GET", "/reviewed-accuracy")).json()
    assert (shown["right"], shown["newest"]["id"]) == (1, lot["id"])


@pytest.mark.parametrize(
    ("draft", "status", "code"),
    [
        ({"aql": 3.0}, 422, "invalid"),
        ({"aql": 4.0, "p1": 0.02}, 400, "review_plan_invalid"),
        ({"contract_id": str(UUID(int=1))}, 400, "review_plan_invalid"),  # no labels: no such contract
    ],
)
async def test_lot_is_refused_when_its_plan_makes_no_sense(
    desk: Desk, draft: dict[str, Any], status: int, code: str
) -> None:
    answer = await desk.call(desk.owner, "POST", "/review-lots", draft)
    assert answer.status_code == status, answer.text
    if code != "invalid":
        assert answer.json()["code"] == code


async def test_finding_is_refused_when_it_does_not_say_what_is_wrong(desk: Desk) -> None:
    lot = await desk.open()
    for body in ({"position": 1, "right": False}, {"position": 1, "right": True, "fault": "missed"}):
        answer = await desk.call(desk.reviewers[0], "POST", f"/review-lots/{lot['id']}/reviews", body)
        assert answer.status_code == 422


async def test_lots_are_paged_newest_first_when_listed(desk: Desk) -> None:
    made = [(await desk.open(seed=seed))["id"] for seed in range(3)]
    page = (await desk.call(desk.owner, "GET", "/review-lots?limit=2")).json()
    assert [lot["id"] for lot in page["items"]] == made[:0:-1]
    rest = (await desk.call(desk.owner, "GET", f"/review-lots?limit=2&cursor={page['next_cursor']}")).json()
    assert ([lot["id"] for lot in rest["items"]], rest["next_cursor"]) == (made[:1], None)


async def test_two_reviewers_never_hold_one_single_item_when_they_ask_at_once(desk: Desk) -> None:
    lot = await desk.open(method="single")
    people = (*desk.reviewers, desk.owner, desk.operator)
    taken = await asyncio.gather(*(desk.next(party, lot) for party in people))
    assert sorted(answer.json()["position"] for answer in taken) == [1, 2, 3, 4]


def test_offer_skips_a_person_who_gave_already_when_an_item_is_double() -> None:
    request, lot, who, other, moment = new_id(), new_id(), new_id(), new_id(), now()
    item = ReviewItem(request_id=request, lot_id=lot, position=1, item_id=new_id(), label={}, is_double=True)
    mine = ItemReview(
        request_id=request, lot_id=lot, position=1, reviewer_id=who, part=Part.REVIEW, taken_at=moment, is_wrong=False,
        given_at=moment,
    )  # fmt: skip
    assert offer([item], [mine], who, arbitrates=True, moment=moment) is None
    assert offer([item], [mine], other, arbitrates=False, moment=moment) == Offer(1, Part.REVIEW)
