"""The drawings of a report, shared by page and PDF. Every colour is of the palette, so that a page may swap it.

Sizes are points; a drawing is as wide as a page's column and has type that is still legible on a phone.
"""

from collections.abc import Callable, Sequence
from typing import Final

from reportlab.graphics.shapes import Circle, Drawing, Line, Rect, String
from reportlab.lib.colors import Color, HexColor

from marketplace.core.papers.typefaces import LATIN, MISSING, SONG, font_of

PALETTE: Final = {
    "ink": HexColor("#1f2933"),
    "mute": HexColor("#5b6672"),
    "grid": HexColor("#d5dbe1"),
    "blue": HexColor("#1b6ca8"),
    "amber": HexColor("#b45309"),
    "paper": HexColor("#ffffff"),
}
WIDTH: Final = 420.0
_SIZE: Final = 11.0
_LEFT: Final = 46.0
_LONGEST: Final = 18
_CELL: Final = 34.0
_TOP: Final = 0.95

Point = tuple[float, float]


class _Plot:
    """A plane with axes from 0 to 1 in drawing units, with a frame and words."""

    def __init__(self, width: float, height: float, left: float = _LEFT, bottom: float = 38.0) -> None:
        self.drawing = Drawing(width, height)
        self.left, self.bottom = left, bottom
        self.wide, self.high = width - left - 14.0, height - bottom - 14.0

    def at(self, x: float, y: float) -> Point:
        return self.left + x * self.wide, self.bottom + y * self.high

    def line(self, start: Point, end: Point, colour: str, width: float = 0.6, dash: Sequence[int] = ()) -> None:
        ends = (*self.at(*start), *self.at(*end))
        self.drawing.add(
            Line(*ends, strokeColor=PALETTE[colour], strokeWidth=width, strokeDashArray=list(dash) or None)
        )

    def bar(self, low: Point, high: Point, colour: str) -> None:
        (x, y), (right, top) = self.at(*low), self.at(*high)
        self.drawing.add(Rect(x, y, right - x, top - y, fillColor=PALETTE[colour], strokeColor=None))

    def dot(self, at: Point, colour: str, radius: float = 3.4) -> None:
        self.drawing.add(Circle(*self.at(*at), radius, fillColor=PALETTE[colour], strokeColor=None))

    def frame(self, across: Sequence[tuple[float, str]], up: Sequence[tuple[float, str]]) -> None:
        for place, text in up:
            self.line((0, place), (1, place), "grid")
            x, y = self.at(0, place)
            word(self.drawing, x - 5, y - 3.5, text, "end", "mute")
        for place, text in across:
            x, y = self.at(place, 0)
            word(self.drawing, x, y - 13, text, "middle", "mute")
        self.line((0, 0), (1, 0), "mute", 0.8)

    def title_across(self, text: str) -> None:
        word(self.drawing, self.left + self.wide / 2, 6, text, "middle", "ink")


def word(drawing: Drawing, x: float, y: float, text: str, anchor: str, colour: str) -> None:
    """Put a text on a drawing, in a typeface that has its letters."""
    shown = "".join(char if font_of(char) else MISSING for char in text)
    font = LATIN if all(font_of(char) == LATIN for char in shown) else SONG
    fill: Color = PALETTE[colour]
    drawing.add(String(x, y, shown, fontName=font, fontSize=_SIZE, textAnchor=anchor, fillColor=fill))


