"""What stands under each heading of a report; a section whose data are not there says so, or is left out."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from marketplace.core.papers.language import Language
from marketplace.quality.delivery_report import charts
from marketplace.quality.delivery_report.document import (
    Block,
    Chart,
    Document,
    Figures,
    Section,
    Table,
    document_of,
    how,
)
from marketplace.quality.delivery_report.words import Voice
from marketplace.quality.schemas import QualityReport

CLASSES: Final = 12
"""How many classes a page shows; the JSON report has all."""
WORKERS: Final = 20
_OVERLAPS: Final = 12

Blocks = Iterator[Block]


def whole_document(report: QualityReport, title: str, language: Language) -> Document:
    """Return the report of a request of this title as a document with all of its sections."""
    document = document_of(report, title, language)
    say = Voice(language)
    shown = Figures(say)
    for name, make in _SECTIONS.items():
        document.sections.append(Section(name, say(name), list(make(say, shown, report))))
    return document


def _table(titles: list[str], rows: list[list[str]], texts: int = 1) -> Table:
    return Table(titles, rows, [place >= texts for place in range(len(titles))])


def _accuracy(say: Voice, shown: Figures, report: QualityReport) -> Blocks:
    accuracy = report.accuracy
    if accuracy is None or not accuracy.estimates:
        yield say("by_nothing")
        return
    yield say("accuracy_text", least=shown.count(accuracy.least_samples))
    drawn = [
        (say(f"source_{one.source.value}"), one.value, one.low, one.high, one.source is accuracy.headline)
        for one in accuracy.estimates
    ]
    yield Chart(charts.intervals(drawn), say("chart_accuracy"))
    rows = []
    for one in accuracy.estimates:
        name = say(f"source_{one.source.value}")
        if one.source is accuracy.headline:
            name += f" ({say('heads')})"
        rows.append([name, shown.share(one.value), shown.between(one.low, one.high), shown.count(one.samples)])
    yield _table([say("estimate"), say("share"), say("from_to"), say("samples")], rows)
    for one in accuracy.estimates:
        yield f"{say(f'source_{one.source.value}')} — {how(say, shown, one.source, one.samples)}"


def _calibration(say: Voice, shown: Figures, report: QualityReport) -> Blocks:
    found = report.reliability
    if found is None:
        yield say("calibration_none")
        return
    yield say("calibration_text", error=shown.share(found.expected_error), tasks=shown.count(found.tasks))
    bins, rows = [], []
    for one in found.bins:
        if one.mean_confidence is None or one.share_right is None or one.share_low is None or one.share_high is None:
            continue
        bins.append((one.mean_confidence, one.share_right, one.share_low, one.share_high, one.tasks))
        rows.append([
            shown.bins(one.low, one.high), shown.count(one.tasks), shown.share(one.mean_confidence),
            shown.share(one.share_right), shown.between(one.share_low, one.share_high),
        ])  # fmt: skip
    yield Chart(charts.reliability(bins, say("confidence")), say("chart_calibration"))
    yield _table([say("confidence"), say("items"), say("mean_confidence"), say("share"), say("from_to")], rows)


def _confidences(say: Voice, shown: Figures, report: QualityReport) -> Blocks:
    yield say("confidences_text")
    bars = [(f"{one.low * 100:.0f}–{one.high * 100:.0f}", one.tasks) for one in report.confidence]
    yield Chart(charts.columns(bars, say("confidence_of") + " (%)", shown.count), say("chart_confidence"))
    rows = [[shown.bins(one.low, one.high), shown.count(one.tasks)] for one in report.confidence if one.tasks]
    yield _table([say("confidence"), say("items")], rows)


def _agreement(say: Voice, shown: Figures, report: QualityReport) -> Blocks:
    found = report.agreement
    yield say("agreement_text", tasks=shown.count(found.tasks))
    measures = [
        (say(f"pairwise_{found.measure}"), shown.share, found.pairwise, found.pairwise_low, found.pairwise_high),
        (say("alpha"), shown.number, found.alpha, found.alpha_low, found.alpha_high),
        (say("ac1"), shown.number, found.ac1, found.ac1_low, found.ac1_high),
    ]
    rows = [
        [name, written(value), shown.between(low, high, written)]
        for name, written, value, low, high in measures
        if value is not None
    ]
    if rows:
        yield _table([say("measure"), say("value"), say("from_to")], rows)


def _gold(say: Voice, shown: Figures, report: QualityReport) -> Blocks:
    gold = report.gold
    if not gold.seen:
        yield say("gold_none")
        return
    yield say("gold_text", seen=shown.count(gold.seen), right=shown.count(gold.right), share=shown.share(gold.accuracy))


def _classes(say: Voice, shown: Figures, report: QualityReport) -> Blocks:
    if not report.classes:
        yield say("classes_none")
        return
    bars = [(one.label, one.count) for one in report.classes[:CLASSES]]
    yield Chart(charts.bars(bars, shown.count), say("chart_classes"))
    if report.class_figures:
        yield say("classes_text")
        rows = [
            [one.label, shown.count(one.labels), shown.count(one.answers), shown.share(one.recall),
             shown.share(one.precision)]
            for one in report.class_figures[:CLASSES]
        ]  # fmt: skip
        yield _table([say("class"), say("labels_count"), say("answers"), say("recall"), say("precision")], rows)
    else:
        rows = [[one.label, shown.count(one.count)] for one in report.classes[:CLASSES]]
        yield _table([say("class"), say("labels_count")], rows)
    if len(report.classes) > CLASSES:
        yield say("class_rest", count=shown.count(len(report.classes) - CLASSES))
    table = report.confusion
    if table is not None and table.labels:
        drawing = charts.confusion(table.labels, table.counts, say("answered") + " →", say("labeled_as") + " ↓")
        yield say("confusion_text")
        yield Chart(drawing, say("chart_confusion"))
        rows = [
            [name, *(shown.count(count) for count in row)] for name, row in zip(table.labels, table.counts, strict=True)
        ]
        yield _table([say("labeled_as"), *table.labels], rows)


def _workers(say: Voice, shown: Figures, report: QualityReport) -> Blocks:
    found = report.worker_distribution
    if found is None:
        return
    yield say("workers_text", workers=shown.count(found.workers))
    bars = [(f"{one.low * 100:.0f}–{one.high * 100:.0f}", one.workers) for one in found.histogram]
    measure = say("on_gold") if found.measure == "gold" else say("agreed")
    yield Chart(charts.columns(bars, measure + " (%)", shown.count), say(f"chart_workers_{found.measure}"))
    rows = [
        [
            one.worker, shown.count(one.answers), shown.share(one.accuracy, 0),
            shown.between(one.accuracy_low, one.accuracy_high, lambda share: shown.share(share, 0)),
            shown.share(one.agreed / one.compared, 0) if one.compared else say("none"),
            shown.number(one.median_seconds, 1),
        ]
        for one in found.listed[:WORKERS]
    ]  # fmt: skip
    titles = [say("worker"), say("answers"), say("on_gold"), say("from_to"), say("agreed"), say("seconds")]
    yield _table(titles, rows)
    if found.workers > WORKERS:
        yield say("worker_rest", count=shown.count(found.workers - WORKERS))


def _use(say: Voice, shown: Figures, report: QualityReport) -> Blocks:
    use = report.label_use
    if use is not None:
        yield say(
            "use_text", used=shown.count(use.used), most=shown.count(use.most), saved=shown.count(use.saved),
            share=shown.share(use.saved_share),
        )  # fmt: skip
    bars = [(str(one.answers), one.tasks) for one in report.overlap[:_OVERLAPS]]
    yield Chart(charts.columns(bars, say("answers_of_item"), shown.count), say("chart_use"))
    rows = [[shown.count(one.answers), shown.count(one.tasks)] for one in report.overlap]
    yield _table([say("answers_of_item"), say("items")], rows)


def _gates(say: Voice, shown: Figures, report: QualityReport) -> Blocks:
    submissions = report.submissions
    yield say(
        "submissions_text", decided=shown.count(submissions.decided), accepted=shown.count(submissions.accepted),
        rejected=shown.count(submissions.rejected), reworked=shown.count(submissions.reworked),
    )  # fmt: skip
    if submissions.reasons:
        named = [f"{say.name('reason', code)} ({shown.count(n)})" for code, n in submissions.reasons.items()]
        yield say("reasons", reasons=", ".join(named))
    gates = report.gates
    if gates is None:
        yield say("gates_none")
        return
    yield say("gates_text", version=gates.version)
    yield say("gates_hold") if gates.holds else say("gates_broken")
    settings = {each["gate"]: each for each in gates.definition.get("gates", [])}
    rows = [
        [
            say.name("gate", one.gate), _settings(settings.get(one.gate, {})), shown.count(one.runs),
            shown.count(one.accepted), shown.count(one.rework), shown.count(one.rejected),
        ]
        for one in gates.counts
    ]  # fmt: skip
    titles = [say("gate"), say("settings"), say("runs"), say("passed"), say("sent_back"), say("refused")]
    yield _table(titles, rows, texts=2)


def _settings(gate: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in gate.items() if name != "gate" and value is not None)


def _sample(say: Voice, shown: Figures, report: QualityReport) -> Blocks:
    sample = report.sample
    if sample is None:
        yield say("sample_none")
        return
    yield say(
        "sample_text", reviewed=shown.count(sample.reviewed), wrong=shown.count(sample.wrong),
        result=say.name("result", sample.result),
    )  # fmt: skip
    if sample.plan:
        yield _table([say("measure"), say("value")], [[name, str(value)] for name, value in sample.plan.items()])


def _appeals(say: Voice, shown: Figures, report: QualityReport) -> Blocks:
    found = report.appeals
    if found is not None:
        counts = {name: shown.count(count) for name, count in found.model_dump().items()}
        yield say("appeals_text", **counts)


def _method(say: Voice, shown: Figures, report: QualityReport) -> Blocks:
    method, refit = report.method, report.refit
    if method is not None:
        yield say(
            "method_text", model=method.model, iterations=shown.count(method.iterations),
            converged=say("converged") if method.converged else say("not_converged"), seed=str(method.seed),
        )  # fmt: skip
        samples = shown.count(method.calibration_samples)
        known = method.calibration_samples > 0
        yield say("calibrated", samples=samples, method=method.calibration) if known else say("not_calibrated")
    if refit is not None:
        difference = f"{refit.largest_difference:.1g}"
        yield say("refit_text", same=shown.count(refit.same), tasks=shown.count(refit.tasks), difference=difference)
    yield say("recompute")


_SECTIONS: Final[dict[str, Callable[[Voice, Figures, QualityReport], Blocks]]] = {
    "accuracy": _accuracy,
    "calibration": _calibration,
    "confidences": _confidences,
    "use": _use,
    "classes": _classes,
    "agreement": _agreement,
    "workers": _workers,
    "gold": _gold,
    "gates": _gates,
    "sample": _sample,
    "appeals": _appeals,
    "method": _method,
}
