"""Making the report of a delivery, and the file of its evidence."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import msgspec
from obstore.store import ObjectStore
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.deliveries import delivery_of, find_delivery, put_delivery
from marketplace.catalog.exports import Written, write_lines
from marketplace.catalog.models import DatasetRequest, Delivery
from marketplace.catalog.queries import request_of
from marketplace.core.actor import Actor
from marketplace.quality.delivery_report.compare import compare_reports
from marketplace.quality.delivery_report.compute import compute_report
from marketplace.quality.delivery_report.evidence import Evidence
from marketplace.quality.delivery_report.evidence_file import lines_of
from marketplace.quality.delivery_report.load import load_evidence
from marketplace.quality.schemas import QualityReport


async def make_delivery_report(session: AsyncSession, request: DatasetRequest) -> QualityReport:
    """Compute the report of a request from its evidence as it stands in this transaction."""
    return await asyncio.to_thread(compute_report, await load_evidence(session, request))


async def write_evidence(session: AsyncSession, store: ObjectStore, request_id: UUID, key: str) -> Written:
    """Write the evidence of a request under the key, with the delivery's report as the last line.

    What happened since the report was made (an appeal that was decided) is in the evidence: a delivery that nobody has
    accepted yet gets its report anew, so that the two agree. An accepted one keeps the report it was accepted with.
    """
    request = await session.get_one(DatasetRequest, request_id)
    evidence = await load_evidence(session, request)
    delivery = await find_delivery(session, request_id, lock=True)
    report = None if delivery is None else await _agreeing(session, delivery, evidence)
    if report is not None:
        evidence = replace(evidence, header=msgspec.structs.replace(evidence.header, made_at=report["made_at"]))
    return await write_lines(store, key, lines_of(evidence, report))


async def _agreeing(session: AsyncSession, delivery: Delivery, evidence: Evidence) -> dict[str, Any]:
    if delivery.accepted_at is not None:
        return delivery.report
    report = await asyncio.to_thread(compute_report, evidence)
    computed = report.model_dump(mode="json")
    if all(figure.is_equal for figure in compare_reports(delivery.report, computed)):
        return delivery.report
    return (await put_delivery(session, delivery.request_id, computed)).report


async def report_of_delivery(session: AsyncSession, actor: Actor, request_id: UUID) -> tuple[str, QualityReport]:
    """Return the title of a request of the actor's own organisation, and the report of its delivery."""
    request = await request_of(session, actor, request_id)
    delivery = await delivery_of(session, request_id)
    return request.title, QualityReport.model_validate(delivery.report)
