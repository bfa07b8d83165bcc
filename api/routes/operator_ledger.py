"""The operator's console of money: trial balance, timelines, calls of open outcome, and jobs that failed for good."""

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Allow
from api.routes.money import Paging
from api.session import Session, Shared
from marketplace.audit.service import record
from marketplace.core import dead_letters
from marketplace.core.actor import Actor, OrganisationKind, Role, Scope
from marketplace.core.outbox import DeadLetter
from marketplace.core.paging import Page
from marketplace.ledger.trial_balance import TrialBalance, trial_balances
from marketplace.payments import calls_console, reconcile_runs
from marketplace.payments.providers import open_gateway
from marketplace.payments.queries import provider_of_call
from marketplace.payments.schemas import Reason
from marketplace.payments.states import CallState, Leg, Subject
from marketplace.settlement.schemas import TimelineEntry
from marketplace.settlement.timeline import TimelineOf, timeline

router = APIRouter(prefix="/v1/operator", tags=["Money"])

MAX_AGE_SECONDS = 30 * 24 * 3600
Reader = Annotated[Actor, Allow(Scope.MONEY_READ, Role.OPERATOR_FINANCE, Role.ADMIN, kind=OrganisationKind.OPERATOR)]
Finance = Annotated[Actor, Allow(Scope.MONEY_WRITE, Role.OPERATOR_FINANCE, Role.ADMIN, kind=OrganisationKind.OPERATOR)]
Operator = Annotated[Actor, Allow(Scope.OPERATE, Role.OPERATOR_FINANCE, Role.ADMIN, kind=OrganisationKind.OPERATOR)]


class WithReason(BaseModel):
    """An operator's act on somebody's money, and why."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


class AdoptRemote(WithReason):
    """The object at the provider that is the outcome of a call."""

    remote_id: Annotated[str, Field(min_length=1, max_length=255)]


class CallView(BaseModel):
    """A call to a payment provider; what was asked, and what is known of its outcome."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    provider: str
    subject: Subject
    subject_id: UUID
    leg: Leg
    attempt: int
    ref: str
    request: dict[str, Any]
    state: CallState
    tries: int
    remote_id: str | None
    error: str | None
    created_at: datetime
    finished_at: datetime | None


class ReconciliationView(BaseModel):
    """One comparison of our books with a provider's."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    provider: str
    holds: bool
    breaks: int
    created_at: datetime


class ReconciliationDetail(ReconciliationView):
    """A comparison with its checks: name, rule, figures, breaks."""

    checks: list[dict[str, Any]]


class DeadLetterView(BaseModel):
    """A job that failed for good, why, and what became of it."""

    model_config = ConfigDict(from_attributes=True)

    job_id: UUID
    kind: str
    payload: dict[str, Any]
    error: str
    tries: int
    created_at: datetime
    resolved_at: datetime | None
    resolution: str | None


@router.get("/ledger/trial-balance")
async def get_trial_balance(_actor: Reader, session: Session) -> list[TrialBalance]:
    """Add up every posting, by kind of account and currency."""
    return await trial_balances(session)


@router.get("/ledger/timeline/{whose}/{row_id}")
async def get_timeline(
    _actor: Reader, session: Session, whose: TimelineOf, row_id: UUID, query: Paging
) -> Page[TimelineEntry]:
    """List what moved the money of a request, worker, vendor or payout, oldest first, with the verdicts behind it."""
    return await timeline(session, whose, row_id, query)


@router.get("/provider-calls")
async def list_open_calls(
    _actor: Reader,
    session: Session,
    query: Paging,
    older_than_seconds: Annotated[int, Query(ge=0, le=MAX_AGE_SECONDS)] = 60,
) -> Page[CallView]:
    """List the calls to payment providers whose outcome is not known yet, newest first."""
    rows, cursor = await calls_console.open_calls(session, timedelta(seconds=older_than_seconds), query)
    return Page(items=[CallView.model_validate(row) for row in rows], next_cursor=cursor)


@router.post("/provider-calls/{call_id}/look-up")
async def look_up_call(actor: Finance, session: Session, call_id: UUID, body: WithReason) -> CallView:
    """Ask the provider, soon, what became of a call."""
    return CallView.model_validate(await calls_console.look_up(session, actor, call_id, body.reason))


@router.post("/provider-calls/{call_id}/replay")
async def replay_call(actor: Finance, session: Session, call_id: UUID, body: WithReason) -> CallView:
    """Send a call again under its own key, by which the provider knows that it is the same one."""
    return CallView.model_validate(await calls_console.replay(session, actor, call_id, body.reason))


@router.post("/provider-calls/{call_id}/adopt")
async def adopt_call(actor: Finance, session: Session, shared: Shared, call_id: UUID, body: AdoptRemote) -> CallView:
    """Take an object at the provider for a call's outcome, once the provider confirms reference and amount."""
    gateway = open_gateway(shared.settings, shared.database, await provider_of_call(session, call_id))
    adopted = await calls_console.adopt(session, actor, gateway, call_id, body.remote_id, body.reason)
    return CallView.model_validate(adopted)


@router.get("/reconciliations")
async def list_reconciliations(_actor: Reader, session: Session, query: Paging) -> Page[ReconciliationView]:
    """List the daily comparisons with the payment provider, newest first."""
    rows, cursor = await reconcile_runs.runs(session, query)
    return Page(items=[ReconciliationView.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/reconciliations/{run_id}")
async def get_reconciliation(_actor: Reader, session: Session, run_id: UUID) -> ReconciliationDetail:
    """Return one comparison with its checks, and each break by name."""
    return ReconciliationDetail.model_validate(await reconcile_runs.run_of(session, run_id))


@router.get("/dead-letters")
async def list_dead_letters(_actor: Operator, session: Session, query: Paging) -> Page[DeadLetterView]:
    """List the jobs that failed for good and wait for a decision, newest first."""
    rows, cursor = await dead_letters.dead_letter_page(session, query)
    return Page(items=[DeadLetterView.model_validate(row) for row in rows], next_cursor=cursor)


@router.post("/dead-letters/{job_id}/replay")
async def replay_dead_letter(actor: Operator, session: Session, job_id: UUID, body: WithReason) -> DeadLetterView:
    """Let a dead job run once more, under its own id."""
    letter = await dead_letters.unresolved(session, job_id)
    await dead_letters.replay(session, [letter])
    return _resolved(session, actor, letter, body.reason)


@router.post("/dead-letters/{job_id}/drop")
async def drop_dead_letter(actor: Operator, session: Session, job_id: UUID, body: WithReason) -> DeadLetterView:
    """Give a dead job up: what it was to do is not done."""
    letter = await dead_letters.unresolved(session, job_id)
    await dead_letters.drop(session, [letter])
    return _resolved(session, actor, letter, body.reason)


def _resolved(session: Session, actor: Actor, letter: DeadLetter, reason: str) -> DeadLetterView:
    record(session, actor, f"dead_letter.{letter.resolution}", f"job:{letter.job_id}", kind=letter.kind, reason=reason)
    return DeadLetterView.model_validate(letter)
