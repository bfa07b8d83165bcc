"""Claims: exclusive, leased, idempotent; what a worker may not claim."""

import pytest
from sqlalchemy import text
from sqlmodel import select

from marketplace.catalog.states import RequestState
from marketplace.core.actor import Role
from marketplace.core.ids import new_id
from marketplace.identity.models import Organisation
from marketplace.tasks import bundles, claims, feed, policy
from marketplace.tasks.errors import (
    ClaimEnded,
    ClaimUnknown,
    GuidelineNotConfirmed,
    GuidelineVersionWrong,
    NotEligible,
    NothingOpen,
    TooManyClaims,
    WorkUnknown,
)
from marketplace.tasks.models import RequestWorker
from marketplace.tasks.pools import request_pool
from tests.factories.identity import make_approved_vendor, make_approved_worker, make_member, make_person
from tests.factories.work import claim_and_submit, committed_work, gold_of, make_work


async def test_bundles_hold_every_item_once_and_seats_are_the_overlap(session):
    work = await make_work(session, tasks=43, gold=3)
    found = await session.execute(
        text("SELECT task_ids, blocks FROM bundle WHERE request_id = :r"), {"r": work.request.id}
    )
    rows = found.all()
    ids = [task for row in rows for task in row.task_ids]
    assert len(ids) == len(set(ids)) == 43
    assert len(rows) == 5
    seats = await session.execute(text("SELECT count(*) FROM open_seat WHERE request_id = :r"), {"r": work.request.id})
    assert seats.scalar_one() == 10
    assert work.request.state is RequestState.IN_PRODUCTION


async def test_building_changes_nothing_when_run_again(session):
    work = await make_work(session)
    await bundles.build_bundles(session, work.request.id, work.contract.id)
    seats = await session.execute(text("SELECT count(*) FROM seat WHERE request_id = :r"), {"r": work.request.id})
    assert seats.scalar_one() == 8


async def test_claim_is_the_same_when_its_key_comes_again(database):
    work = await committed_work(database)
    worker = work.workers[0]
    async with database.hot.acquire() as connection:
        first = await claims.claim_seat(connection, work.command(worker, "the same key"))
        again = await claims.claim_seat(connection, work.command(worker, "the same key"))
        other = await claims.claim_seat(connection, work.command(worker, "another key"))
    assert first == again
    assert not set(first.task_ids) & set(other.task_ids)


async def test_worker_never_meets_an_item_or_a_gold_twice(database):
    work = await committed_work(database, tasks=40, gold=3)
    worker = work.workers[0]
    tasks, golds = [], []
    async with database.hot.acquire() as connection:
        for _ in range(4):
            claim, _ = await claim_and_submit(database, work, worker)
            tasks += claim.task_ids
            golds += await gold_of(connection, work, worker, claim)
        with pytest.raises(NothingOpen):
            await claims.claim_seat(connection, work.command(worker))
    assert len(tasks) == len(set(tasks)) == 40
    assert len(golds) == len(set(golds)) == 3


async def test_claim_is_refused_when_the_worker_holds_too_many(database):
    work = await committed_work(database)
    async with database.hot.acquire() as connection:
        for _ in range(policy.MAX_HELD):
            held = await claims.claim_seat(connection, work.command(work.workers[0]))
        with pytest.raises(TooManyClaims):
            await claims.claim_seat(connection, work.command(work.workers[0]))
        await claims.return_claim(connection, work.request.id, held.id, work.workers[0].actor.id)
        await claims.claim_seat(connection, work.command(work.workers[0]))


async def test_returned_seat_goes_to_somebody_else_and_the_claim_has_ended(database):
    work = await committed_work(database, tasks=10, quality_plan={"overlap_min": 1})
    first, second = work.workers
    keys = (work.request.id,)
    async with database.hot.acquire() as connection:
        held = await claims.claim_seat(connection, work.command(first))
        with pytest.raises(NothingOpen):
            await claims.claim_seat(connection, work.command(second))
        await claims.return_claim(connection, *keys, held.id, first.actor.id)
        await claims.return_claim(connection, *keys, held.id, first.actor.id)
        taken = await claims.claim_seat(connection, work.command(second))
        assert taken.task_ids == held.task_ids
        with pytest.raises(ClaimEnded):
            await claims.renew(connection, *keys, held.id, first.actor.id, lease_seconds=60)
        with pytest.raises(ClaimUnknown):
            await claims.return_claim(connection, *keys, taken.id, first.actor.id)


async def test_lapsed_claims_expire_and_their_seats_are_open_again(database):
    work = await committed_work(database, tasks=30, quality_plan={"overlap_min": 1})
    async with database.hot.acquire() as connection:
        for _ in range(2):
            await claims.claim_seat(connection, work.command(work.workers[0], lease_seconds=-1))
        alive = await claims.claim_seat(connection, work.command(work.workers[1]))
        async with database.sessions() as session:
            assert await claims.expire_claims(session) == 2
            await session.commit()
        held = await connection.fetch("SELECT worker_id, held, seen_blocks FROM request_worker ORDER BY held")
        assert [row["held"] for row in held] == [0, 1]
        assert held[0]["seen_blocks"] == []
        claimed = [await claims.claim_seat(connection, work.command(work.workers[0])) for _ in range(2)]
    assert not {task for claim in claimed for task in claim.task_ids} & set(alive.task_ids)


