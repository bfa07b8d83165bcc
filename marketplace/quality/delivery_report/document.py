"""A report as a document: headings, texts, drawings and tables in one language, before page or PDF. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from babel.numbers import format_decimal, format_percent
from reportlab.graphics.shapes import Drawing

from marketplace.core.papers.language import Language, shown_count, shown_time
from marketplace.quality.delivery_report.schemas import Estimate, Source
from marketplace.quality.delivery_report.words import Voice
from marketplace.quality.schemas import QualityReport


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing, and what it shows in words."""

    drawing: Drawing
    alt: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under titles; `numeric` columns stand on the right."""

    titles: list[str]
    rows: list[list[str]]
    numeric: list[bool]


Block = str | Chart | Table


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what stands under it; `name` is its anchor."""

    name: str
    heading: str
    blocks: list[Block]


@dataclass(frozen=True, slots=True)
class Document:
    """The whole report. `tiles` are figures with a word under each; `how` says how the headline was obtained."""

    language: Language
    title: str
    subtitle: str
    made: str
    headline: str
    meaning: str
    interval: str
    how: str
    facts: list[tuple[str, str]]
    tiles: list[tuple[str, str]]
    sections: list[Section] = field(default_factory=list)


class Figures:
    """How figures are written in a language; what is not known is a dash."""

    def __init__(self, say: Voice) -> None:
        self.say = say
        self._locale = say.language.value

    def count(self, number: int | None) -> str:
        """Return a whole number."""
        return self.say("none") if number is None else shown_count(number, self.say.language)

    def share(self, share: float | None, digits: int = 1) -> str:
        """Return a share as percent."""
        if share is None:
            return self.say("none")
        return str(format_percent(share, format="#,##0" + "." * (digits > 0) + "0" * digits + "%", locale=self._locale))

    def number(self, number: float | None, digits: int = 2) -> str:
        """Return a number with so many decimals."""
        if number is None:
            return self.say("none")
        return str(format_decimal(number, format="#,##0." + "0" * digits, locale=self._locale))

    def between(self, low: float | None, high: float | None, written: Callable[[float], str] | None = None) -> str:
        """Return an interval."""
        if low is None or high is None:
            return self.say("none")
        shown = written or self.share
        return f"{shown(low)} – {shown(high)}"

    def bins(self, low: float, high: float) -> str:
        """Return the bounds of a bin of shares."""
        return f"{low * 100:.0f}–{high * 100:.0f}%"


def headed(report: QualityReport) -> Estimate | None:
    """Return the estimate that heads a report."""
    accuracy = report.accuracy
    if accuracy is None or accuracy.headline is None:
        return None
    return next(one for one in accuracy.estimates if one.source is accuracy.headline)


def document_of(report: QualityReport, title: str, language: Language) -> Document:
    """Return the report of a request of this title, without its sections."""
    say = Voice(language)
    shown = Figures(say)
    best = headed(report)
    gates = (report.gate_set_version or say("none"))[:12]
    versions = say(
        "versions_value", schema=str(report.label_schema_version), guideline=str(report.guideline_version), gates=gates
    )
    return Document(
        language=language,
        title=say("report"),
        subtitle=title,
        made=say("made", time=shown_time(report.made_at, "UTC", language)),
        headline=shown.share(best.value) if best else say("headline_unknown"),
        meaning=say("headline") if best else "",
        interval=_interval(say, shown, best) if best else "",
        how=how(say, shown, best.source, best.samples) if best else say("by_nothing"),
        facts=[
            (say("request"), str(report.request_id)),
            (say("kind"), say.name("kind", report.label_kind)),
            (say("versions"), versions),
        ],
        tiles=list(_tiles(say, shown, report)),
    )


def how(say: Voice, shown: Figures, source: Source, samples: int) -> str:
    """Return how an estimate was obtained."""
    return say(f"by_{source.value}", samples=shown.count(samples))


def _interval(say: Voice, shown: Figures, best: Estimate) -> str:
    level = shown.share(best.level, 0)
    return say("interval", level=level, low=shown.share(best.low), high=shown.share(best.high))


def _tiles(say: Voice, shown: Figures, report: QualityReport) -> Iterator[tuple[str, str]]:
    yield shown.count(report.labeled), say("tile_labeled", tasks=shown.count(report.tasks))
    yield shown.number(report.answers_per_task), say("tile_answers")
    if report.label_use is not None:
        yield shown.share(report.label_use.saved_share), say("tile_saved")
    yield shown.count(report.workers), say("tile_workers")
