"""Submissions: the answers of a whole bundle, taken once, whatever is repeated; drafts before, kindness after.

A submission is named by an id that the client makes. What was acknowledged is in the database with its job to judge it,
in one statement; sending it again gets the same acknowledgement.
"""

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec

from marketplace.catalog.json_values import json_problem
from marketplace.core.clock import now
from marketplace.core.errors import FieldProblem
from marketplace.core.ids import new_id
from marketplace.core.outbox import correlation
from marketplace.tasks.errors import (
    AlreadySubmitted,
    AnswersInvalid,
    ClaimEnded,
    ClaimUnknown,
    SubmissionIncomplete,
)
from marketplace.tasks.pools import RequestPool, request_pool

SHEET: Final = """
SELECT claim.state, claim.seat_id, claim.bundle_id, claim.contract_id, claim.gold_start, claim.gold_count,
       claim.submission_id, claim.revision, claim.created_at, bundle.task_ids
FROM claim JOIN bundle ON bundle.request_id = claim.request_id AND bundle.id = claim.bundle_id
WHERE claim.request_id = $1 AND claim.id = $2 AND claim.worker_id = $3
"""
SUBMIT: Final = """
WITH done AS (
    UPDATE claim SET state = 'submitted', submission_id = $4, submitted_at = $5, revision = claim.revision + 1,
                     active_seconds = coalesce(claim.active_seconds, 0) + $6
    FROM claim AS before
    WHERE claim.request_id = $1 AND claim.id = $2 AND claim.worker_id = $3 AND claim.state IN ('claimed', 'rework')
      AND claim.submission_id IS DISTINCT FROM $4
      AND before.request_id = claim.request_id AND before.id = claim.id
    RETURNING claim.seat_id, claim.revision, before.state AS before
), seated AS (
    UPDATE seat SET state = 'submitted' FROM done WHERE seat.request_id = $1 AND seat.id = done.seat_id
), less AS (
    UPDATE request_worker SET held = held - 1
    WHERE request_id = $1 AND worker_id = $3 AND EXISTS (SELECT 1 FROM done WHERE before = 'claimed')
), answered AS (
    INSERT INTO answer (request_id, task_id, worker_id, revision, claim_id, value, seconds, is_gold, created_at)
    SELECT $1, given.task_id, $3, done.revision, $2, given.value::jsonb, given.seconds, given.is_gold, $5
    FROM done CROSS JOIN unnest($7::uuid[], $8::text[], $9::float8[], $10::bool[])
        AS given(task_id, value, seconds, is_gold)
), asked AS (
    INSERT INTO outbox (id, kind, payload, context, due_at, created_at)
    SELECT $11, 'quality.judge',
           jsonb_build_object('request_id', $1::uuid, 'claim_id', $2::uuid, 'revision', done.revision), $12, $5, $5
    FROM done
)
SELECT revision FROM done
"""
_SAVE_DRAFT: Final = """
INSERT INTO draft (request_id, claim_id, answers, saved_at, created_at)
SELECT request_id, id, $4, now(), now() FROM claim
WHERE request_id = $1 AND id = $2 AND worker_id = $3 AND state IN ('claimed', 'rework')
ON CONFLICT (request_id, claim_id) DO UPDATE SET answers = draft.answers || excluded.answers, saved_at = now()
RETURNING (SELECT count(*) FROM jsonb_object_keys(answers))
"""
_DRAFT: Final = "SELECT answers FROM draft WHERE request_id = $1 AND claim_id = $2"
_ITEMS: Final = "SELECT id, data FROM item WHERE request_id = $1 AND id = ANY($2)"
_LOCK_WORKER: Final = "SELECT 1 FROM request_worker WHERE request_id = $1 AND worker_id = $2 FOR UPDATE"
# Only what the worker has not met again meanwhile, by another claim or a reservation: no item is answered twice.
_TAKE_BACK: Final = """
WITH late AS (
    SELECT bundle.task_ids FROM claim JOIN bundle ON bundle.request_id = $1 AND bundle.id = claim.bundle_id
    WHERE claim.request_id = $1 AND claim.id = $2 AND claim.state = 'expired'
), met AS (
    SELECT bundle_id FROM claim WHERE request_id = $1 AND worker_id = $4 AND id <> $2
       AND (state NOT IN ('returned', 'expired') OR revision > 0)
    UNION ALL SELECT bundle_id FROM open_seat WHERE request_id = $1 AND reserved_for = $4 AND seat_id <> $3
), freed AS (
    DELETE FROM open_seat
    WHERE request_id = $1 AND seat_id = $3 AND EXISTS (SELECT 1 FROM late) AND NOT EXISTS (
        SELECT 1 FROM late CROSS JOIN met JOIN bundle ON bundle.request_id = $1 AND bundle.id = met.bundle_id
        WHERE bundle.task_ids && late.task_ids)
    RETURNING blocks
), seated AS (
    UPDATE seat SET state = 'claimed' WHERE request_id = $1 AND id = $3 AND EXISTS (SELECT 1 FROM freed)
), counted AS (
    UPDATE request_worker w SET held = held + 1, seen_blocks = w.seen_blocks || freed.blocks
    FROM freed WHERE w.request_id = $1 AND w.worker_id = $4
)
UPDATE claim SET state = 'claimed' WHERE request_id = $1 AND id = $2 AND state = 'expired'
    AND EXISTS (SELECT 1 FROM freed) RETURNING id
"""
_KEEP_LATE: Final = """
INSERT INTO late_submission (request_id, id, claim_id, worker_id, submission_id, answers, reason, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, now()) ON CONFLICT (request_id, claim_id) DO NOTHING
"""
LATE_REASON: Final = (
    "Your lease on this bundle had ended and somebody else has taken the seat. Your answers are kept and shown to the "
    "operator; they are not counted and not paid. Renew the lease while you work, or save less often than it lasts."
)


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """One answer as the client sent it; `seconds` is the time spent on it, measured by the client."""

    task_id: UUID
    value: Any
    seconds: float


