"""The figures of a report: by hand on a small request, against the database's own, and from the exported file."""

import json
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import pytest
from sqlmodel import select

from marketplace.catalog.models import DatasetRequest, Delivery, Export
from marketplace.catalog.states import ExportFormat
from marketplace.core.storage import open_store
from marketplace.quality.delivery_report.accuracy import reliability_figures
from marketplace.quality.delivery_report.compare import MISSING, compare_reports, is_same_engine
from marketplace.quality.delivery_report.compute import compute_report
from marketplace.quality.delivery_report.evidence import Appeal, Builder, Evidence, Header, Review, Verdict
from marketplace.quality.delivery_report.evidence_file import EvidenceBroken, lines_of, read_evidence
from marketplace.quality.delivery_report.load import load_evidence
from marketplace.quality.delivery_report.relabel import GoldLabels
from marketplace.quality.delivery_report.schemas import Source
from marketplace.quality.export_rows import write_file
from marketplace.quality.gates.runner import version_of
from marketplace.quality.policy import jeffreys
from marketplace.quality.report import make_report
from tests.factories.catalog import SENTIMENT
from tests.quality.report.delivered import make_delivered
from tests.quality.test_completion import make_mixed
from workers.handlers import WorkerResources

GATES = {"gates": [{"gate": "completeness"}], "label_schema_version": 1, "max_reworks": 1}
CONSTANT = UUID(int=7)


def item(number: int) -> UUID:
    return UUID(int=1000 + number)


def say(label: str) -> dict[str, str]:
    return {"choice": label}


def small(**changes: Any) -> Evidence:
    """Two tasks and one gold item, three workers; the third is wrong on the second task and on gold."""
    plan = {"overlap_min": 2, "overlap_max": 5}
    builder = Builder()
    builder.header = Header(
        request_id=CONSTANT, made_at="2026-01-02T03:04:05+00:00", label_kind="single_choice",
        label_definition=SENTIMENT, label_schema_version=1, guideline_version=1, quality_plan=plan,
        gate_set_version=version_of(GATES), gate_set=GATES, seed=5,
    )  # fmt: skip
    for name in ("wa", "wb", "wc"):
        builder.add_worker(name)
    builder.add_item(item(3), {"truth": say("positive")})
    builder.add_item(item(1), {"label": say("positive"), "confidence": 0.9, "done": True})
    builder.add_item(item(2), {"label": say("negative"), "confidence": 0.7, "done": False})
    said = {
        "wa": ("positive", "negative", "positive"), "wb": ("positive", "negative", "positive"),
        "wc": ("positive", "positive", "negative"),
    }  # fmt: skip
    for claim, (worker, labels) in enumerate(said.items()):
        for number, label in enumerate(labels, start=1):
            row = {"claim": claim, "revision": 1, "value": say(label), "seconds": 10.0 * number, "counts": True}
            builder.add_answer(item(number), worker, row)
        builder.verdicts.append(Verdict(claim, 1, worker, "accepted", "passed", [["completeness", "accepted"]]))
    builder.appeals = changes.get("appeals", [])
    builder.reviews = changes.get("reviews", [])
    return builder.build()


