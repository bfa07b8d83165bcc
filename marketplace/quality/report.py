"""The quality report: figures of a whole request, each from one set-based query.

Krippendorff's alpha in the form that needs no pairs (K. Krippendorff, "Computing Krippendorff's Alpha-Reliability",
2011): with n_tc answers of class c to task t, m_t answers to the task, and N = Σ m_t over tasks with m_t ≥ 2,

    nominal    α = 1 − (Σ_t (m_t² − Σ_c n_tc²)/(m_t − 1)) / ((N² − Σ_c n_c²)/(N − 1))
    interval   α = 1 − (Σ_t (m_t Σx² − (Σx)²)/(m_t − 1)) / ((N Σx² − (Σx)²)/(N − 1))
"""

from typing import Any, Final

from sqlalchemy import Row, text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import label_schema
from marketplace.catalog.states import LabelKind
from marketplace.core.clock import now
from marketplace.quality.policy import share_of
from marketplace.quality.queries import gate_set_of
from marketplace.quality.schemas import (
    AgreementFigures,
    ClassCount,
    ConfidenceBin,
    GoldFigures,
    OverlapCount,
    QualityReport,
    SubmissionFigures,
)
from marketplace.quality.states import Outcome

BINS: Final = 10
_ACCEPTED: Final = """
    SELECT a.task_id, {label} AS label FROM answer a
    JOIN claim c ON c.request_id = a.request_id AND c.id = a.claim_id
    WHERE a.request_id = :request AND NOT a.is_gold AND c.state = 'accepted' AND a.revision = c.revision
"""
_LABEL_OF: Final = {
    LabelKind.SINGLE_CHOICE: "a.value->>'choice'",
    LabelKind.PAIRWISE_PREFERENCE: "a.value->>'preference'",
    LabelKind.MULTIPLE_CHOICE: (
        "(SELECT coalesce(jsonb_agg(o ORDER BY o), '[]') FROM jsonb_array_elements_text(a.value->'choices') o)::text"
    ),
    LabelKind.NUMERIC_SCALE: "(a.value->>'value')::float8",
}
_NOMINAL: Final = """
    WITH given AS ({accepted}),
    cells AS (SELECT task_id, label, count(*)::float8 AS n FROM given GROUP BY task_id, label),
    units AS (SELECT task_id, sum(n) AS m, sum(n * n) AS q FROM cells GROUP BY task_id HAVING sum(n) > 1),
    totals AS (SELECT label, sum(n) AS n FROM cells JOIN units USING (task_id) GROUP BY label)
    SELECT count(*) AS tasks, avg((q - m) / (m * (m - 1))) AS pairwise,
           sum((m * m - q) / (m - 1)) AS observed,
           (sum(m) ^ 2 - (SELECT sum(n * n) FROM totals)) / nullif(sum(m) - 1, 0) AS expected
    FROM units
"""
_INTERVAL: Final = """
    WITH given AS ({accepted}),
    units AS (
        SELECT task_id, count(*)::float8 AS m, sum(label) AS s, sum(label * label) AS q, count(DISTINCT label) AS values
        FROM given GROUP BY task_id HAVING count(*) > 1
    ), pairs AS (
        SELECT task_id, sum(n * (n - 1)) AS same FROM (
            SELECT task_id, count(*)::float8 AS n FROM given GROUP BY task_id, label
        ) AS cells GROUP BY task_id
    )
    SELECT count(*) AS tasks, avg(same / (m * (m - 1))) AS pairwise, sum((m * q - s * s) / (m - 1)) AS observed,
           (sum(m) * sum(q) - sum(s) ^ 2) / nullif(sum(m) - 1, 0) AS expected
    FROM units JOIN pairs USING (task_id)
"""
_SIMILAR: Final = """
    SELECT count(*) AS tasks, avg((distribution->>'agreeing')::float8) AS pairwise, NULL::float8 AS observed,
           NULL::float8 AS expected
    FROM consensus WHERE request_id = :request AND answers > 1
"""
_LABELS: Final = {
    LabelKind.SINGLE_CHOICE: "SELECT value->>'choice' AS label FROM consensus WHERE request_id = :request",
    LabelKind.PAIRWISE_PREFERENCE: "SELECT value->>'preference' AS label FROM consensus WHERE request_id = :request",
    LabelKind.MULTIPLE_CHOICE: (
        "SELECT jsonb_array_elements_text(value->'choices') AS label FROM consensus WHERE request_id = :request"
    ),
    LabelKind.TEXT_SPANS: (
        "SELECT jsonb_array_elements(value->'spans')->>'label' AS label FROM consensus WHERE request_id = :request"
    ),
    LabelKind.IMAGE_SHAPES: (
        "SELECT jsonb_array_elements(value->'shapes')->>'label' AS label FROM consensus WHERE request_id = :request"
    ),
    LabelKind.NUMERIC_SCALE: (
        "SELECT round((value->>'value')::numeric)::text AS label FROM consensus WHERE request_id = :request"
    ),
}
_CLASSES: Final = "SELECT label, count(*) AS n FROM ({labels}) AS l GROUP BY label ORDER BY n DESC, label LIMIT 1000"
_TOTALS: Final = text(
    """
    SELECT (SELECT count(*) FROM task WHERE request_id = :request) AS tasks,
           (SELECT count(*) FROM task WHERE request_id = :request AND done) AS done,
           (SELECT count(DISTINCT worker_id) FROM claim WHERE request_id = :request AND state = 'accepted') AS workers,
           (SELECT coalesce(sum("right"), 0) FROM worker_gold WHERE request_id = :request) AS gold_right,
           (SELECT coalesce(sum(seen), 0) FROM worker_gold WHERE request_id = :request) AS gold_seen,
           (SELECT avg(confidence) FROM consensus WHERE request_id = :request) AS mean_confidence
    """
)
_OVERLAP: Final = text(
    "SELECT answers, count(*) AS tasks FROM consensus WHERE request_id = :request GROUP BY answers ORDER BY answers"
)
_CONFIDENCE: Final = text(
    """
    SELECT least(floor(confidence * :bins), :bins - 1)::int AS bin, count(*) AS tasks FROM consensus
    WHERE request_id = :request GROUP BY bin
    """
)
_VERDICTS: Final = text(
    "SELECT outcome, reason_code, count(*) AS n FROM verdict WHERE request_id = :request GROUP BY outcome, reason_code"
)


