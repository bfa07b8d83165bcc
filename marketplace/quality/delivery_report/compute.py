"""Every figure of a delivery's report, from its evidence alone: what the server stores, and what anybody recomputes."""

from collections import Counter
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from marketplace.quality.delivery_report.accuracy import BINS, accuracy_figures, reliability_figures
from marketplace.quality.delivery_report.agree import agreement_figures
from marketplace.quality.delivery_report.classes import class_figures, confusion_figures, label_counts
from marketplace.quality.delivery_report.evidence import NONE, Evidence, Floats
from marketplace.quality.delivery_report.golden import GoldAnswers
from marketplace.quality.delivery_report.people import worker_distribution
from marketplace.quality.delivery_report.relabel import Relabeler, gold_labels, relabel
from marketplace.quality.delivery_report.schemas import (
    AppealFigures,
    GateCount,
    GateFigures,
    LabelUse,
    SampleFigures,
)
from marketplace.quality.gates.runner import version_of
from marketplace.quality.policy import share_of
from marketplace.quality.schemas import (
    ClassCount,
    ConfidenceBin,
    GoldFigures,
    OverlapCount,
    QualityReport,
    SubmissionFigures,
)
from marketplace.quality.states import AppealState, Outcome


def compute_report(evidence: Evidence) -> QualityReport:
    """Return the report: equal evidence gives equal figures, whoever computes it."""
    header, items = evidence.header, evidence.items
    gold = GoldAnswers(evidence)
    relabeler = Relabeler(evidence)
    labeled_gold = gold_labels(evidence, gold, relabeler)
    method, refit = relabel(evidence, relabeler)
    labeled = np.flatnonzero(items.label != NONE)
    overlap = evidence.count_per_item(evidence.counted)[labeled]
    right, seen = int(gold.right.sum()), len(gold.right)
    confidence = items.confidence[labeled]
    return QualityReport(
        request_id=header.request_id,
        made_at=datetime.fromisoformat(header.made_at),
        label_kind=header.label_kind,
        label_schema_version=header.label_schema_version,
        guideline_version=header.guideline_version,
        gate_set_version=header.gate_set_version,
        tasks=int((~evidence.is_gold).sum()),
        labeled=len(labeled),
        done=int(items.done.sum()),
        answers=len(evidence.counted),
        workers=len(np.unique(evidence.answers.worker[evidence.counted])),
        answers_per_task=share_of(len(evidence.counted), len(labeled)),
        mean_confidence=float(confidence.mean()) if len(labeled) else None,
        overlap=_overlap(overlap),
        gold=GoldFigures(right=right, seen=seen, accuracy=share_of(right, seen)),
        agreement=agreement_figures(evidence),
        submissions=_submissions(evidence),
        classes=[ClassCount(label=name, count=count) for name, count in label_counts(evidence).items()],
        confidence=_confidence(confidence),
        accuracy=accuracy_figures(evidence, gold, labeled_gold),
        reliability=reliability_figures(labeled_gold),
        class_figures=class_figures(evidence),
        confusion=confusion_figures(evidence),
        worker_distribution=worker_distribution(evidence, gold),
        label_use=_label_use(evidence, len(labeled)),
        gates=_gates(evidence),
        sample=_sample(evidence),
        appeals=_appeals(evidence),
        method=method,
        refit=refit,
    )


def _overlap(counts: NDArray[np.intp]) -> list[OverlapCount]:
    answers, tasks = np.unique(counts, return_counts=True)
    return [OverlapCount(answers=n, tasks=often) for n, often in zip(answers.tolist(), tasks.tolist(), strict=True)]


def _confidence(confidence: Floats) -> list[ConfidenceBin]:
    counts = np.bincount(np.minimum((confidence * BINS).astype(int), BINS - 1), minlength=BINS)
    return [ConfidenceBin(low=at / BINS, high=(at + 1) / BINS, tasks=int(counts[at])) for at in range(BINS)]


def _submissions(evidence: Evidence) -> SubmissionFigures:
    counts = Counter(verdict.outcome for verdict in evidence.verdicts)
    reasons = Counter(verdict.reason for verdict in evidence.verdicts if verdict.outcome != Outcome.ACCEPTED)
    accepted, rejected = counts[Outcome.ACCEPTED], counts[Outcome.REJECTED]
    return SubmissionFigures(
        decided=accepted + rejected,
        accepted=accepted,
        rejected=rejected,
        reworked=counts[Outcome.REWORK],
        rejected_share=share_of(rejected, accepted + rejected),
        rework_share=share_of(counts[Outcome.REWORK], len(evidence.verdicts)),
        reasons=dict(sorted(reasons.items())),
    )


def _label_use(evidence: Evidence, labeled: int) -> LabelUse:
    used, most = len(evidence.counted), evidence.plan.overlap_max * labeled
    saved = max(most - used, 0)
    return LabelUse(used=used, most=most, saved=saved, saved_share=share_of(saved, most))


def _gates(evidence: Evidence) -> GateFigures | None:
    header = evidence.header
    if header.gate_set is None or header.gate_set_version is None:
        return None
    ran: dict[str, Counter[str]] = {}
    for verdict in evidence.verdicts:
        for gate, outcome in verdict.gates:
            ran.setdefault(gate, Counter())[outcome] += 1
    counts = [
        GateCount(
            gate=gate, runs=found.total(), accepted=found[Outcome.ACCEPTED], rework=found[Outcome.REWORK],
            rejected=found[Outcome.REJECTED],
        )
        for gate, found in ran.items()
    ]  # fmt: skip
    return GateFigures(
        version=header.gate_set_version, holds=version_of(header.gate_set) == header.gate_set_version,
        definition=header.gate_set, counts=counts,
    )  # fmt: skip


def _sample(evidence: Evidence) -> SampleFigures | None:
    if evidence.sampling is None:
        return None
    wrong = sum(not review.right for review in evidence.reviews)
    plan, result = evidence.sampling.plan, evidence.sampling.result
    return SampleFigures(plan=plan, reviewed=len(evidence.reviews), wrong=wrong, result=result)


def _appeals(evidence: Evidence) -> AppealFigures:
    found = Counter(appeal.state for appeal in evidence.appeals)
    return AppealFigures(
        filed=found.total(), open=found[AppealState.OPEN], upheld=found[AppealState.UPHELD],
        overturned=found[AppealState.OVERTURNED],
    )  # fmt: skip
