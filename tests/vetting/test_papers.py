"""Papers over HTTP: typed by content, limited, hashed, stored under a key that no name can lead astray."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import httpx
import obstore
import pytest
from fastapi import FastAPI
from obstore.store import MemoryStore
from sqlmodel import select

from marketplace.audit.models import AuditEntry
from marketplace.core.actor import Role
from marketplace.core.db import Database
from marketplace.core.settings import Settings
from marketplace.vetting import papers, policy
from marketplace.vetting.errors import PapersClosed
from marketplace.vetting.models import Paper, VettingFile
from marketplace.vetting.states import PaperKind, VettingState
from tests.factories.identity import Party, bearer, make_operator, make_vendor

PDF = b"%PDF-1.7\n" + b"x" * 1000


async def _applied(database: Database) -> tuple[Party, UUID]:
    async with database.sessions.begin() as session:
        vendor = await make_vendor(session)
        assert vendor.organisation
        file = VettingFile(
            subject_id=vendor.organisation.id, subject="vendor", statement="", applied_by=vendor.person.id
        )
        session.add(file)
    return vendor, file.id


async def _upload(
    app: FastAPI, client: httpx.AsyncClient, party: Party, file_id: UUID, content: bytes, name: str = "licence.pdf"
) -> httpx.Response:
    return await client.post(
        f"/v1/vetting/files/{file_id}/uploads/papers",
        files={"paper": (name, content, "application/octet-stream")},
        data={"kind": "business_licence"},
        headers=bearer(app, party),
    )


def _stored(settings: Settings) -> list[Path]:
    return [path for path in (settings.kapok_home / "objects").rglob("*") if path.is_file()]


async def test_a_paper_is_stored_with_the_hash_and_type_of_its_content(
    app: FastAPI, client: httpx.AsyncClient, database: Database, settings: Settings
) -> None:
    vendor, file_id = await _applied(database)
    answer = await _upload(app, client, vendor, file_id, PDF, "营业执照.pdf")
    assert answer.status_code == 201
    paper = answer.json()
    assert (paper["filename"], paper["media_type"]) == ("营业执照.pdf", "application/pdf")
    assert (paper["size_bytes"], paper["sha256"]) == (len(PDF), hashlib.sha256(PDF).hexdigest())
    assert [path.read_bytes() for path in _stored(settings)] == [PDF]
    file = await client.get(f"/v1/vetting/files/{file_id}", headers=bearer(app, vendor))
    assert file.json()["papers"] == [paper]


async def test_a_paper_of_the_largest_size_is_taken_and_one_byte_more_is_not(
    app: FastAPI, client: httpx.AsyncClient, database: Database, settings: Settings
) -> None:
    vendor, file_id = await _applied(database)
    largest = PDF + bytes(policy.MAX_PAPER_BYTES - len(PDF))
    assert (await _upload(app, client, vendor, file_id, largest)).status_code == 201
    refused = await _upload(app, client, vendor, file_id, largest + b"x")
    assert (refused.status_code, refused.json()["code"]) == (413, "paper_too_large")
    far_too_large = await _upload(app, client, vendor, file_id, largest + bytes(1024 * 1024))
    assert far_too_large.status_code == 413
    assert [path.stat().st_size for path in _stored(settings)] == [policy.MAX_PAPER_BYTES]


@pytest.mark.parametrize("content", [b"", b"%PD", b"<html><script>", b"PK\x03\x04" + bytes(100), b"MZ" + bytes(100)])
async def test_a_paper_is_refused_when_its_content_is_of_another_type(
    app: FastAPI, client: httpx.AsyncClient, database: Database, settings: Settings, content: bytes
) -> None:
    vendor, file_id = await _applied(database)
    answer = await _upload(app, client, vendor, file_id, content, "licence.pdf")
    assert (answer.status_code, answer.json()["code"]) == (400, "paper_type_refused")
    assert _stored(settings) == []


@pytest.mark.parametrize("name", ["../../../etc/passwd", "..\\..\\boot.ini", "/etc/passwd", "%2e%2e%2fpasswd"])
async def test_a_paper_lies_under_its_own_id_when_its_name_leads_elsewhere(
    app: FastAPI, client: httpx.AsyncClient, database: Database, settings: Settings, name: str
) -> None:
    vendor, file_id = await _applied(database)
    answer = await _upload(app, client, vendor, file_id, PDF, name)
    assert answer.status_code == 201
    assert not set(answer.json()["filename"]) & set("/\\")
    folder = settings.kapok_home / "objects" / "vetting" / str(vendor.actor.organisation_id)
    assert _stored(settings) == [folder / answer.json()["id"]]


@pytest.mark.parametrize("name", ["..", "a/.."])
async def test_a_paper_is_refused_when_its_name_is_none(
    app: FastAPI, client: httpx.AsyncClient, database: Database, name: str
) -> None:
    vendor, file_id = await _applied(database)
    answer = await _upload(app, client, vendor, file_id, PDF, name)
    assert (answer.status_code, answer.json()["code"]) == (400, "paper_name_invalid")


async def test_a_paper_is_not_added_to_another_subjects_file_also_not_by_the_operator(
    app: FastAPI, client: httpx.AsyncClient, database: Database, settings: Settings
) -> None:
    _, file_id = await _applied(database)
    other, _ = await _applied(database)
    async with database.sessions.begin() as session:
        officer = await make_operator(session, Role.VETTING_OFFICER)
    assert (await _upload(app, client, other, file_id, PDF)).status_code == 404
    assert (await _upload(app, client, officer, file_id, PDF)).status_code == 403
    assert _stored(settings) == []


@pytest.mark.parametrize("state", [VettingState.IN_REVIEW, VettingState.APPROVED, VettingState.REFUSED])
async def test_a_paper_is_refused_when_the_file_is_closed(
    app: FastAPI, client: httpx.AsyncClient, database: Database, settings: Settings, state: VettingState
) -> None:
    vendor, file_id = await _applied(database)
    async with database.sessions.begin() as session:
        file = (await session.exec(select(VettingFile))).one()
        file.state = state
    answer = await _upload(app, client, vendor, file_id, PDF)
    assert (answer.status_code, answer.json()["code"]) == (409, "papers_closed")
    assert _stored(settings) == []


async def test_a_paper_leaves_the_store_when_its_file_closed_while_it_came(database: Database) -> None:
    vendor, file_id = await _applied(database)
    store = MemoryStore()

    async def slowly() -> AsyncIterator[bytes]:
        yield PDF[:3]
        async with database.sessions.begin() as session:
            (await session.exec(select(VettingFile))).one().state = VettingState.IN_REVIEW
        yield PDF[3:]

    received = await papers.receive(database, store, vendor.actor, file_id, "licence.pdf", slowly())
    assert received.sha256 == hashlib.sha256(PDF).hexdigest()
    async with database.sessions() as session:
        with pytest.raises(PapersClosed):
            await papers.add_paper(session, store, vendor.actor, file_id, PaperKind.OTHER, received)
        assert (await session.exec(select(Paper))).all() == []
    assert obstore.list(store).collect() == []


async def test_each_view_of_a_paper_is_written_down(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    vendor, file_id = await _applied(database)
    paper = (await _upload(app, client, vendor, file_id, PDF)).json()
    other, other_file = await _applied(database)
    async with database.sessions.begin() as session:
        officer = await make_operator(session, Role.VETTING_OFFICER)
    path = f"/v1/vetting/files/{file_id}/papers/{paper['id']}/address"
    viewed = await client.post(path, headers=bearer(app, officer))
    assert viewed.json()["url"].startswith("http")
    assert paper["id"] in viewed.json()["url"]
    assert (await client.post(path, headers=bearer(app, other))).status_code == 404
    foreign = f"/v1/vetting/files/{other_file}/papers/{paper['id']}/address"
    assert (await client.post(foreign, headers=bearer(app, other))).json()["code"] == "paper_unknown"
    async with database.sessions() as session:
        entries = (await session.exec(select(AuditEntry).where(AuditEntry.action == "vetting.paper_viewed"))).all()
    assert [(entry.principal, entry.facts) for entry in entries] == [
        (f"person:{officer.person.id}", {"paper": paper["id"]})
    ]
