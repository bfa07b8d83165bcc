"""Papers over HTTP: the language that the caller reads, and files as answers."""

import asyncio
from enum import StrEnum
from typing import Annotated, Final

from babel import negotiate_locale
from fastapi import Depends, Header, Query, Response

from marketplace.core.papers.language import Language
from marketplace.settlement.papers import pdf, sheet
from marketplace.settlement.papers.paper import Paper

_SPOKEN: Final = {"zh": Language.ZH, "en": Language.EN}


class PaperFormat(StrEnum):
    """How a paper is written."""

    PDF = "pdf"
    CSV = "csv"


def language_of(
    locale: Annotated[str | None, Query(max_length=35, description="`zh-CN` or `en`; else Accept-Language")] = None,
    accept_language: Annotated[str | None, Header(max_length=1000)] = None,
) -> Language:
    """Return the language of a paper: what is asked for, or the first the caller accepts, or English."""
    accepted = [locale] if locale else _by_weight(accept_language or "")
    found = negotiate_locale([tag.replace("_", "-") for tag in accepted], list(_SPOKEN), sep="-")
    return _SPOKEN[found or "en"]


def _by_weight(header: str) -> list[str]:
    weighed = []
    for position, part in enumerate(header.split(",")):
        tag, _, weight = part.strip().partition(";q=")
        try:
            weighed.append((-float(weight or 1), position, tag))
        except ValueError:
            continue
    return [tag for _, _, tag in sorted(weighed) if tag]


InLanguage = Annotated[Language, Depends(language_of)]


async def as_file(paper: Paper, file_format: PaperFormat, name: str) -> Response:
    """Return a paper as a file to keep; it is drawn beside the event loop."""
    drawn, media = (
        (pdf.draw_pdf, pdf.MEDIA_TYPE) if file_format is PaperFormat.PDF else (sheet.draw_csv, sheet.MEDIA_TYPE)
    )
    content = await asyncio.to_thread(drawn, paper)
    headers = {"Content-Disposition": f'attachment; filename="{name}.{file_format}"', "Vary": "Accept-Language"}
    return Response(content, media_type=media, headers=headers)
