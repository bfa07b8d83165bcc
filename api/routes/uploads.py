"""Data of a dataset request: resumable uploads (the core of tus 1.0), and what became of them."""

from collections.abc import AsyncIterator
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response, status
from starlette.requests import ClientDisconnect

from api.auth import Allow
from api.session import Session, Shared
from marketplace.catalog import uploads
from marketplace.catalog.models import Upload
from marketplace.catalog.upload_schemas import UploadDraft, UploadView
from marketplace.core.actor import Actor, OrganisationKind, Scope
from marketplace.core.paging import Page, PageQuery
from marketplace.core.storage import MAX_OBJECT_BYTES

router = APIRouter(prefix="/v1/requests/{request_id}/uploads", tags=["Data"])

TUS: Final = {"Tus-Resumable": "1.0.0"}
Author = Annotated[Actor, Allow(Scope.REQUESTS_WRITE, kind=OrganisationKind.ENTERPRISE)]
Reader = Annotated[Actor, Allow(Scope.REQUESTS_READ)]
Offset = Annotated[int, Header(ge=0, le=MAX_OBJECT_BYTES, description="Where this piece begins, in bytes")]


@router.post("", status_code=status.HTTP_201_CREATED, summary="Announce an upload")
async def create_upload(
    actor: Author, session: Session, shared: Shared, response: Response, request_id: UUID, draft: UploadDraft
) -> UploadView:
    """Say what you will upload; then `PATCH` its bytes to the address in `Location`.

    - **jsonl**: a JSON object a line, `{"id": "r1", "data": {"text": "…"}, "gold": {"choice": "positive"},
      "gold_note": "…"}`, or flat: what is not `id`, `gold` or `gold_note` is data.
    - **csv**: UTF-8 with commas, the first line names the columns, `gold` may be JSON or a bare value.
    - **zip**: a file an item (pictures, sounds, films, PDF, `.txt`); an optional `manifest.jsonl` or `manifest.csv`
      with a `filename` column adds `id`, data and gold.

    A row with `gold` becomes a gold item, whose truth is known; all others are items to label. Bad rows are reported
    with line and reason. `keep_good_rows` decides whether one bad row refuses the upload.
    """
    upload = await uploads.create_upload(session, actor, request_id, draft, shared.settings.max_upload_bytes)
    response.headers.update(TUS | {"Location": f"/v1/requests/{request_id}/uploads/{upload.id}"})
    return uploads.upload_view(upload)


@router.get("", summary="List the uploads of a request")
async def list_uploads(
    actor: Reader, session: Session, request_id: UUID, paging: Annotated[PageQuery, Query()]
) -> Page[UploadView]:
    """Return the request's uploads, newest first."""
    return await uploads.uploads_of(session, actor, request_id, paging)


@router.get("/{upload_id}", summary="Show an upload and its report")
async def get_upload(actor: Reader, session: Session, request_id: UUID, upload_id: UUID) -> UploadView:
    """Return how far the upload is; once imported or refused, how many rows were good, and which were bad and why."""
    return uploads.upload_view(await uploads.upload_of(session, actor, request_id, upload_id))


@router.head("/{upload_id}", summary="Ask where to go on")
async def get_upload_offset(actor: Reader, session: Session, request_id: UUID, upload_id: UUID) -> Response:
    """Answer `Upload-Offset` and `Upload-Length`, so that an interrupted upload can go on from there."""
    upload = await uploads.upload_of(session, actor, request_id, upload_id)
    return Response(headers=_position(upload) | {"Cache-Control": "no-store"})


@router.patch(
    "/{upload_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Send a piece",
    # the limit of all other bodies is for those that are read whole; this one is the announced size's
    max_body_size=MAX_OBJECT_BYTES,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/offset+octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def send_piece(
    actor: Author,
    session: Session,
    shared: Shared,
    request: Request,
    request_id: UUID,
    upload_id: UUID,
    upload_offset: Offset,
    content_length: Annotated[int | None, Header(ge=0)] = None,
) -> Response:
    """Append bytes at `Upload-Offset`. A wrong offset answers 409 with the right one in `upload_offset`.

    When the connection breaks, what arrived is kept; ask with `HEAD` where to go on. With the last byte the import
    begins; `GET` the upload to see it end.
    """
    async with shared.database.sessions() as reading:  # given back before the body is read, which may take long
        upload = await uploads.upload_of(reading, actor, request_id, upload_id)
    uploads.check_offset(upload, upload_offset, content_length)
    parts = await uploads.store_parts(shared.store, upload, upload_offset, _arriving(request))
    try:
        upload = await uploads.advance(session, actor, request_id, upload_id, upload_offset, parts)
    except BaseException:
        await uploads.discard_parts(shared.store, parts)
        raise
    return Response(status_code=status.HTTP_204_NO_CONTENT, headers=_position(upload))


async def _arriving(request: Request) -> AsyncIterator[bytes]:
    """Yield the body as it arrives; a broken connection ends it, and what came before counts."""
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        return


def _position(upload: Upload) -> dict[str, str]:
    return TUS | {"Upload-Offset": str(upload.offset_bytes), "Upload-Length": str(upload.size_bytes)}
