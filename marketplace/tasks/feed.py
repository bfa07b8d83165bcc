"""The feed: which contracts a worker may work on, what they pay, and what is missing for the others."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.policy import residency_allows
from marketplace.catalog.schemas import QualityPlan
from marketplace.catalog.states import Channel
from marketplace.tasks import policy
from marketplace.tasks.errors import GuidelineVersionWrong, NotEligible, WorkUnknown
from marketplace.tasks.models import RequestWorker
from marketplace.tasks.schemas import Feed, FeedEntry
from marketplace.vetting.queries import worker_standing
from marketplace.vetting.schemas import WorkerStanding

FEED_LIMIT: Final = 100

# A vendor's contract is seen only by those it engages; the open crowd's by everybody.
_CONTRACTS: Final = """
SELECT r.id AS request_id, c.id AS contract_id, r.title, r.description, r.subject, r.languages, r.residency, r.channel,
       r.guideline_version, r.deadline, r.quality_plan, r.seconds_per_task, r.gold_count, l.kind,
       c.vendor_organisation_id, c.currency, c.unit_price, c.platform_fee_bps, c.worker_share_bps,
       c.pay_workers_directly,
       coalesce(c.id = ANY(w.contract_ids) AND w.guideline_version = r.guideline_version, false) AS is_confirmed,
       EXISTS (SELECT 1 FROM membership m WHERE m.organisation_id = r.organisation_id AND m.person_id = :worker
                 AND m.state = 'active') AS is_reviewer,
       ARRAY(SELECT 'a skill of ' || q.at_least || ' in ' || q.skill || ', as ' ||
                    CASE WHEN q.is_own THEN 'this enterprise' ELSE 'Kapok' END || ' measures it'
             FROM skill_requirement q
             LEFT JOIN worker_skill k ON NOT q.is_own AND k.worker_id = :worker AND k.subject = q.skill
                  AND k.language = '*'
             LEFT JOIN own_skill s ON q.is_own AND s.organisation_id = r.organisation_id AND s.worker_id = :worker
                  AND s.name = q.skill
             WHERE q.request_id = r.id AND coalesce(k.value, s.value, -1) < q.at_least
             ORDER BY q.skill) AS unmet_skills,
       (SELECT p.reason || ' (until ' || to_char(p.until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC)'
        FROM work_measure p
        WHERE p.worker_id = :worker AND p.kind = 'pause' AND p.until > now() AND p.lifted_at IS NULL
          AND p.scope_id IN (r.id, r.organisation_id) ORDER BY p.until DESC LIMIT 1) AS paused,
       (SELECT count(*) FROM open_seat o
        WHERE o.request_id = r.id AND o.contract_id = c.id AND o.reserved_for = :worker) AS reserved_seats,
       EXISTS (SELECT 1 FROM open_seat o
               WHERE o.request_id = r.id AND o.contract_id = c.id AND o.reserved_for IS NULL
                 AND NOT o.blocks && coalesce(w.seen_blocks, '{}')) AS has_open,
       (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY done.pace) FROM (
            SELECT active_seconds / units AS pace FROM claim
            WHERE request_id = r.id AND contract_id = c.id AND submitted_at IS NOT NULL
            ORDER BY request_id DESC, id DESC LIMIT 100) AS done) AS pace_seconds
FROM contract c JOIN dataset_request r ON r.id = c.request_id
JOIN label_schema l ON l.request_id = r.id AND l.version = r.label_schema_version
LEFT JOIN request_worker w ON w.request_id = r.id AND w.worker_id = :worker
WHERE c.state = 'active' AND r.state = 'in_production'
  AND (c.vendor_organisation_id IS NULL OR c.vendor_organisation_id = ANY(:vendors))
