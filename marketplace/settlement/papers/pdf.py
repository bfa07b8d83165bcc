"""A paper as PDF, A4. The same paper gives the same bytes.

Texts are set in Helvetica, and in the reader's own Song typeface (STSong-Light) where Helvetica has no letter; neither
is embedded. What neither has (Thai, Vietnamese with tone marks, Khmer …) is drawn as an empty box, and a note says so.
"""

import io
from typing import Any, Final

from reportlab.lib import colors
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.platypus import LongTable, Paragraph, SimpleDocTemplate, Spacer, Table

from marketplace.core.papers.language import Language, shown_count
from marketplace.core.papers.typefaces import LATIN, SONG, font_of, paragraph
from marketplace.settlement.papers.paper import Amount, Cell, Column, Paper
from marketplace.settlement.papers.words import WORDS

MEDIA_TYPE: Final = "application/pdf"
_MARGIN: Final = 18 * mm
_WIDTH: Final = A4[0] - 2 * _MARGIN
_GAP: Final = 3.0  # points on both sides of a cell
_NARROWEST: Final = 22 * mm  # of a column of text, before the type gets smaller
_SMALLEST: Final = 5.5
_RULE: Final = colors.HexColor("#9aa3ad")

_TEXT: Final = ParagraphStyle("text", fontName=LATIN, fontSize=9, leading=12.5, splitLongWords=1)
_NUMBER: Final = ParagraphStyle("number", _TEXT, alignment=TA_RIGHT)
_TITLE: Final = ParagraphStyle("title", _TEXT, fontSize=17, leading=24)
_NOTE: Final = ParagraphStyle("note", _TEXT, fontSize=7.5, leading=10.5, textColor=colors.HexColor("#4b5560"))


def draw_pdf(paper: Paper) -> bytes:
    """Return the paper as PDF."""
    parts = [
        paragraph(paper.title, _TITLE),
        Spacer(0, 4 * mm),
        _facts(paper),
        Spacer(0, 6 * mm),
        _table(paper),
        Spacer(0, 3 * mm),
        _totals(paper),
        Spacer(0, 8 * mm),
        *(paragraph(note, _NOTE) for note in _notes(paper)),
    ]
    buffer = io.BytesIO()
    document = SimpleDocTemplate(
        buffer, pagesize=A4, leftMargin=_MARGIN, rightMargin=_MARGIN, topMargin=_MARGIN, bottomMargin=_MARGIN,
        title=paper.title, author="", invariant=1, lang="zh-CN" if paper.language is Language.ZH else "en",
    )  # fmt: skip
    pages = WORDS[paper.language]["page"]
    document.build(parts, onFirstPage=_footer(paper.title, pages), onLaterPages=_footer(paper.title, pages))
    return buffer.getvalue()


def _footer(title: str, words: str) -> Any:
    def draw(canvas: Any, document: Any) -> None:
        foot = paragraph(f"{title} · {words.format(page=document.page)}", _NOTE)
        foot.wrapOn(canvas, _WIDTH, _MARGIN)
        foot.drawOn(canvas, _MARGIN, 9 * mm)

    return draw


def _shown(cell: Cell, language: Language) -> str:
    if isinstance(cell, Amount):
        return cell.shown(language)
    return shown_count(cell, language) if isinstance(cell, int) else cell


def _facts(paper: Paper) -> Table:
    rows = [[paragraph(name, _TEXT), paragraph(value, _TEXT)] for name, value in paper.facts]
    table = Table(rows, colWidths=[_WIDTH * 0.24, _WIDTH * 0.76], hAlign="LEFT")
    table.setStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), *_tight()])
    return table


def _table(paper: Paper) -> Table:
    head = [column.title for column in paper.columns]
    rows = [[_shown(cell, paper.language) for cell in row] for row in paper.rows]
    size = _TEXT.fontSize
    widths = _widths(paper.columns, [head, *rows], size)
    while min(_texts(paper.columns, widths)) < _NARROWEST and size > _SMALLEST:
        size -= 0.5
        widths = _widths(paper.columns, [head, *rows], size)
    numeric = [column.numeric for column in paper.columns]
    cells = [
        [
            text if number else _text_cell(text, width, size)
            for text, number, width in zip(row, numeric, widths, strict=True)
        ]
        for row in rows
    ]
    titles = [paragraph(text, _NUMBER if number else _TEXT) for text, number in zip(head, numeric, strict=True)]
    table = LongTable([titles, *cells], colWidths=widths, repeatRows=1, splitInRow=1)
    table.setStyle([
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("FONT", (0, 1), (-1, -1), LATIN, size, size * 1.4),
        *(("ALIGN", (at, 1), (at, -1), "RIGHT") for at, number in enumerate(numeric) if number),
        ("LINEABOVE", (0, 0), (-1, 0), 0.8, colors.black),
        ("LINEBELOW", (0, 0), (-1, 0), 0.5, colors.black),
        ("LINEBELOW", (0, 1), (-1, -1), 0.25, _RULE),
        *_tight(),
    ])  # fmt: skip
    return table


def _texts(columns: list[Column], widths: list[float]) -> list[float]:
    return [width for column, width in zip(columns, widths, strict=True) if not column.numeric]


def _widths(columns: list[Column], rows: list[list[str]], size: float) -> list[float]:
    """Return the columns' widths: a number is never broken, texts share what is left."""
    taken = [
        max(_width(row[at], size) for row in rows) + 2 * _GAP + 1 if column.numeric else 0.0
        for at, column in enumerate(columns)
    ]
    shares = sum(column.share for column in columns if not column.numeric)
    left = _WIDTH - sum(taken)
    return [wide or left * column.share / shares for wide, column in zip(taken, columns, strict=True)]


def _width(text: str, size: float) -> float:
    return sum(float(pdfmetrics.stringWidth(char, font_of(char) or SONG, size)) for char in text)


def _text_cell(text: str, width: float, size: float) -> str | Paragraph:
    """Return a text as it is when it fits on a line of Helvetica, which is much faster, else as a paragraph."""
    if text.isascii() and text.isprintable() and _width(text, size) <= width - 2 * _GAP:
        return text
    return paragraph(text, ParagraphStyle("cell", _TEXT, fontSize=size, leading=size * 1.4))


def _totals(paper: Paper) -> Table:
    rows = [
        [paragraph(name, _NUMBER), paragraph(f"{amount.shown(paper.language)} {amount.currency}", _NUMBER)]
        for name, amount in paper.totals
    ]
    table = Table(rows, colWidths=[_WIDTH * 0.7, _WIDTH * 0.3])
    table.setStyle([("LINEABOVE", (0, -1), (-1, -1), 0.5, colors.black), *_tight()])
    return table


def _tight() -> list[tuple[Any, ...]]:
    return [
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
        ("LEFTPADDING", (0, 0), (-1, -1), _GAP),
        ("RIGHTPADDING", (0, 0), (-1, -1), _GAP),
    ]


def _notes(paper: Paper) -> list[str]:
    texts = [paper.title, *(value for _, value in paper.facts)]
    texts += [cell for row in paper.rows for cell in row if isinstance(cell, str)]
    if any(font_of(char) is None for text in texts for char in text):
        return [*paper.notes, WORDS[paper.language]["missing_letters"]]
    return paper.notes
