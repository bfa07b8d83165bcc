"""Making the report of a delivery, and the file of its evidence."""

import asyncio
from dataclasses import replace
from uuid import UUID

import msgspec
from obstore.store import ObjectStore
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.deliveries import delivery_of, find_delivery
from marketplace.catalog.exports import Written, write_lines
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import request_of
from marketplace.core.actor import Actor
from marketplace.quality.delivery_report.compute import compute_report
from marketplace.quality.delivery_report.evidence_file import lines_of
from marketplace.quality.delivery_report.load import load_evidence
from marketplace.quality.schemas import QualityReport


async def make_delivery_report(session: AsyncSession, request: DatasetRequest) -> QualityReport:
    """Compute the report of a request from its evidence as it stands in this transaction."""
    return await asyncio.to_thread(compute_report, await load_evidence(session, request))


async def write_evidence(session: AsyncSession, store: ObjectStore, request_id: UUID, key: str) -> Written:
    """Write the evidence of a request under the key, with the delivery's report as the last line.

    The caller has delivered anew what nobody has accepted yet, so that the two agree whatever happened since the report
    was made. An accepted delivery keeps the report it was accepted with.
    """
    request = await session.get_one(DatasetRequest, request_id)
    evidence = await load_evidence(session, request)
    delivery = await find_delivery(session, request_id)
    report = None if delivery is None else delivery.report
    if report is not None:
        evidence = replace(evidence, header=msgspec.structs.replace(evidence.header, made_at=report["made_at"]))
    return await write_lines(store, key, lines_of(evidence, report))


async def report_of_delivery(session: AsyncSession, actor: Actor, request_id: UUID) -> tuple[str, QualityReport]:
    """Return the title of a request of the actor's own organisation, and the report of its delivery."""
    request = await request_of(session, actor, request_id)
    delivery = await delivery_of(session, request_id)
    return request.title, QualityReport.model_validate(delivery.report)
