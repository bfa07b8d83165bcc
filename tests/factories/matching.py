"""Bids and contracts for tests of every subdomain."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.models import DatasetRequest
from marketplace.core.clock import now
from marketplace.matching.models import Contract
from marketplace.matching.schemas import BidTerms


def make_terms(**overrides: Any) -> BidTerms:
    """Terms that a request of `tests.factories.catalog` allows."""
    fields: dict[str, Any] = {
        "unit_price": 200_000,
        "capacity_per_day": 1_000,
        "delivery_at": now() + timedelta(days=20),
        "promised_quality": 0.95,
        "share_wanted": 1.0,
        "worker_share_bps": 7_000,
        "pay_workers_directly": True,
        "note": "我们有三十名标注员",
    }
    return BidTerms(**(fields | overrides))


def contract_fields(request: DatasetRequest, vendor_id: UUID | None = None, **overrides: Any) -> dict[str, Any]:
    """The columns of a contract over all items of a request: a vendor's, or the open crowd's."""
    fields: dict[str, Any] = {
        "request_id": request.id,
        "vendor_organisation_id": vendor_id,
        "first_position": 0,
        "end_position": max(request.item_count, 1),
        "unit_price": request.unit_price_ceiling,
        "currency": request.currency,
        "platform_fee_bps": 1_000,
        "worker_share_bps": 10_000,
        "pay_workers_directly": True,
        "delivery_at": request.deadline,
    }
    return fields | overrides


async def make_contract(
    session: AsyncSession, request: DatasetRequest, vendor_id: UUID | None = None, **overrides: Any
) -> Contract:
    """A contract over all items that the request has now (or `first_position` to `end_position`)."""
    contract = Contract(**contract_fields(request, vendor_id, **overrides))
    session.add(contract)
    await session.flush()
    return contract
