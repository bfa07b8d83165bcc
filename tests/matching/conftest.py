"""A market with one published request and two approved vendors, committed, and ways to move its bid deadline."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlmodel import col, update

from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.states import AwardMode, Channel, RequestState
from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.core.outbox import emit
from marketplace.matching.closing import CLOSE_BIDS
from marketplace.matching.schemas import BidTerms
from tests.factories.catalog import make_items, make_request
from tests.factories.identity import Party, bearer, make_approved_vendor, make_enterprise, make_operator
from tests.jobs import run_outbox
from workers.handlers import WorkerResources

ITEMS = 100


@dataclass
class Market:
    """The parties, and calls of the API as one of them."""

    client: httpx.AsyncClient
    app: FastAPI
    database: Database
    workers: WorkerResources
    enterprise: Party
    stranger: Party
    operator: Party
    vendors: list[Party]
    request_id: UUID

    async def call(
        self, party: Party, method: str, path: str, body: Any = None, *, key: str | None = None
    ) -> httpx.Response:
        """Call a path below /v1, `{id}` being the request, as a party."""
        headers = bearer(self.app, party) | ({"Idempotency-Key": key} if key else {})
        return await self.client.request(method, f"/v1{path}".replace("{id}", str(self.request_id)),
                                         json=body, headers=headers)  # fmt: skip

    async def bid(self, vendor: Party, terms: BidTerms) -> httpx.Response:
        return await self.call(vendor, "PUT", "/requests/{id}/bids/mine", terms.model_dump(mode="json"))

    async def change(self, **columns: Any) -> None:
        """Change the request's row behind the API's back."""
        async with self.database.sessions() as session:
            await session.execute(
                update(DatasetRequest).where(col(DatasetRequest.id) == self.request_id).values(**columns)
            )
            await session.commit()

    async def close(self) -> list[str]:
        """Let the bid deadline pass and run the jobs of matching."""
        await self.change(bid_deadline=now() - timedelta(seconds=1))
        async with self.database.sessions() as session:
            emit(session, CLOSE_BIDS, {"request_id": str(self.request_id)})
            await session.commit()
        return await run_outbox(self.workers, only="matching.")

    async def request(self) -> DatasetRequest:
        async with self.database.sessions() as session:
            found = await session.get(DatasetRequest, self.request_id)
            assert found is not None
            return found


@pytest.fixture
async def market(
    client: httpx.AsyncClient, app: FastAPI, database: Database, worker_resources: WorkerResources
) -> Market:
    """An open request for vendors and the crowd, awarded by hand, whose bids are due in three days."""
    async with database.sessions() as session:
        enterprise, stranger = await make_enterprise(session), await make_enterprise(session)
        vendors = [await make_approved_vendor(session) for _ in range(2)]
        assert enterprise.organisation
        request = await make_request(
            session, enterprise.organisation.id, channel=Channel.BOTH, award_mode=AwardMode.MANUAL,
            budget_minor=100_000, state=RequestState.OPEN,
        )  # fmt: skip
        await make_items(session, request, ITEMS)
        operator = await make_operator(session)
        await session.commit()
    return Market(
        client, app, database, worker_resources, enterprise, stranger, operator, vendors, request.id
    )  # fmt: skip
