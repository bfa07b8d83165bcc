"""A report as PDF, A4, with the same drawings as the page. The same report gives the same bytes."""

import io
from collections.abc import Iterator
from typing import Any, Final

from reportlab.lib import colors
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, KeepTogether, LongTable, SimpleDocTemplate, Spacer
from reportlab.platypus import Table as Grid

from marketplace.core.papers.typefaces import LATIN, font_of, paragraph
from marketplace.quality.delivery_report.charts import PALETTE
from marketplace.quality.delivery_report.document import Block, Chart, Document, Section, Table
from marketplace.quality.delivery_report.words import TAGS, Voice

MEDIA_TYPE: Final = "application/pdf"
_MARGIN: Final = 18 * mm
_WIDTH: Final = A4[0] - 2 * _MARGIN
_CARD: Final = colors.HexColor("#f3f6f9")
_GAP: Final = 3.0
_WIDE: Final = 7
_KEPT: Final = 2

_TEXT: Final = ParagraphStyle("text", fontName=LATIN, fontSize=9.5, leading=14, spaceAfter=4, splitLongWords=1)
_MUTE: Final = ParagraphStyle("mute", _TEXT, textColor=PALETTE["mute"])
_TITLE: Final = ParagraphStyle("title", _TEXT, fontSize=18, leading=24)
_HEADING: Final = ParagraphStyle("heading", _TEXT, fontSize=13, leading=18, spaceBefore=12, spaceAfter=4)
_VALUE: Final = ParagraphStyle("value", _TEXT, fontSize=28, leading=34)
_TILE: Final = ParagraphStyle("tile", _TEXT, fontSize=14, leading=18)
_SMALL: Final = ParagraphStyle("small", _MUTE, fontSize=7.5, leading=10.5)


def draw_pdf(document: Document) -> bytes:
    """Return the report as PDF."""
    say = Voice(document.language)
    parts = [*_head(document)]
    for section in document.sections:
        parts += _section(section)
    if any(font_of(char) is None for text in _strangers(document) for char in text):
        parts += [Spacer(0, 4 * mm), paragraph(say("missing_letters"), _SMALL)]
    buffer = io.BytesIO()
    name = f"{document.title} · {document.subtitle}"
    template = SimpleDocTemplate(
        buffer, pagesize=A4, leftMargin=_MARGIN, rightMargin=_MARGIN, topMargin=_MARGIN, bottomMargin=_MARGIN,
        title=name, author="", invariant=1, lang=TAGS[document.language],
    )  # fmt: skip

    def footer(canvas: Any, page: Any) -> None:
        foot = paragraph(f"{name} · {say('page', page=str(page.page))}", _SMALL)
        foot.wrapOn(canvas, _WIDTH, _MARGIN)
        foot.drawOn(canvas, _MARGIN, 9 * mm)

    template.build(parts, onFirstPage=footer, onLaterPages=footer)
    return buffer.getvalue()


def _strangers(document: Document) -> Iterator[str]:
    """Yield the texts that hold words of the buyer: the title, and the labels in tables."""
    yield document.subtitle
    for section in document.sections:
        for block in section.blocks:
            if isinstance(block, Table):
                yield from (cell for row in block.rows for cell in row)


def _head(document: Document) -> Iterator[Flowable]:
    yield paragraph(document.title, _MUTE)
    yield paragraph(document.subtitle, _TITLE)
    yield paragraph(document.made, _MUTE)
    yield Spacer(0, 3 * mm)
    lines = [(document.headline, _VALUE), (document.meaning, _TEXT), (document.interval, _TEXT), (document.how, _MUTE)]
    card = Grid([[[paragraph(text, style) for text, style in lines if text]]], colWidths=[_WIDTH])
    card.setStyle([
        ("BACKGROUND", (0, 0), (-1, -1), _CARD), ("LINEBEFORE", (0, 0), (0, -1), 4, PALETTE["blue"]),
        ("LEFTPADDING", (0, 0), (-1, -1), 12), ("TOPPADDING", (0, 0), (-1, -1), 8),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 8),
    ])  # fmt: skip
    yield card
    yield Spacer(0, 3 * mm)
    tiles = [[[paragraph(value, _TILE), paragraph(words, _SMALL)] for value, words in document.tiles]]
    row = Grid(tiles, colWidths=[_WIDTH / len(document.tiles)] * len(document.tiles))
    row.setStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("BACKGROUND", (0, 0), (-1, -1), _CARD)])
    yield row
    yield Spacer(0, 3 * mm)
    facts = [[paragraph(name, _MUTE), paragraph(value, _TEXT)] for name, value in document.facts]
    listed = Grid(facts, colWidths=[_WIDTH * 0.24, _WIDTH * 0.76], hAlign="LEFT")
    listed.setStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), *_tight()])
    yield listed


def _section(section: Section) -> Iterator[Flowable]:
    """Yield a heading with its blocks; the heading stays with what follows it."""
    blocks = [_flowable(block) for block in section.blocks]
    kept = _KEPT if len(blocks) >= _KEPT and isinstance(section.blocks[1], Chart) else 1
    yield KeepTogether([paragraph(section.heading, _HEADING), *blocks[:kept]])
    yield from blocks[kept:]


def _flowable(block: Block) -> Flowable:
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Chart):
        block.drawing.hAlign = "LEFT"
        return block.drawing
    return paragraph(block, _TEXT)


def _table(table: Table) -> LongTable:
    size = 8.5 if len(table.titles) <= _WIDE else 6.5
    text = ParagraphStyle("cell", _TEXT, fontSize=size, leading=size * 1.4, spaceAfter=0)
    number = ParagraphStyle("number", text, alignment=TA_RIGHT)
    styles = [number if numeric else text for numeric in table.numeric]
    rows = [
        [paragraph(cell, style) for cell, style in zip(row, styles, strict=True)] for row in (table.titles, *table.rows)
    ]
    shares = [0.6 if numeric else 1.4 for numeric in table.numeric]
    widths = [_WIDTH * share / sum(shares) for share in shares]
    drawn = LongTable(rows, colWidths=widths, repeatRows=1, splitInRow=1, spaceBefore=3, spaceAfter=8)
    drawn.setStyle([
        ("VALIGN", (0, 0), (-1, -1), "TOP"), ("LINEABOVE", (0, 0), (-1, 0), 0.8, colors.black),
        ("LINEBELOW", (0, 0), (-1, 0), 0.5, colors.black), ("LINEBELOW", (0, 1), (-1, -1), 0.25, PALETTE["grid"]),
        *_tight(),
    ])  # fmt: skip
    return drawn


def _tight() -> list[tuple[Any, ...]]:
    return [
        ("TOPPADDING", (0, 0), (-1, -1), 2), ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
        ("LEFTPADDING", (0, 0), (-1, -1), _GAP), ("RIGHTPADDING", (0, 0), (-1, -1), _GAP),
    ]  # fmt: skip