def test_figures_are_those_of_hand_when_a_request_is_small() -> None:
    report = compute_report(small(appeals=[Appeal(0, 1, "overturned"), Appeal(1, 1, "open")]))
    assert (report.tasks, report.labeled, report.done, report.answers, report.workers) == (2, 2, 1, 6, 3)
    assert (report.gold.right, report.gold.seen) == (2, 3)
    assert report.agreement.pairwise == pytest.approx((1 + 1 / 3) / 2)
    assert report.label_use is not None
    assert (report.label_use.used, report.label_use.most, report.label_use.saved) == (6, 10, 4)
    assert report.confusion is not None
    at = {name: place for place, name in enumerate(report.confusion.labels)}
    counts = report.confusion.counts
    assert counts[at["positive"]][at["positive"]] == 3
    assert (counts[at["negative"]][at["negative"]], counts[at["negative"]][at["positive"]]) == (2, 1)
    figures = {each.label: each for each in report.class_figures}
    assert (figures["negative"].recall, figures["negative"].precision) == (pytest.approx(2 / 3), 1.0)
    assert figures["positive"].precision == pytest.approx(3 / 4)
    assert report.worker_distribution is not None
    worst = {each.worker: each for each in report.worker_distribution.listed}["wc"]
    assert (worst.answers, worst.gold_right, worst.gold_seen, worst.agreed, worst.compared) == (2, 0, 1, 1, 2)
    assert worst.median_seconds == 15.0
    assert report.gates is not None
    assert report.gates.holds
    assert report.gates.counts[0].runs == 3
    assert report.appeals is not None
    assert (report.appeals.filed, report.appeals.open, report.appeals.overturned) == (2, 1, 1)


def test_confidence_heads_the_report_when_reviews_and_gold_are_few() -> None:
    accuracy = compute_report(small(reviews=[Review(item(1), True)])).accuracy
    assert accuracy is not None
    assert accuracy.headline is Source.CONFIDENCE
    by = {one.source: one for one in accuracy.estimates}
    assert by[Source.CONFIDENCE].value == pytest.approx(0.8)
    reach = 1.959963984540054 * np.sqrt(0.9 * 0.1 + 0.7 * 0.3) / 2
    assert by[Source.CONFIDENCE].low == pytest.approx(0.8 - reach)
    assert (by[Source.REVIEWS].samples, by[Source.GOLD_ANSWERS].samples) == (1, 3)


def test_reviews_head_the_report_when_there_are_enough() -> None:
    reviews = [Review(item(1), number < 19) for number in range(20)]
    accuracy = compute_report(small(reviews=reviews)).accuracy
    assert accuracy is not None
    assert accuracy.headline is Source.REVIEWS
    assert accuracy.estimates[0].value == pytest.approx(0.95)


def test_interval_is_jeffreys_when_compared_with_published_values() -> None:
    # Brown, Cai, DasGupta 2001, table 5: n = 10, x = 3 gives [0.093, 0.606]
    assert jeffreys(3, 10) == (pytest.approx(0.093, abs=6e-4), pytest.approx(0.606, abs=6e-4))
    assert jeffreys(0, 10)[0] == 0
    assert jeffreys(10, 10)[1] == 1


def test_calibration_error_is_weighed_by_tasks_when_bins_differ() -> None:
    labeled = GoldLabels(np.array([0.95, 0.95, 0.95, 0.55]), np.array([True, True, False, True]))
    figures = reliability_figures(labeled)
    assert figures is not None
    assert figures.expected_error == pytest.approx((3 * abs(0.95 - 2 / 3) + abs(0.55 - 1)) / 4)
    assert [one.tasks for one in figures.bins] == [0, 0, 0, 0, 0, 1, 0, 0, 0, 3]
    assert reliability_figures(GoldLabels(np.array([]), np.array([], dtype=bool))) is None


def encoded(evidence: Evidence, report: dict[str, Any] | None = None) -> list[bytes]:
    return [msgspec.json.encode(line) for line in lines_of(evidence, report)]


def test_file_says_the_same_when_read_and_written_again() -> None:
    evidence = small(appeals=[Appeal(0, 1, "open")], reviews=[Review(item(1), True)])
    lines = encoded(evidence, {"tasks": 2})
    again, report = read_evidence(lines)
    assert report == {"tasks": 2}
    assert encoded(again, report) == lines
    assert compute_report(again) == compute_report(evidence)