@dataclass(frozen=True, slots=True)
class Submission:
    """A whole bundle's answers under a client-made id."""

    request_id: UUID
    claim_id: UUID
    worker_id: UUID
    submission_id: UUID
    answers: list[GivenAnswer]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What became of a submission: "submitted" (counted, will be judged) or "kept" (came too late; why)."""

    state: str
    revision: int
    reason: str = ""


async def submit(connection: Any, submission: Submission) -> Acknowledged:
    """Take a submission, merging the draft in for tasks it does not name.

    Raises:
        ClaimUnknown: the worker has no such claim.
        SubmissionIncomplete, AnswersInvalid: with each task that is wrong; nothing is taken.
        AlreadySubmitted: the claim was submitted under another id.
        ClaimEnded: it was returned by the worker, or decided on.
    """
    sheet = await connection.fetchrow(SHEET, submission.request_id, submission.claim_id, submission.worker_id)
    if sheet is None:
        raise ClaimUnknown
    pool = await request_pool(connection, submission.request_id)
    gold = pool.gold_span(submission.worker_id, sheet["gold_start"], sheet["gold_count"], sheet["created_at"])
    answers = await _complete(connection, submission, {*sheet["task_ids"], *gold})
    await _check(connection, pool, submission.request_id, answers)
    revision = await _take(connection, submission, answers, frozenset(gold))
    if revision is not None:
        return Acknowledged("submitted", revision)
    return await _not_taken(connection, submission, answers, frozenset(gold))


async def _complete(connection: Any, submission: Submission, wanted: set[UUID]) -> list[GivenAnswer]:
    """Return one answer for each task of the claim: the submission's, else the draft's."""
    given = _by_task(submission.answers, wanted)
    if missing := wanted - given.keys():
        saved = await connection.fetchval(_DRAFT, submission.request_id, submission.claim_id) or {}
        for task in list(missing):
            if (draft := saved.get(str(task))) is not None:
                given[task] = GivenAnswer(task, draft["value"], draft["seconds"])
                missing.discard(task)
    if missing:
        raise SubmissionIncomplete(
            f"{len(missing)} of {len(wanted)} tasks have no answer.",
            fields=[FieldProblem(f"answers.{task}", "has no answer") for task in sorted(missing)],
        )
    return list(given.values())


def _by_task(answers: list[GivenAnswer], wanted: set[UUID]) -> dict[UUID, GivenAnswer]:
    """Return the answers by task; refuse those to tasks that are not asked for, and two to one task."""
    given = {answer.task_id: answer for answer in answers}
    if foreign := given.keys() - wanted:
        raise _invalid(foreign, "is not a task of this claim")
    if len(given) != len(answers):
        times = Counter(answer.task_id for answer in answers)
        raise _invalid({task for task, count in times.items() if count > 1}, "is answered twice")
    return given


def _invalid(tasks: Set[UUID], reason: str) -> AnswersInvalid:
    return AnswersInvalid(fields=[FieldProblem(f"answers.{task}", reason) for task in sorted(tasks)])


async def _check(connection: Any, pool: RequestPool, request_id: UUID, answers: list[GivenAnswer]) -> None:
    """Refuse answers that the label schema refuses, naming each."""
    data: dict[UUID, Any] = {}
    if pool.needs_items:
        rows = await connection.fetch(_ITEMS, request_id, [answer.task_id for answer in answers])
        data = {row["id"]: row["data"] for row in rows}
    fields = [
        FieldProblem(".".join(part for part in ("answers", str(answer.task_id), problem.field) if part), problem.reason)
        for answer in answers
        for problem in pool.validator.problems(answer.value, data.get(answer.task_id, {}))
    ]
    if fields:
        raise AnswersInvalid(fields=fields)


async def _take(
    connection: Any, submission: Submission, answers: list[GivenAnswer], gold: frozenset[UUID]
) -> int | None:
    revision: int | None = await connection.fetchval(
        SUBMIT,
        submission.request_id,
        submission.claim_id,
        submission.worker_id,
        submission.submission_id,
        now(),
        sum(answer.seconds for answer in answers),
        [answer.task_id for answer in answers],
        [msgspec.json.encode(answer.value).decode() for answer in answers],
        [answer.seconds for answer in answers],
        [answer.task_id in gold for answer in answers],
        new_id(),
        correlation(),
    )
    return revision


async def _not_taken(
    connection: Any, submission: Submission, answers: list[GivenAnswer], gold: frozenset[UUID]
) -> Acknowledged:
    """Tell a repeated submission from a late one and from a wrong one."""
    keys = (submission.request_id, submission.claim_id, submission.worker_id)
    sheet = await connection.fetchrow(SHEET, *keys)
    if sheet["submission_id"] == submission.submission_id:
        return Acknowledged("submitted", sheet["revision"])
    if sheet["state"] == "expired":
        return await _take_late(connection, submission, answers, gold)
    if sheet["state"] == "submitted":
        raise AlreadySubmitted
    raise ClaimEnded(f"It is {sheet['state']}.", state=sheet["state"])


async def _take_late(
    connection: Any, submission: Submission, answers: list[GivenAnswer], gold: frozenset[UUID]
) -> Acknowledged:
    """Take work whose lease has ended when its seat is still free; else keep it and say why it does not count."""
    request_id, claim_id, worker_id = submission.request_id, submission.claim_id, submission.worker_id
    async with connection.transaction():
        await connection.execute(_LOCK_WORKER, request_id, worker_id)
        sheet = await connection.fetchrow(SHEET, request_id, claim_id, worker_id)
        if sheet["submission_id"] == submission.submission_id:
            return Acknowledged("submitted", sheet["revision"])
        taken = await connection.fetchval(_TAKE_BACK, request_id, claim_id, sheet["seat_id"], worker_id)
        if taken is not None:
            revision = await _take(connection, submission, answers, gold)
            if revision is None:
                raise ClaimEnded
            return Acknowledged("submitted", revision)
    kept, late_id = _as_json(answers), new_id()
    await connection.execute(
        _KEEP_LATE, request_id, late_id, claim_id, worker_id, submission.submission_id, kept, LATE_REASON
    )
    return Acknowledged("kept", sheet["revision"], LATE_REASON)


def _as_json(answers: list[GivenAnswer]) -> dict[str, Any]:
    return {str(answer.task_id): {"value": answer.value, "seconds": answer.seconds} for answer in answers}


async def save_draft(
    connection: Any, request_id: UUID, claim_id: UUID, worker_id: UUID, answers: list[GivenAnswer]
) -> int:
    """Save answers before the submission; later saves of a task replace earlier ones. Returns how many are saved.

    A draft may still break the label schema, but names only tasks of the claim and holds only what can be stored.

    Raises:
        ClaimUnknown, ClaimEnded: the claim is not the worker's, or cannot be worked on any more.
        AnswersInvalid: with each task that is not the claim's, and each value that cannot be stored.
    """
    sheet = await connection.fetchrow(SHEET, request_id, claim_id, worker_id)
    if sheet is None:
        raise ClaimUnknown
    pool = await request_pool(connection, request_id)
    gold = pool.gold_span(worker_id, sheet["gold_start"], sheet["gold_count"], sheet["created_at"])
    given = _by_task(answers, {*sheet["task_ids"], *gold})
    unkept = [(task, problem) for task, answer in given.items() if (problem := json_problem(answer.value))]
    if unkept:
        raise AnswersInvalid(fields=[FieldProblem(f"answers.{task}", problem) for task, problem in unkept])
    count: int | None = await connection.fetchval(_SAVE_DRAFT, request_id, claim_id, worker_id, _as_json(answers))
    if count is None:
        raise ClaimEnded(f"It is {sheet['state']}.", state=sheet["state"])
    return count


async def read_draft(connection: Any, request_id: UUID, claim_id: UUID, worker_id: UUID) -> dict[str, Any]:
    """Return the saved answers of a claim of this worker, by task id; empty when nothing was saved."""
    if await connection.fetchrow(SHEET, request_id, claim_id, worker_id) is None:
        raise ClaimUnknown
    saved: dict[str, Any] = await connection.fetchval(_DRAFT, request_id, claim_id) or {}
    return saved
