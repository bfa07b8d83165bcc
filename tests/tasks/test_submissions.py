"""Submissions: whole, once, never lost; drafts; late ones."""

from dataclasses import replace

import pytest

from marketplace.core.ids import new_id
from marketplace.tasks import claims, submissions
from marketplace.tasks.errors import AlreadySubmitted, AnswersInvalid, ClaimEnded, ClaimUnknown, SubmissionIncomplete
from marketplace.tasks.submissions import GivenAnswer
from tests.factories.work import RIGHT, answers_for, claim_and_submit, committed_work


async def _claimed(connection, work, *, worker=0, lease_seconds=600):
    person = work.workers[worker]
    claim = await claims.claim_seat(connection, work.command(person, lease_seconds=lease_seconds))
    answers = await answers_for(connection, work, person, claim)
    return person, claim, work.submission(person, claim, answers)


async def _expire(database):
    async with database.sessions() as session:
        await claims.expire_claims(session)
        await session.commit()


async def test_submission_is_acknowledged_alike_when_sent_again(database):
    work = await committed_work(database)
    async with database.hot.acquire() as connection:
        _, claim, submission = await _claimed(connection, work)
        first = await submissions.submit(connection, submission)
        again = await submissions.submit(connection, submission)
        assert first == again == submissions.Acknowledged("submitted", 1)
        answers = await connection.fetch("SELECT is_gold FROM answer WHERE claim_id = $1", claim.id)
        assert len(answers) == len(submission.answers)
        assert sum(row["is_gold"] for row in answers) == claim.gold_count == 1
        jobs = await connection.fetch("SELECT payload FROM outbox WHERE kind = 'quality.judge'")
        assert [job["payload"]["claim_id"] for job in jobs] == [str(claim.id)]
        with pytest.raises(AlreadySubmitted):
            await submissions.submit(connection, replace(submission, submission_id=new_id()))


async def test_nothing_is_taken_when_answers_are_missing_or_wrong(database):
    work = await committed_work(database)
    async with database.hot.acquire() as connection:
        _, claim, whole = await _claimed(connection, work)
        with pytest.raises(SubmissionIncomplete) as incomplete:
            await submissions.submit(connection, replace(whole, answers=whole.answers[:-1]))
        assert [field.field for field in incomplete.value.fields] == [f"answers.{whole.answers[-1].task_id}"]
        wrong = [replace(whole.answers[0], value={"choice": "neither"}), *whole.answers[1:]]
        with pytest.raises(AnswersInvalid) as invalid:
            await submissions.submit(connection, replace(whole, answers=wrong))
        assert invalid.value.fields[0].field.startswith(f"answers.{whole.answers[0].task_id}")
        foreign = [*whole.answers, GivenAnswer(new_id(), RIGHT, 1.0)]
        with pytest.raises(AnswersInvalid):
            await submissions.submit(connection, replace(whole, answers=foreign))
        with pytest.raises(AnswersInvalid):
            await submissions.submit(connection, replace(whole, answers=[*whole.answers, whole.answers[0]]))
        with pytest.raises(ClaimUnknown):
            await submissions.submit(connection, replace(whole, worker_id=work.workers[1].actor.id))
        assert await connection.fetchval("SELECT count(*) FROM answer") == 0
        assert await connection.fetchval("SELECT state FROM claim WHERE id = $1", claim.id) == "claimed"


async def test_draft_fills_what_the_submission_leaves_out(database):
    work = await committed_work(database)
    async with database.hot.acquire() as connection:
        person, claim, whole = await _claimed(connection, work)
        keys = (work.request.id, claim.id, person.actor.id)
        assert await submissions.save_draft(connection, *keys, whole.answers[:4]) == 4
        later = [replace(whole.answers[3], value={"choice": "negative"}), whole.answers[4]]
        assert await submissions.save_draft(connection, *keys, later) == 5
        saved = await submissions.read_draft(connection, *keys)
        assert saved[str(whole.answers[3].task_id)]["value"] == {"choice": "negative"}
        await submissions.submit(connection, replace(whole, answers=whole.answers[5:]))
        stored = await connection.fetchval(
            "SELECT value FROM answer WHERE claim_id = $1 AND task_id = $2", claim.id, whole.answers[3].task_id
        )
        assert stored == {"choice": "negative"}
        with pytest.raises(ClaimEnded):
            await submissions.save_draft(connection, *keys, whole.answers)
        await connection.execute("UPDATE draft SET saved_at = saved_at - interval '2 days'")
        async with database.sessions() as session:
            await claims.forget_drafts(session)
            await session.commit()
        assert await connection.fetchval("SELECT count(*) FROM draft") == 0


async def test_late_submission_is_taken_when_the_seat_is_still_free(database):
    work = await committed_work(database)
    async with database.hot.acquire() as connection:
        _, claim, submission = await _claimed(connection, work, lease_seconds=-1)
        await _expire(database)
        assert (await submissions.submit(connection, submission)).state == "submitted"
        assert (await submissions.submit(connection, submission)).state == "submitted"
        assert await connection.fetchval("SELECT state FROM claim WHERE id = $1", claim.id) == "submitted"
        held = "SELECT held FROM request_worker WHERE worker_id = $1"
        assert await connection.fetchval(held, submission.worker_id) == 0


async def test_late_submission_is_kept_and_explained_when_the_seat_is_taken(database):
    work = await committed_work(database, tasks=10, quality_plan={"overlap_min": 1})
    async with database.hot.acquire() as connection:
        _, claim, submission = await _claimed(connection, work, lease_seconds=-1)
        await _expire(database)
        other, _ = await claim_and_submit(database, work, work.workers[1])
        assert other.task_ids == claim.task_ids
        kept = await submissions.submit(connection, submission)
        assert (kept.state, kept.reason) == ("kept", submissions.LATE_REASON)
        assert await submissions.submit(connection, submission) == kept
        stored = await connection.fetch("SELECT answers FROM late_submission")
        assert len(stored) == 1
        assert len(stored[0]["answers"]) == len(submission.answers)
        assert await connection.fetchval("SELECT count(*) FROM answer WHERE claim_id = $1", claim.id) == 0