def test_figures_stay_when_the_rows_come_in_another_order() -> None:
    lines = encoded(small())
    answers = [line for line in lines if b'"line":"answer"' in line]
    others = [line for line in lines if line not in answers]
    again, _ = read_evidence([*others, *reversed(answers)])
    assert compute_report(again) == compute_report(small())


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "line 2"),
        (b'{"line":"moon"}', "moon"),
        (b'{"line":"answer","item":"00000000-0000-0000-0000-000000000001","worker":"w"}', "KeyError"),
        (b"[]", "line 2"),
    ],
    ids=["no_json", "unknown_line", "unknown_item", "no_object"],
)
def test_file_is_refused_when_a_line_is_broken(line: bytes, says: str) -> None:
    with pytest.raises(EvidenceBroken, match=says):
        read_evidence([encoded(small())[0], line])


def test_empty_request_has_a_report_when_nobody_has_answered() -> None:
    builder = Builder()
    builder.header = small().header
    report = compute_report(builder.build())
    assert (report.tasks, report.mean_confidence, report.reliability) == (0, None, None)
    assert report.accuracy is not None
    assert report.accuracy.headline is None


async def test_every_figure_is_reproduced_when_a_request_is_exported(worker_resources: WorkerResources) -> None:
    work = await make_delivered(worker_resources)
    store = open_store(worker_resources.settings)
    async with work.database.sessions() as session:
        request = await session.get_one(DatasetRequest, work.request.id)
        live = (await make_report(session, request)).model_dump(mode="json", exclude_defaults=True)
        delivery = (await session.exec(select(Delivery).where(Delivery.request_id == request.id))).one()
        delivery.report = {**delivery.report, "tasks": 0}  # as if something had happened since
        export = Export(request_id=request.id, format=ExportFormat.EVIDENCE, with_answers=True)
        session.add_all([delivery, export])
        await session.flush()
        done = await write_file(session, store, request.id, export.id)
        await session.refresh(delivery)
        stored = delivery.report
        await session.commit()
    both = compare_reports(live, {name: stored[name] for name in live})
    assert [each for each in both if not each.is_equal and each.stored is not MISSING] == []
    assert stored["tasks"] == 6
    content = bytes(await (await store.get_async(str(done.object_key))).bytes_async())
    evidence, report = read_evidence(content.splitlines())
    assert report == stored
    compared = compare_reports(stored, compute_report(evidence).model_dump(mode="json"))
    assert [each for each in compared if not each.is_equal] == []
    assert stored["refit"] == {"tasks": 6, "same": 6, "largest_difference": 0, "same_model": True}
    assert str(work.workers[0]) not in content.decode()


async def test_figures_differ_when_one_answer_of_the_export_is_changed(worker_resources: WorkerResources) -> None:
    work = await make_mixed(worker_resources.database, worker_resources.settings)
    async with work.database.sessions() as session:
        request = await session.get_one(DatasetRequest, work.request.id)
        evidence = await load_evidence(session, request)
    report = compute_report(evidence).model_dump(mode="json")
    lines = [json.loads(line) for line in encoded(evidence)]
    gold = {line["id"] for line in lines if "truth" in line}
    changed = next(line for line in lines if line["line"] == "answer" and line["item"] not in gold and line["counts"])
    changed["value"] = say("positive" if changed["value"] == say("negative") else "negative")
    again, _ = read_evidence(json.dumps(line).encode() for line in lines)
    different = [
        each.path
        for each in compare_reports(report, compute_report(again).model_dump(mode="json"))
        if not each.is_equal
    ]
    assert any(path.startswith("confusion") for path in different)
    assert any(path.startswith("agreement") for path in different)


def test_figures_of_a_fit_are_left_out_when_another_engine_made_the_report() -> None:
    report = compute_report(small()).model_dump(mode="json")
    old = {**report, "method": {**report["method"], "engine": "another"}, "refit": None}
    assert not is_same_engine(old, report)
    compared = compare_reports(old, report)
    assert all(each.is_equal for each in compared)
    assert {each.path.split(".")[0] for each in compared} & {"method", "refit", "accuracy", "reliability"} == set()
    assert [each.path for each in compare_reports({**old, "tasks": 99}, report) if not each.is_equal] == ["tasks"]