def short(text: str) -> str:
    """Return a text that fits beside a bar."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def percent(share: float) -> str:
    """Return a share as whole percent, for an axis."""
    return f"{share:.0%}"


_FIFTHS: Final = [(n / 5, percent(n / 5)) for n in range(6)]


def reliability(bins: Sequence[tuple[float, float, float, float, int]], across: str) -> Drawing:
    """Draw mean confidence against the share right, with intervals: (confidence, share, low, high, tasks) a bin.

    On the dashed line confidences are honest; the number beside a point counts its tasks.
    """
    plot = _Plot(WIDTH, 300.0)
    plot.frame(_FIFTHS, _FIFTHS)
    plot.line((0, 0), (1, 1), "mute", 0.8, (4, 3))
    for confidence, share, low, high, tasks in bins:
        plot.line((confidence, low), (confidence, high), "blue", 1.2)
        plot.dot((confidence, share), "blue", 4.2)
        _count_beside(plot, confidence, share, str(tasks))
    plot.title_across(across)
    return plot.drawing


def _count_beside(plot: _Plot, confidence: float, share: float, text: str) -> None:
    """Put a count where neither the axis nor the interval of its point is in the way."""
    x, y = plot.at(confidence, share)
    if share > _TOP:
        word(plot.drawing, x, y + 6, text, "middle", "ink")
    elif confidence > _TOP:
        word(plot.drawing, x - 8, y - 4, text, "end", "ink")
    else:
        word(plot.drawing, x + 8, max(y - 4, plot.bottom + 4), text, "start", "ink")


def columns(bars: Sequence[tuple[str, int]], across: str, written: Callable[[int], str]) -> Drawing:
    """Draw counts as columns, each with its number over it and its name under it."""
    plot = _Plot(WIDTH, 210.0, left=14.0)
    most = max((count for _, count in bars), default=0) or 1
    step = 1 / max(len(bars), 1)
    plot.frame([], [])
    for place, (name, count) in enumerate(bars):
        low, high = (place + 0.12) * step, (place + 0.88) * step
        top = 0.92 * count / most
        if count:
            plot.bar((low, 0), (high, top), "blue")
            x, y = plot.at((low + high) / 2, top)
            word(plot.drawing, x, y + 3, written(count), "middle", "ink")
        x, y = plot.at((low + high) / 2, 0)
        word(plot.drawing, x, y - 13, name, "middle", "mute")
    plot.title_across(across)
    return plot.drawing


def intervals(rows: Sequence[tuple[str, float, float, float, bool]]) -> Drawing:
    """Draw shares with their intervals, one under the other: (name, share, low, high, heads the report)."""
    lowest = min((low for _, _, low, _, _ in rows), default=0.0)
    start = max(0.0, min(int(lowest * 10) / 10, 0.8))
    plot = _Plot(WIDTH, 34.0 + 40.0 * len(rows), left=20.0, bottom=24.0)
    ticks = [start + (1 - start) * n / 4 for n in range(5)]
    for tick in ticks:
        x = (tick - start) / (1 - start)
        plot.line((x, 0), (x, 1), "grid")
    plot.frame([((tick - start) / (1 - start), f"{tick:.1%}".replace(".0%", "%")) for tick in ticks], [])
    for place, (name, share, low, high, heads) in enumerate(rows):
        y = 1 - (place + 0.66) / len(rows)
        x, from_, to = ((value - start) / (1 - start) for value in (share, low, high))
        colour = "blue" if heads else "mute"
        plot.line((from_, y), (to, y), colour, 2.0)
        plot.dot((x, y), colour, 5.0)
        left, top = plot.at(0, y)
        word(plot.drawing, left + 2, top + 9, name, "start", "ink")
    return plot.drawing


def bars(rows: Sequence[tuple[str, int]], written: Callable[[int], str]) -> Drawing:
    """Draw counts as bars that lie one under the other, each with its name and number."""
    plot = _Plot(WIDTH, 12.0 + 22.0 * max(len(rows), 1), left=118.0, bottom=4.0)
    most = max((count for _, count in rows), default=0) or 1
    for place, (name, count) in enumerate(rows):
        y = 1 - (place + 0.85) / len(rows)
        plot.bar((0, y), (0.82 * count / most, y + 0.7 / len(rows)), "blue")
        x, at = plot.at(0.82 * count / most, y + 0.35 / len(rows))
        word(plot.drawing, x + 5, at - 3.5, written(count), "start", "ink")
        word(plot.drawing, plot.left - 6, at - 3.5, short(name), "end", "ink")
    return plot.drawing


def confusion(labels: Sequence[str], counts: Sequence[Sequence[int]], across: str, down: str) -> Drawing:
    """Draw the table of answers against labels: each row in shares of its own sum, the darker the greater."""
    left = 118.0
    cell = min((WIDTH - left - 8) / len(labels), 2 * _CELL)
    tall = min(cell, _CELL)
    height = 44.0 + tall * len(labels)
    drawing = Drawing(WIDTH, height)
    word(drawing, left + 4, height - 12, across, "start", "ink")
    word(drawing, left - 6, height - 12, down, "end", "ink")
    for row, name in enumerate(labels):
        y = height - 36 - tall * (row + 1)
        word(drawing, left - 6, y + tall / 2 - 3.5, short(name), "end", "ink")
        whole = sum(counts[row]) or 1
        for column, count in enumerate(counts[row]):
            x, share = left + column * cell, count / whole
            colour = "blue" if row == column else "amber"
            shade = Color(*PALETTE[colour].rgb(), alpha=0.06 + 0.94 * share)
            drawing.add(Rect(x + 1, y + 1, cell - 2, tall - 2, fillColor=shade, strokeColor=None))
            if count:
                tone = "paper" if share > 0.45 else "ink"
                word(drawing, x + cell / 2, y + tall / 2 - 3.5, percent(share), "middle", tone)
    for column, name in enumerate(labels):
        narrow = name if len(name) * 6 < cell else (name[: max(int(cell / 6) - 1, 1)] + "…")
        word(drawing, left + (column + 0.5) * cell, height - 30, narrow, "middle", "mute")
    return drawing
