"""Accepted work that an arbitrator finds wrong after all, when the enterprise disputes its delivery."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.actor import Actor
from marketplace.core.clock import now
from marketplace.core.settings import Settings
from marketplace.core.states import check_step
from marketplace.quality.cases import load_rules
from marketplace.quality.consolidation import forget_unanswered, refresh
from marketplace.quality.errors import NotDisputable, VerdictUnknown
from marketplace.quality.models import Verdict
from marketplace.quality.process.clauses import cited
from marketplace.quality.states import VERDICT_STEPS, Outcome, ReasonCode, VerdictState
from marketplace.tasks import outcomes
from marketplace.tasks.queries import claim_sheet

# What an arbitrator decided on appeal is not decided again.
_DISPUTABLE: Final = frozenset({VerdictState.GIVEN, VerdictState.FINAL})


async def reject_disputed(
    session: AsyncSession, actor: Actor, settings: Settings, request_id: UUID, claim_id: UUID, reason: str
) -> Verdict:
    """Turn the acceptance of a claim into a rejection; the worker reads the reason and has a new window to appeal.

    Its answers count no more, and tasks without another answer lose their label. Locks as a judgement does: the claim,
    the verdict, the seat, the tasks by id.

    Raises:
        ClaimUnknown, VerdictUnknown: there is no such work, or nobody judged it.
        NotDisputable: it is not accepted, or an arbitrator decided on it before.
    """
    sheet = await claim_sheet(session, request_id, claim_id, lock=True)
    statement = select(Verdict).where(Verdict.request_id == request_id, Verdict.claim_id == claim_id)
    newest = statement.order_by(col(Verdict.revision).desc()).limit(1).with_for_update()
    verdict = (await session.exec(newest)).first()
    if verdict is None:
        raise VerdictUnknown
    if verdict.outcome is not Outcome.ACCEPTED or verdict.state not in _DISPUTABLE:
        raise NotDisputable(f"The verdict is {verdict.outcome}, {verdict.state}.", claim_id=str(claim_id))
    if verdict.state is not VerdictState.GIVEN:
        check_step(VERDICT_STEPS, verdict.state, VerdictState.GIVEN)
        verdict.state = VerdictState.GIVEN
    verdict.outcome, verdict.reason_code = Outcome.REJECTED, ReasonCode.DISPUTED
    verdict.decided_by = actor.principal
    verdict.evidence = verdict.evidence | {"dispute": reason, "disputed_at": now().isoformat()}
    verdict.evidence |= await cited(session, request_id, ReasonCode.DISPUTED)
    verdict.final_at = now() + timedelta(seconds=settings.appeal_window_seconds)
    session.add(verdict)
    await outcomes.revoke(session, sheet)
    await session.flush()
    await refresh(session, request_id, await load_rules(session, request_id), sheet.bundle.task_ids)
    await forget_unanswered(session, request_id, sheet.bundle.task_ids)
    return verdict