"""
_ALL: Final = text(f"{_CONTRACTS} ORDER BY c.id DESC LIMIT {FEED_LIMIT}")
_ONE: Final = text(f"{_CONTRACTS} AND r.id = :request AND c.id = :contract")


@dataclass(frozen=True, slots=True)
class Pay:
    """What a bundle pays a worker and how long it takes; amounts in minor units."""

    per_bundle: int | None
    per_hour: int | None
    minutes: float
    is_measured: bool


def missing_for(row: Any, standing: WorkerStanding) -> list[str]:
    """Return what a worker lacks for a contract, in words that say how to get it."""
    lacking = []
    if not standing.approved:
        lacking.append("your vetting file must be approved")
    spoken = {language.split("-")[0] for language in standing.languages}
    unspoken = [language for language in row.languages if language.split("-")[0] not in spoken]
    lacking += [f"the language {language} must be in your profile" for language in unspoken]
    if not residency_allows(row.residency, standing.country, standing.region):
        lacking.append("the data of this request may not be shown in your country")
    if row.channel == Channel.VENDORS and row.vendor_organisation_id is None:
        lacking.append("a vendor of this request must engage you")
    if row.is_reviewer:
        lacking.append("you are a member of the organisation that reviews this work")
    return lacking


def missing_now(row: Any, standing: WorkerStanding) -> list[str]:
    """Return what keeps a worker from claiming now: what they lack, skills to begin with, and a pause.

    Who has begun goes on, whatever their skill has become; a pause ends by itself.
    """
    lacking = missing_for(row, standing)
    if not row.is_confirmed:
        lacking += row.unmet_skills
    if row.paused is not None:
        lacking.append(f"you are paused from this work: {row.paused}")
    return lacking


def pay_of(row: Any, size: int) -> Pay:
    """Return what a bundle of this contract pays, per hour by the measured pace where there is one."""
    per_bundle = policy.worker_pay_minor(
        size,
        row.unit_price,
        fee_bps=row.platform_fee_bps,
        worker_share_bps=10_000 if row.vendor_organisation_id is None else row.worker_share_bps,
        paid_directly=row.vendor_organisation_id is None or row.pay_workers_directly,
    )
    seconds = max(row.pace_seconds or row.seconds_per_task, policy.FASTEST_PACE_SECONDS) * size
    per_hour = None if per_bundle is None else int(per_bundle * 3600 / seconds)
    return Pay(per_bundle, per_hour, round(seconds / 60, 2), row.pace_seconds is not None)


def _entry(row: Any, standing: WorkerStanding) -> FeedEntry:
    size = policy.bundle_size(QualityPlan.model_validate(row.quality_plan), row.seconds_per_task)
    pay = pay_of(row, size)
    return FeedEntry(
        request_id=row.request_id,
        contract_id=row.contract_id,
        title=row.title,
        description=row.description,
        subject=row.subject,
        languages=row.languages,
        label_kind=row.kind,
        vendor_organisation_id=row.vendor_organisation_id,
        guideline_version=row.guideline_version,
        is_confirmed=row.is_confirmed,
        deadline=row.deadline,
        currency=row.currency,
        tasks_per_bundle=size,
        pay_per_bundle_minor=pay.per_bundle,
        pay_per_hour_minor=pay.per_hour,
        minutes_per_bundle=pay.minutes,
        is_measured=pay.is_measured,
        open_seats_for_you=row.has_open or row.reserved_seats > 0,
        reserved_seats=row.reserved_seats,
        missing=missing_now(row, standing),
    )


async def read_feed(session: AsyncSession, worker_id: UUID) -> Feed:
    """Return the worker's feed: what is open to them first, by pay per hour; then what something is missing for."""
    standing = await worker_standing(session, worker_id)
    found = await session.execute(_ALL, {"worker": worker_id, "vendors": list(standing.vendor_ids)})
    entries = [_entry(row, standing) for row in found]
    entries.sort(key=lambda e: (bool(e.missing), not e.open_seats_for_you, -(e.pay_per_hour_minor or 0)))
    return Feed(entries=entries)


async def confirm_guideline(
    session: AsyncSession, worker_id: UUID, request_id: UUID, contract_id: UUID, *, version: int
) -> None:
    """Record that a worker has read the guideline, and open the contract to them; doing it twice is fine.

    Raises:
        WorkUnknown: there is no such contract in production, or it is another vendor's.
        NotEligible: with all that is missing.
        GuidelineVersionWrong: the guideline has another version.
    """
    standing = await worker_standing(session, worker_id)
    names = {"worker": worker_id, "vendors": list(standing.vendor_ids), "request": request_id, "contract": contract_id}
    row = (await session.execute(_ONE, names)).one_or_none()
    if row is None:
        raise WorkUnknown
    if missing := missing_now(row, standing):
        raise NotEligible("; ".join(missing) + ".", missing=missing)
    if version != row.guideline_version:
        raise GuidelineVersionWrong(f"It has version {row.guideline_version} now.", version=row.guideline_version)
    fresh = insert(RequestWorker).values(
        request_id=request_id,
        worker_id=worker_id,
        guideline_version=version,
        contract_ids=[contract_id],
        seen_blocks=[],
        gold_cursor=0,
        held=0,
    )
    kept = text("array_append(array_remove(request_worker.contract_ids, :confirmed), :confirmed)")
    await session.execute(
        fresh.on_conflict_do_update(
            index_elements=["request_id", "worker_id"],
            set_={"guideline_version": version, "contract_ids": kept.bindparams(confirmed=contract_id)},
        )
    )


_RECHECK: Final = text("SELECT request_id, contract_ids FROM request_worker WHERE worker_id = :worker FOR UPDATE")
_KEEP: Final = text(
    "UPDATE request_worker SET contract_ids = :kept WHERE request_id = :request AND worker_id = :worker"
)


async def recheck_worker(session: AsyncSession, worker_id: UUID) -> None:
    """Take contracts away from a worker who no longer has what they ask for (suspended, or no longer engaged).

    What the worker holds can still be submitted; new claims are refused.
    """
    standing = await worker_standing(session, worker_id)
    names = {"worker": worker_id, "vendors": list(standing.vendor_ids)}
    for work in (await session.execute(_RECHECK, names)).all():
        kept = []
        for contract_id in work.contract_ids:
            row = await session.execute(_ONE, {**names, "request": work.request_id, "contract": contract_id})
            found = row.one_or_none()
            if found is not None and not missing_for(found, standing):
                kept.append(contract_id)
        await session.execute(_KEEP, {"kept": kept, "request": work.request_id, "worker": worker_id})