async def test_lease_ends_for_good_when_it_was_renewed_often(database):
    work = await committed_work(database)
    worker = work.workers[0]
    async with database.hot.acquire() as connection:
        held = await claims.claim_seat(connection, work.command(worker, lease_seconds=60))
        ends = await claims.renew(connection, work.request.id, held.id, worker.actor.id, lease_seconds=60)
        assert ends >= held.lease_expires_at
        await connection.execute("UPDATE claim SET created_at = created_at - interval '1 day'")
        again = await claims.renew(connection, work.request.id, held.id, worker.actor.id, lease_seconds=60)
    assert again == ends


async def test_claim_is_refused_when_the_guideline_is_not_confirmed(database):
    work = await committed_work(database, workers=0)
    async with database.sessions() as session:
        stranger = await make_approved_worker(session)
        await session.commit()
    async with database.hot.acquire() as connection:
        with pytest.raises(GuidelineNotConfirmed):
            await claims.claim_seat(connection, work.command(stranger))


async def test_claim_is_refused_when_the_request_is_suspended(database):
    work = await committed_work(database)
    async with database.hot.acquire() as connection:
        await connection.execute("UPDATE dataset_request SET state = 'suspended', suspended_from = 'in_production'")
        with pytest.raises(NothingOpen):
            await claims.claim_seat(connection, work.command(work.workers[0]))


async def test_confirmation_needs_what_the_contract_asks_for(session):
    vendor = await make_approved_vendor(session)
    work = await make_work(session, vendor=vendor, languages=["vi"], residency=["CN"], workers=0)
    ids = (work.request.id, work.contract.id)
    engaged = [vendor.organisation]
    able = await make_approved_worker(session, vendors=engaged)
    with pytest.raises(GuidelineVersionWrong):
        await feed.confirm_guideline(session, able.actor.id, *ids, version=9)
    await feed.confirm_guideline(session, able.actor.id, *ids, version=1)
    for other in (
        await make_approved_worker(session, languages=["zh"], vendors=engaged),
        await make_approved_worker(session, country="US", vendors=engaged),
    ):
        with pytest.raises(NotEligible):
            await feed.confirm_guideline(session, other.actor.id, *ids, version=1)
    for hidden in (await make_approved_worker(session), await make_person(session)):
        with pytest.raises(WorkUnknown):
            await feed.confirm_guideline(session, getattr(hidden, "person", hidden).id, *ids, version=1)


async def test_residency_may_name_a_region(session):
    work = await make_work(session, residency=["CN-GX"], workers=1)
    elsewhere = await make_approved_worker(session, region="CN-BJ")
    with pytest.raises(NotEligible):
        await feed.confirm_guideline(session, elsewhere.actor.id, work.request.id, work.contract.id, version=1)
    entries = (await feed.read_feed(session, work.workers[0].actor.id)).entries
    assert [entry.missing for entry in entries] == [[]]


async def test_contract_closes_to_a_worker_who_is_no_longer_engaged(session):
    vendor = await make_approved_vendor(session)
    work = await make_work(session, vendor=vendor, workers=1)
    worker = work.workers[0].actor.id
    await session.execute(text("UPDATE membership SET state = 'ended' WHERE person_id = :p"), {"p": worker})
    await feed.recheck_worker(session, worker)
    left = await session.execute(text("SELECT contract_ids FROM request_worker WHERE worker_id = :p"), {"p": worker})
    assert left.scalar_one() == []


async def test_feed_shows_pay_and_what_is_missing(session):
    work = await make_work(session, languages=["vi"], unit_price_ceiling=350_000, seconds_per_task=6.0)
    able, unable = work.workers[0], await make_approved_worker(session, languages=["zh"])
    entry = (await feed.read_feed(session, able.actor.id)).entries[0]
    assert entry.is_confirmed
    assert entry.open_seats_for_you
    assert entry.missing == []
    assert entry.pay_per_bundle_minor == 315  # 10 answers at 35 fen, less the fee of 10 %
    assert entry.pay_per_hour_minor == 18_900
    assert not entry.is_measured
    lacking = (await feed.read_feed(session, unable.actor.id)).entries[0]
    assert lacking.missing == ["the language vi must be in your profile"]
    assert not lacking.is_confirmed
    assert (await feed.read_feed(session, new_id())).entries[0].missing


async def test_worker_is_not_eligible_when_they_belong_to_the_reviewing_organisation(session):
    work = await make_work(session, workers=1)
    worker = work.workers[0]
    organisation = await session.get_one(Organisation, work.request.organisation_id)
    await make_member(session, organisation, Role.REVIEWER, person=worker.person)
    with pytest.raises(NotEligible, match="reviews this work"):
        await feed.confirm_guideline(session, worker.actor.id, work.request.id, work.contract.id, version=1)
    await feed.recheck_worker(session, worker.actor.id)
    found = await session.exec(select(RequestWorker.contract_ids).where(RequestWorker.worker_id == worker.actor.id))
    assert found.one() == []


@pytest.mark.parametrize(("state", "suspended_from"), [("open", None), ("suspended", "open"), ("cancelled", None)])
async def test_rules_are_not_remembered_while_they_may_change(database, state, suspended_from):
    work = await committed_work(database, workers=0)
    async with database.hot.acquire() as connection:
        await connection.execute("UPDATE dataset_request SET state = $1, suspended_from = $2", state, suspended_from)
        with pytest.raises(WorkUnknown):
            await request_pool(connection, work.request.id)
        await connection.execute("UPDATE dataset_request SET state = 'suspended', suspended_from = 'in_production'")
        assert len((await request_pool(connection, work.request.id)).gold_ids) == 4
