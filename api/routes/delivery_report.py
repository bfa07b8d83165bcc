"""The quality report of a delivery for people: a page, and a PDF."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Response

from api.auth import Allow
from api.papers import InLanguage
from api.session import Session
from marketplace.core.actor import Actor, Scope
from marketplace.core.papers.language import Language
from marketplace.quality.delivery_report import page, sheet
from marketplace.quality.delivery_report.document import Document
from marketplace.quality.delivery_report.sections import whole_document
from marketplace.quality.delivery_report.service import report_of_delivery

router = APIRouter(prefix="/v1/requests/{request_id}/delivery", tags=["Delivery"])

Reader = Annotated[Actor, Allow(Scope.REQUESTS_READ)]
_PAGE: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"text/html": {}}}}
_PDF: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"application/pdf": {}}}}


@router.get("/report.html", summary="Show the quality report as a page", responses=_PAGE, response_class=Response)
async def report_page(actor: Reader, session: Session, request_id: UUID, language: InLanguage) -> Response:
    """Return the quality report as one page that stands alone: no script, nothing from elsewhere."""
    answer = await _drawn(session, actor, request_id, language, page.draw_page, page.MEDIA_TYPE)
    answer.headers["Content-Security-Policy"] = page.POLICY
    return answer


@router.get("/report.pdf", summary="Get the quality report as PDF", responses=_PDF, response_class=Response)
async def report_pdf(actor: Reader, session: Session, request_id: UUID, language: InLanguage) -> Response:
    """Return the quality report as a file to keep or print."""
    answer = await _drawn(session, actor, request_id, language, sheet.draw_pdf, sheet.MEDIA_TYPE)
    answer.headers["Content-Disposition"] = f'attachment; filename="report-{request_id}.pdf"'
    return answer


async def _drawn(
    session: Session, actor: Actor, request_id: UUID, language: Language, draw: Callable[[Document], bytes], media: str
) -> Response:
    """Return the report as a file; it is drawn beside the event loop."""
    title, report = await report_of_delivery(session, actor, request_id)

    def draw_it() -> bytes:
        return draw(whole_document(report, title, language))

    content = await asyncio.to_thread(draw_it)
    return Response(
        content, media_type=media, headers={"Vary": "Accept-Language", "Cache-Control": "private, no-cache"}
    )
