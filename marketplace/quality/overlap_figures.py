"""Labels used and saved: foreseen before a request starts, and counted while it goes on."""

import asyncio
from typing import Annotated, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.catalog.label_schemas import read_definition
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import label_schema, request_of
from marketplace.catalog.schemas import MAX_UNIT_PRICE, QualityPlan
from marketplace.catalog.states import LabelKind
from marketplace.core.actor import Actor
from marketplace.core.errors import FieldProblem
from marketplace.core.money import PRICE_SCALE
from marketplace.quality.consensus.posterior import OPEN_CLASSES
from marketplace.quality.errors import OverlapReversed
from marketplace.quality.overlap import StoppingRule
from marketplace.quality.overlap_preview import Crowd, Foreseen, Range, foresee
from marketplace.quality.policy import PRIOR_ACCURACY
from marketplace.quality.spec import CHOICE_KINDS, read_spec

ENOUGH_WORKERS: Final = 30
ENOUGH_REQUESTS: Final = 3
PRIOR_ERROR: Final = 0.07
"""How far the mean accuracy of a crowd nobody has measured lies from `PRIOR_ACCURACY`: sets show 70 to 90 %."""
_SIMILAR: Final = text(
    """
    WITH like_it AS (
        SELECT r.id FROM request_model m JOIN dataset_request r ON r.id = m.request_id
        JOIN label_schema l ON l.request_id = r.id AND l.version = r.label_schema_version
        WHERE l.kind = :kind AND r.id <> :request ORDER BY m.fitted_at DESC LIMIT 100
    ), means AS (
        SELECT s.request_id, avg(s.accuracy) AS accuracy, count(*) AS workers
        FROM request_skill s JOIN like_it ON like_it.id = s.request_id
        WHERE s.answers >= 20 AND NOT EXISTS (
            SELECT 1 FROM annotator a WHERE a.request_id = s.request_id AND a.id = s.worker_id)
        GROUP BY s.request_id
    )
    SELECT avg(accuracy) AS accuracy, stddev_samp(accuracy) AS error, count(*) AS requests,
           coalesce(sum(workers), 0) AS workers FROM means
    """
)
_USED: Final = text(
    """
    SELECT (SELECT count(*) FROM task WHERE request_id = :request) AS tasks,
           (SELECT coalesce(sum(answered), 0) FROM task WHERE request_id = :request) AS used,
           (SELECT count(*) FROM task WHERE request_id = :request AND done AND answered < :most) AS early,
           (SELECT coalesce(sum(:most - answered), 0) FROM task
            WHERE request_id = :request AND done AND answered < :most) AS saved,
           (SELECT coalesce(sum(withdrawn_units), 0) FROM contract_plan WHERE request_id = :request) AS withdrawn
    """
)


class OverlapQuestion(BaseModel):
    """What to foresee; what is not given is the request's own, `accuracy` what similar requests showed."""

    model_config = ConfigDict(extra="forbid")

    overlap_min: Annotated[int | None, Field(ge=1, le=50)] = None
    overlap_max: Annotated[int | None, Field(ge=1, le=50)] = None
    confidence_target: Annotated[float | None, Field(gt=0.5, lt=1)] = None
    lead: Annotated[float | None, Field(ge=0, le=50)] = None
    accuracy: Annotated[float | None, Field(ge=0.05, le=0.99)] = None
    unit_price: Annotated[int | None, Field(gt=0, le=MAX_UNIT_PRICE)] = None


class RangeView(BaseModel):
    """A figure, and the span in which it lies for nine crowds of ten."""

    mean: float
    low: float
    high: float


class OverlapPreview(BaseModel):
    """What adaptive overlap is expected to cost and bring, against `overlap_max` answers for every task.

    `accuracy_from` says what the workers' accuracy rests on: `given`, `similar_requests` or `prior`. Costs are in minor
    units at the unit price; `saved_share` is of the labels, and so of the cost.
    """

    items: int
    worker_accuracy: float
    accuracy_from: str
    answers_per_task: RangeView
    accuracy: RangeView
    accuracy_of_fixed: RangeView
    cost_minor: RangeView
    cost_of_fixed_minor: int
    saved_share: RangeView
    currency: str


