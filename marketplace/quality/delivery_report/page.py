"""A report as one HTML page that stands alone: no script, no outside address; its policy forbids everything else."""

import base64
import hashlib
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from reportlab.graphics.shapes import Drawing

from marketplace.quality.delivery_report.document import Document
from marketplace.quality.delivery_report.svg import as_svg
from marketplace.quality.delivery_report.words import TAGS, Voice

MEDIA_TYPE: Final = "text/html; charset=utf-8"
_HERE: Final = Path(__file__).parent
_STYLE: Final = (_HERE / "page.css").read_text(encoding="utf-8")
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_META_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
POLICY: Final = f"{_META_POLICY}; frame-ancestors 'none'"
"""The Content-Security-Policy of the page: nothing but its own style sheet, named by its hash."""

_PAGES: Final = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined)


def draw_page(document: Document) -> bytes:
    """Return the page, UTF-8."""
    page = _PAGES.get_template("page.html.j2").render(
        document=document,
        lang=TAGS[document.language],
        contents=Voice(document.language)("contents"),
        policy=_META_POLICY,
        style=Markup(_STYLE),  # noqa: S704  # our own file, and its hash is in the policy
        svg=_svg,
    )
    return page.encode()


def _svg(drawing: Drawing, alt: str) -> Markup:
    return Markup(as_svg(drawing, alt))  # noqa: S704  # written by an XML serializer, which escapes every text
