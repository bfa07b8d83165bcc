"""Judging a submission: one transaction in which verdict, claim, seat, record, consensus and pay agree."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.core.outbox import Outbox, emit
from marketplace.core.settings import Settings
from marketplace.quality.cases import Rules, gather_facts, load_rules
from marketplace.quality.consolidation import refresh
from marketplace.quality.gates.facts import Submission
from marketplace.quality.gates.runner import Judgement, run_gates
from marketplace.quality.models import Verdict, WorkerGold
from marketplace.quality.process import brake
from marketplace.quality.process.clauses import cited
from marketplace.quality.queries import lock_record, verdicts_of_claim
from marketplace.quality.states import Outcome
from marketplace.tasks import outcomes
from marketplace.tasks.queries import ClaimSheet, claim_sheet
from marketplace.tasks.states import ClaimState

DECIDED_BY_GATES: Final = "gates"
EXTEND_DELAY: Final = timedelta(seconds=0.3)
"""How long the wish for more answers waits, so that many judgements of one moment make one job."""


async def judge(
    session: AsyncSession, request_id: UUID, claim_id: UUID, revision: int, settings: Settings
) -> Verdict | None:
    """Judge one revision of a claim; a second run returns the first one's verdict.

    Locks, always in this order: the claim, the worker's record, the seat, the tasks by id. None when there is nothing
    to judge: the claim is not submitted with this revision; and when the brake holds a rejection for a person.
    """
    sheet = await claim_sheet(session, request_id, claim_id, lock=True)
    given = await verdicts_of_claim(session, request_id, claim_id)
    for verdict in given:
        if verdict.revision == revision:
            return verdict
    if sheet.claim.state is not ClaimState.SUBMITTED or sheet.claim.revision != revision:
        return None
    if await brake.is_held(session, request_id, claim_id, revision):
        return None
    record = await lock_record(session, request_id, sheet.claim.worker_id)
    rules = await load_rules(session, request_id)
    facts = await gather_facts(session, rules, sheet, record, given)
    judgement = run_gates(facts, rules.gates.definition)
    verdict = verdict_of(sheet, rules, judgement, settings)
    if verdict.outcome is not Outcome.ACCEPTED:
        verdict.evidence |= await cited(session, request_id, verdict.reason_code)
    session.add(_counted(record, facts))
    if verdict.outcome is Outcome.REJECTED and await brake.must_hold(session, request_id):
        await brake.hold(session, verdict)
        return None
    session.add(verdict)
    await session.flush()
    if judgement.too_fast:
        await outcomes.ask_more_gold(session, sheet)
    await follow(session, sheet, rules, verdict, settings)
    return verdict


def verdict_of(sheet: ClaimSheet, rules: Rules, judgement: Judgement, settings: Settings) -> Verdict:
    """Return the verdict that a judgement makes."""
    moment = now()
    verdict = Verdict(
        request_id=sheet.claim.request_id,
        claim_id=sheet.claim.id,
        revision=sheet.claim.revision,
        contract_id=sheet.claim.contract_id,
        worker_id=sheet.claim.worker_id,
        outcome=judgement.outcome,
        reason_code=judgement.reason,
        evidence={"gates": [result.as_json() for result in judgement.results]},
        gate_set_version=rules.gates.version,
        decided_by=DECIDED_BY_GATES,
        final_at=moment + timedelta(seconds=settings.appeal_window_seconds),
        created_at=moment,
    )
    if verdict.outcome is Outcome.REWORK:
        verdict.evidence["rework_until"] = _rework_until(verdict, settings).isoformat()
    return verdict


def _counted(record: WorkerGold, facts: Submission) -> WorkerGold:
    """Add this revision to the worker's record: every try counts, or clicking again would cost nothing."""
    record.right += facts.gold.right
    record.seen += facts.gold.seen
    record.agreed += facts.agreement.right
    record.compared += facts.agreement.seen
    return record


def _rework_until(verdict: Verdict, settings: Settings) -> datetime:
    return verdict.created_at + timedelta(seconds=settings.rework_window_seconds)


async def follow(session: AsyncSession, sheet: ClaimSheet, rules: Rules, verdict: Verdict, settings: Settings) -> None:
    """Do what the verdict means for claim, seat, tasks and pay."""
    if verdict.outcome is Outcome.REWORK:
        await outcomes.send_to_rework(session, sheet, _rework_until(verdict, settings))
        return
    if verdict.outcome is Outcome.ACCEPTED:
        await take(session, sheet, rules)
    else:
        await outcomes.reject(session, sheet)
    await ask_to_extend(session, sheet.claim.request_id, sheet.claim.contract_id)


async def take(session: AsyncSession, sheet: ClaimSheet, rules: Rules) -> None:
    """Let a claim's answers count: its tasks get a new consensus, and its worker is to be paid."""
    await outcomes.accept(session, sheet)
    await session.flush()
    await refresh(session, sheet.claim.request_id, rules, sheet.bundle.task_ids)
    claim = sheet.claim
    emit(
        session,
        "settlement.accrue",
        {"request_id": str(claim.request_id), "claim_id": str(claim.id), "revision": claim.revision},
    )


async def ask_to_extend(session: AsyncSession, request_id: UUID, contract_id: UUID) -> None:
    """Ask for more answers on a contract's tasks where they are needed, unless that is asked for already.

    A wish that is being fulfilled at this moment may miss this transaction; the sweep finds what it left.
    """
    payload = {"request_id": str(request_id), "contract_id": str(contract_id)}
    waiting = await session.exec(
        select(Outbox.id)
        .where(Outbox.kind == "quality.extend", col(Outbox.sent_at).is_(None), col(Outbox.payload).contains(payload))
        .limit(1)
    )
    if waiting.first() is None:
        emit(session, "quality.extend", payload, due_at=now() + EXTEND_DELAY)