class OverlapFigures(BaseModel):
    """Labels used and saved so far: `saved` counts what tasks that are done have less than `overlap_max`.

    `withdrawn` of them had a seat already, which was taken back before anybody claimed it.
    """

    tasks: int
    used: int
    done_early: int
    saved: int
    saved_share: float
    withdrawn: int


async def preview(session: AsyncSession, actor: Actor, request_id: UUID, question: OverlapQuestion) -> OverlapPreview:
    """Foresee the overlap of the actor's own request.

    Raises:
        RequestNotFound, LabelSchemaNotFound: there is no such request, or nothing to be asked about it yet.
        OverlapReversed: the least overlap is above the most.
    """
    request = await request_of(session, actor, request_id)
    plan = QualityPlan.model_validate(request.quality_plan)
    least, most = question.overlap_min or plan.overlap_min, question.overlap_max or plan.overlap_max
    if least > most:
        raise OverlapReversed(fields=[FieldProblem("overlap_min", f"is above the most overlap, {most}")])
    schema = await label_schema(session, request_id)
    spec = read_spec(read_definition(schema.definition))
    crowd, source = await _crowd(session, request_id, schema.kind, question.accuracy)
    lead = plan.adaptive.lead if question.lead is None else question.lead
    rule = StoppingRule(question.confidence_target or plan.confidence_target, lead, lead)
    if schema.kind is LabelKind.SINGLE_CHOICE:  # as consolidation.is_done stops them
        rule = rule.of_posteriors()
    classes = len(spec.classes) if schema.kind in CHOICE_KINDS else OPEN_CLASSES
    found = await asyncio.to_thread(foresee, rule, least, most, classes, crowd, request.seed)
    return _view(request, found, most, question.unit_price or request.unit_price_ceiling, (crowd, source))


def _view(
    request: DatasetRequest, found: Foreseen, most: int, unit_price: int, crowd: tuple[Crowd, str]
) -> OverlapPreview:
    items = request.item_count

    def cost(answers: float) -> int:
        return -(-round(items * answers) * unit_price // PRICE_SCALE)

    answers = found.answers
    saved = Range(1 - answers.mean / most, 1 - answers.high / most, 1 - answers.low / most)
    costs = Range(*(cost(figure) for figure in (answers.mean, answers.low, answers.high)))
    return OverlapPreview(
        items=items,
        worker_accuracy=crowd[0].accuracy,
        accuracy_from=crowd[1],
        answers_per_task=_range(answers),
        accuracy=_range(found.accuracy),
        accuracy_of_fixed=_range(found.accuracy_of_all),
        cost_minor=_range(costs),
        cost_of_fixed_minor=cost(most),
        saved_share=_range(saved),
        currency=request.currency,
    )


def _range(found: Range) -> RangeView:
    return RangeView(mean=found.mean, low=found.low, high=found.high)


async def _crowd(session: AsyncSession, request_id: UUID, kind: LabelKind, given: float | None) -> tuple[Crowd, str]:
    """Return how good workers will be: as given, as in requests of the same kind (enough that none shows), or prior."""
    if given is not None:
        return Crowd(given, 0.0), "given"
    row = (await session.execute(_SIMILAR, {"kind": str(kind), "request": request_id})).one()
    if row.requests >= ENOUGH_REQUESTS and row.workers >= ENOUGH_WORKERS:
        return Crowd(float(row.accuracy), float(row.error)), "similar_requests"
    return Crowd(PRIOR_ACCURACY, PRIOR_ERROR), "prior"


async def overlap_figures(session: AsyncSession, request: DatasetRequest) -> OverlapFigures:
    """Count labels used and saved; for the report of a delivery too."""
    most = QualityPlan.model_validate(request.quality_plan).overlap_max
    row = (await session.execute(_USED, {"request": request.id, "most": most})).one()
    whole = row.used + row.saved
    return OverlapFigures(
        tasks=row.tasks,
        used=row.used,
        done_early=row.early,
        saved=row.saved,
        saved_share=row.saved / whole if whole else 0.0,
        withdrawn=row.withdrawn,
    )


async def figures_of(session: AsyncSession, actor: Actor, request_id: UUID) -> OverlapFigures:
    """Count labels used and saved of the actor's own request; see `overlap_figures`."""
    return await overlap_figures(session, await request_of(session, actor, request_id))
