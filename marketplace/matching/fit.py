"""Which vendors may work on a request: the rule of policy.py, fed from the vetting files in one query."""

from collections.abc import Collection
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.models import DatasetRequest
from marketplace.matching.policy import Needs, VendorFacts, misfits
from marketplace.matching.schemas import Misfit
from marketplace.vetting.queries import approved_vendors


def needs_of(request: DatasetRequest) -> Needs:
    """Return what a request asks of a vendor."""
    return Needs(request.channel, request.languages, request.data_class)


async def facts_of_vendors(session: AsyncSession, vendor_ids: Collection[UUID]) -> dict[UUID, VendorFacts]:
    """Return the facts of those vendors that are approved now; the others are left out."""
    profiles = await approved_vendors(session, vendor_ids)
    return {
        vendor_id: VendorFacts(frozenset(profile.languages), profile.security_level)
        for vendor_id, profile in profiles.items()
    }


async def misfits_of_vendors(
    session: AsyncSession, request: DatasetRequest, vendor_ids: Collection[UUID]
) -> dict[UUID, list[Misfit]]:
    """Return for each vendor why it may not work on a request; an empty list when it may."""
    facts = await facts_of_vendors(session, vendor_ids) if vendor_ids else {}
    return {vendor_id: misfits(facts.get(vendor_id), needs_of(request)) for vendor_id in vendor_ids}
