"""An enterprise with a request on a database of the test's own, and the way an upload takes from bytes to items."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from obstore.store import ObjectStore
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog import uploads
from marketplace.catalog.imports.run import run_import
from marketplace.catalog.models import Upload
from marketplace.catalog.states import UploadFormat, UploadState
from marketplace.catalog.upload_schemas import UploadDraft
from marketplace.core.db import Database
from marketplace.core.settings import Settings
from marketplace.core.storage import open_store
from tests.factories.catalog import make_request
from tests.factories.identity import Party, bearer, make_enterprise

Importer = Callable[..., Awaitable[Upload]]


@dataclass(frozen=True, slots=True)
class Desk:
    """An enterprise at work on a draft of its own."""

    party: Party
    request_id: UUID


@pytest.fixture
def store(settings: Settings) -> ObjectStore:
    return open_store(settings)


async def make_desk(database: Database, **overrides: Any) -> Desk:
    async with database.sessions() as session:
        party = await make_enterprise(session)
        assert party.organisation is not None
        request = await make_request(session, party.organisation.id, **overrides)
        await session.commit()
        return Desk(party, request.id)


@pytest.fixture
async def desk(database: Database) -> Desk:
    return await make_desk(database)


async def _pieces(content: bytes) -> Any:
    yield content


async def receive(session: AsyncSession, store: ObjectStore, desk: Desk, content: bytes, **draft: Any) -> Upload:
    """Announce and send a whole upload in one piece."""
    fields = {"filename": "data", "size_bytes": len(content), "format": UploadFormat.JSONL, "keep_good_rows": True}
    command = UploadDraft.model_validate(fields | draft)
    upload = await uploads.create_upload(session, desk.party.actor, desk.request_id, command, 10**10)
    parts = await uploads.store_parts(store, upload, 0, _pieces(content))
    return await uploads.advance(session, desk.party.actor, desk.request_id, upload.id, 0, parts)


@pytest.fixture
def import_data(database: Database, store: ObjectStore) -> Importer:
    """Import content into a desk's request as the API and the job do; return the upload with its report."""

    async def importer(desk: Desk, content: bytes, **draft: Any) -> Upload:
        async with database.sessions() as session:
            upload = await receive(session, store, desk, content, **draft)
            await session.commit()
        assert upload.state is UploadState.RECEIVED
        async with database.sessions() as session:
            await run_import(session, store, desk.request_id, upload.id, 10**10)
            await session.commit()
        async with database.sessions() as session:
            return await uploads.upload_of(session, desk.party.actor, desk.request_id, upload.id)

    return importer


@dataclass(frozen=True, slots=True)
class Caller:
    """A client of the API that acts for a party, with an idempotency key on every call."""

    client: httpx.AsyncClient
    headers: dict[str, str]

    async def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = self.headers | options.pop("headers", {})
        return await self.client.request(method, path, headers=headers, **options)


@pytest.fixture
def call(app: FastAPI, client: httpx.AsyncClient, desk: Desk) -> Caller:
    return Caller(client, bearer(app, desk.party))
