"""The events of a request's workers, as control rules read them: verdicts, bundles given up, findings of fraud."""

from collections import defaultdict
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.matching.models import Contract
from marketplace.quality.control.replay import Event
from marketplace.tasks.policy import worker_pay_minor

# The outcome that the gates gave is what happened then; what a person found later, in place of it, is an event of its
# own, at the time of that decision.
_VERDICTS: Final = text(
    """
    SELECT v.id, v.worker_id, v.contract_id, v.created_at, v.revision, v.outcome, v.reason_code, v.state, v.evidence,
           c.units, c.gold_count, c.active_seconds, p.id AS appeal_id, p.answered_at
    FROM verdict v JOIN claim c ON c.request_id = v.request_id AND c.id = v.claim_id
    LEFT JOIN appeal p ON p.request_id = v.request_id AND p.verdict_id = v.id
    WHERE v.request_id = :request AND v.created_at < :until ORDER BY v.created_at, v.id
    """
)
_GIVEN_UP: Final = text(
    """
    SELECT id, worker_id, CASE state WHEN 'expired' THEN lease_expires_at ELSE created_at END AS at FROM claim
    WHERE request_id = :request AND state IN ('returned', 'expired') AND created_at < :until
    """
)
_FLAGGED: Final = text(
    """
    SELECT worker_id, flagged_at FROM worker_integrity
    WHERE request_id = :request AND flagged_at < :until
    """
)


async def events_of(session: AsyncSession, request_id: UUID, until: datetime) -> dict[UUID, list[Event]]:
    """Return the events of each worker of a request before a moment, in the order of time."""
    names = {"request": request_id, "until": until}
    contracts: dict[UUID, Contract] = {}
    found: dict[UUID, list[Event]] = defaultdict(list)
    for row in (await session.execute(_VERDICTS, names)).all():
        if row.contract_id not in contracts:
            contracts[row.contract_id] = await session.get_one(Contract, (request_id, row.contract_id))
        found[row.worker_id].append(_verdict_event(row, contracts[row.contract_id]))
        decided = _decision_event(row)
        if decided is not None and decided.at < until:
            found[row.worker_id].append(decided)
    for row in (await session.execute(_GIVEN_UP, names)).all():
        found[row.worker_id].append(Event(row.id, row.at, given_up=True))
    for row in (await session.execute(_FLAGGED, names)).all():
        found[row.worker_id].append(Event(row.worker_id, row.flagged_at, integrity=(1, 1)))
    return {worker: sorted(events, key=lambda event: (event.at, event.id)) for worker, events in found.items()}


def _verdict_event(row: Any, contract: Contract) -> Event:
    gates = {gate["gate"]: gate for gate in row.evidence.get("gates", [])}
    gold, agreement = gates.get("gold_accuracy", {}), gates.get("agreement", {})
    given = _outcome_of_gates(row)
    tasks = row.units + row.gold_count
    direct = contract.vendor_organisation_id is None
    pay = worker_pay_minor(
        row.units,
        contract.unit_price,
        fee_bps=contract.platform_fee_bps,
        worker_share_bps=10_000 if direct else contract.worker_share_bps,
        paid_directly=direct or contract.pay_workers_directly,
    )
    return Event(
        row.id,
        row.created_at,
        tasks=tasks,
        submitted=row.revision == 1,
        gold=(int(gold.get("right", 0)), int(gold.get("seen", 0))),
        agreement=_tally(agreement),
        decided=given != "rework",
        accepted=given == "accepted",
        earned_minor=(pay or 0) if given == "accepted" else 0,
        seconds=row.active_seconds / tasks if row.active_seconds is not None and tasks else None,
    )


def _outcome_of_gates(row: Any) -> str:
    """Return what the gates said, also where a person has decided otherwise since."""
    if "dispute" in row.evidence:
        return "accepted"
    return "rejected" if row.reason_code == "overturned" else str(row.outcome)


def _tally(gate: dict[str, Any]) -> tuple[int, int]:
    right, seen = gate.get("right", gate.get("agreed", 0)), gate.get("seen", gate.get("compared", 0))
    return int(right), int(seen)


def _decision_event(row: Any) -> Event | None:
    """Return what a person found: a rejection overturned was right work, one upheld or a disputed acceptance was not.

    One event a verdict: an appeal won takes back the dispute before it, and one lost says nothing more.
    """
    decided = (row.appeal_id or uuid5(row.id, "decided"), row.answered_at or row.created_at)
    if row.reason_code == "overturned":  # without an appeal by who looked at what the brake held
        return Event(*decided, review=(1, 1))
    if row.reason_code == "disputed":
        at = row.evidence.get("disputed_at")
        moment = row.created_at if at is None else datetime.fromisoformat(at)
        return Event(uuid5(row.id, "decided"), moment, review=(0, 1))
    return Event(*decided, review=(0, 1)) if row.state == "upheld" else None