async def make_report(session: AsyncSession, request: DatasetRequest) -> QualityReport:
    """Compute the report of a request as things stand in this transaction."""
    names = {"request": request.id}
    schema = await label_schema(session, request.id, request.label_schema_version or None)
    totals = (await session.execute(_TOTALS, names)).one()
    overlap = [OverlapCount(answers=n, tasks=tasks) for n, tasks in (await session.execute(_OVERLAP, names)).all()]
    labeled = sum(count.tasks for count in overlap)
    answers = sum(count.answers * count.tasks for count in overlap)
    gates = await gate_set_of(session, request.id)
    return QualityReport(
        request_id=request.id,
        made_at=now(),
        label_kind=str(schema.kind),
        label_schema_version=schema.version,
        guideline_version=request.guideline_version,
        gate_set_version=gates.version if gates else None,
        tasks=totals.tasks,
        labeled=labeled,
        done=totals.done,
        answers=answers,
        workers=totals.workers,
        answers_per_task=share_of(answers, labeled),
        mean_confidence=totals.mean_confidence,
        overlap=overlap,
        gold=GoldFigures(
            right=totals.gold_right, seen=totals.gold_seen, accuracy=share_of(totals.gold_right, totals.gold_seen)
        ),
        agreement=await _agreement(session, names, schema.kind),
        submissions=await _submissions(session, names),
        classes=await _classes(session, names, schema.kind),
        confidence=await _confidence(session, names),
    )


async def _agreement(session: AsyncSession, names: dict[str, Any], kind: LabelKind) -> AgreementFigures:
    if kind not in _LABEL_OF:
        row = (await session.execute(text(_SIMILAR), names)).one()
        return AgreementFigures(measure="similar", tasks=row.tasks, pairwise=row.pairwise, alpha=None)
    accepted = _ACCEPTED.format(label=_LABEL_OF[kind])
    form = _INTERVAL if kind is LabelKind.NUMERIC_SCALE else _NOMINAL
    row = (await session.execute(text(form.format(accepted=accepted)), names)).one()
    return AgreementFigures(measure="equal", tasks=row.tasks, pairwise=row.pairwise, alpha=_alpha(row))


def _alpha(row: Row[Any]) -> float | None:
    """Return 1 − observed / expected disagreement; null when all answers are the same, which says nothing."""
    return 1 - row.observed / row.expected if row.expected else None


async def _submissions(session: AsyncSession, names: dict[str, Any]) -> SubmissionFigures:
    counts: dict[str, int] = dict.fromkeys(Outcome, 0)
    reasons: dict[str, int] = {}
    for outcome, reason, count in (await session.execute(_VERDICTS, names)).all():
        counts[outcome] += count
        if outcome != Outcome.ACCEPTED:
            reasons[reason] = reasons.get(reason, 0) + count
    decided = counts[Outcome.ACCEPTED] + counts[Outcome.REJECTED]
    return SubmissionFigures(
        decided=decided,
        accepted=counts[Outcome.ACCEPTED],
        rejected=counts[Outcome.REJECTED],
        reworked=counts[Outcome.REWORK],
        rejected_share=share_of(counts[Outcome.REJECTED], decided),
        rework_share=share_of(counts[Outcome.REWORK], sum(counts.values())),
        reasons=reasons,
    )


async def _classes(session: AsyncSession, names: dict[str, Any], kind: LabelKind) -> list[ClassCount]:
    """Count labels; numbers are rounded to whole ones, texts have no classes."""
    if kind not in _LABELS:
        return []
    found = await session.execute(text(_CLASSES.format(labels=_LABELS[kind])), names)
    return [ClassCount(label=row.label, count=row.n) for row in found]


async def _confidence(session: AsyncSession, names: dict[str, Any]) -> list[ConfidenceBin]:
    found = {row.bin: row.tasks for row in await session.execute(_CONFIDENCE, {**names, "bins": BINS})}
    return [ConfidenceBin(low=i / BINS, high=(i + 1) / BINS, tasks=found.get(i, 0)) for i in range(BINS)]
