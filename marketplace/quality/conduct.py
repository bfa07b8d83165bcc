"""Looking at how a request's workers conduct themselves, after verdicts: fraud tests, control rules, skills."""

import time
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.states import RequestState
from marketplace.core.clock import now
from marketplace.core.outbox import emit
from marketplace.quality.control.service import carry_out
from marketplace.quality.fraud.models import ConductMark
from marketplace.quality.fraud.service import check_request
from marketplace.quality.skills.service import refresh_skills

GROWTH: Final = 1.25
"""Fraud is tested again when so many times the verdicts of the last test are there, and once more at the end."""
FEWEST_VERDICTS: Final = 10
PAUSE_SHARE: Final = 20.0
"""The next look comes no sooner than so many times what this one took: at most a twentieth of a processor."""
RECHECK_SECONDS: Final = 60.0
"""Bundles given up make no verdict; where there are rules, they are looked at after this at the latest."""
_DUE: Final = text(
    """
    SELECT r.id FROM dataset_request r LEFT JOIN conduct_mark m ON m.request_id = r.id
    WHERE r.state IN ('in_production', 'in_acceptance') AND coalesce(m.due_at, now()) <= now()
      AND ((SELECT v.id FROM verdict v WHERE v.request_id = r.id ORDER BY v.id DESC LIMIT 1)
               IS DISTINCT FROM m.last_verdict_id
           OR (m.checked_at < now() - :recheck * interval '1 second'
               AND EXISTS (SELECT 1 FROM control_rule_set s WHERE s.scope_id IN (r.id, :platform))))
      AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.kind = 'quality.conduct' AND o.sent_at IS NULL
                      AND o.payload @> jsonb_build_object('request_id', r.id::text))
    UNION
    SELECT m.request_id FROM conduct_mark m JOIN dataset_request r ON r.id = m.request_id
    WHERE NOT m.is_final AND r.state NOT IN ('in_production', 'suspended') AND m.due_at <= now()
      AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.kind = 'quality.conduct' AND o.sent_at IS NULL
                      AND o.payload @> jsonb_build_object('request_id', m.request_id::text))
    LIMIT 200
    """
)
_VERDICTS: Final = text(
    """
    SELECT count(*) AS number, (SELECT id FROM verdict WHERE request_id = :request ORDER BY id DESC LIMIT 1) AS newest
    FROM verdict WHERE request_id = :request
    """
)


async def ask_for_looks(session: AsyncSession) -> None:
    """Ask for a look at each request that has verdicts nobody has looked at."""
    names = {"recheck": RECHECK_SECONDS, "platform": UUID(int=0)}
    for request_id in (await session.execute(_DUE, names)).scalars().all():
        emit(session, "quality.conduct", {"request_id": str(request_id)})


async def look_at(session: AsyncSession, request_id: UUID) -> None:
    """Test for fraud when enough is new, carry out control rules, and bring skills up to date.

    One look at a request at a time: the mark's row is locked.
    """
    began = time.monotonic()
    await session.execute(insert(ConductMark).values(request_id=request_id).on_conflict_do_nothing())
    mark = await session.get_one(ConductMark, request_id, with_for_update=True, populate_existing=True)
    request = await session.get_one(DatasetRequest, request_id)
    found = (await session.execute(_VERDICTS, {"request": request_id})).one()
    grown = found.number >= max(GROWTH * mark.tested_verdicts, FEWEST_VERDICTS)
    is_last = request.state is not RequestState.IN_PRODUCTION and found.number != mark.tested_verdicts
    if grown or is_last:
        await check_request(session, request_id)
        mark.tested_verdicts = found.number
    await carry_out(session, request_id)
    await refresh_skills(session, request_id)
    took = time.monotonic() - began
    mark.last_verdict_id, mark.checked_at = found.newest, now()
    mark.is_final = request.state is not RequestState.IN_PRODUCTION
    mark.due_at = now() + timedelta(seconds=PAUSE_SHARE * took)
    session.add(mark)
