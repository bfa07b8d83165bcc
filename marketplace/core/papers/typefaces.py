"""Typefaces of papers: Helvetica, and the reader's own Song typeface where Helvetica has no letter; none is embedded.

What neither has (Thai, Vietnamese with tone marks, Khmer …) is drawn as an empty box.
"""

from functools import lru_cache
from typing import Final
from xml.sax.saxutils import escape

from reportlab.lib.enums import TA_LEFT
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Paragraph

LATIN: Final = "Helvetica"
SONG: Final = "STSong-Light"
MISSING: Final = "□"

pdfmetrics.registerFont(UnicodeCIDFont(SONG))


@lru_cache(maxsize=4096)
def font_of(char: str) -> str | None:
    """Return the typeface that has this character, or None."""
    if not char.isprintable():
        return LATIN if char.isspace() else None
    for encoding, font in (("cp1252", LATIN), ("gbk", SONG)):
        try:
            char.encode(encoding)
        except UnicodeEncodeError:
            continue
        return font
    return None


def marked_up(text: str) -> str:
    """Return a text as reportlab's markup, each run in a typeface that has it."""
    runs: list[tuple[str, str]] = []
    for char in text:
        font = font_of(char)
        shown = (SONG, MISSING) if font is None else (font, " " if char.isspace() else char)
        if runs and runs[-1][0] == shown[0]:
            runs[-1] = (shown[0], runs[-1][1] + shown[1])
        else:
            runs.append(shown)
    return "".join(escape(run) if font == LATIN else f'<font name="{font}">{escape(run)}</font>' for font, run in runs)


def paragraph(text: str, style: ParagraphStyle) -> Paragraph:
    """Return a text as a paragraph that breaks lines as its letters ask for."""
    if style.alignment == TA_LEFT and any(font_of(char) != LATIN for char in text):
        style = ParagraphStyle("chinese", style, wordWrap="CJK")
    return Paragraph(marked_up(text), style)
