"""Looking at labels: the enterprise's browser of items, and random samples to check before acceptance."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit.service import record
from marketplace.catalog.models import DatasetRequest
from marketplace.catalog.queries import request_of
from marketplace.core.actor import Actor
from marketplace.core.paging import Page, PageQuery, decode_cursor, encode_cursor
from marketplace.quality.aliases import worker_alias
from marketplace.quality.report import make_report
from marketplace.quality.schemas import (
    AnswerView,
    ItemFilter,
    ItemView,
    QualityReport,
    SampleItemView,
    SampleView,
)
from marketplace.tasks.queries import AcceptedAnswer, accepted_answers

# Fixed texts put together from fixed parts: no value of a caller gets into them but as a parameter.
_COLUMNS: Final = """
    SELECT i.id, i.external_id, i.data, i.media_key, k.value AS consensus, k.confidence, k.distribution,
           coalesce(k.answers, 0) AS answers, coalesce(t.done, false) AS is_done
    FROM item i
    LEFT JOIN task t ON t.request_id = i.request_id AND t.id = i.id
    LEFT JOIN consensus k ON k.request_id = i.request_id AND k.task_id = i.id
    WHERE i.request_id = :request AND i.position >= 0
"""
_PAGE: Final = text(
    _COLUMNS  # noqa: S608  # see above
    + """
      AND (CAST(:after AS uuid) IS NULL OR i.id > CAST(:after AS uuid))
      AND (CAST(:below AS float8) IS NULL OR k.confidence < CAST(:below AS float8))
      AND (CAST(:done AS bool) IS NULL OR coalesce(t.done, false) = CAST(:done AS bool))
      AND (CAST(:label AS text) IS NULL OR k.value->>'choice' = :label OR k.value->>'preference' = :label
           OR jsonb_exists(k.value->'choices', :label)
           OR k.value->'spans' @> jsonb_build_array(jsonb_build_object('label', CAST(:label AS text)))
           OR k.value->'shapes' @> jsonb_build_array(jsonb_build_object('label', CAST(:label AS text))))
      AND (NOT CAST(:disagreement AS bool) OR (
          SELECT count(DISTINCT a.value - 'note' - 'reasons') FROM answer a
          JOIN claim c ON c.request_id = a.request_id AND c.id = a.claim_id
          WHERE a.request_id = i.request_id AND a.task_id = i.id AND c.state = 'accepted' AND a.revision = c.revision
      ) > 1)
    ORDER BY i.id LIMIT :limit
    """
)
_SAMPLE: Final = text(
    _COLUMNS + " AND k.task_id IS NOT NULL ORDER BY md5(CAST(:seed AS text) || i.id::text), i.id LIMIT :limit"
)


async def report_so_far(session: AsyncSession, actor: Actor, request_id: UUID) -> QualityReport:
    """Return the quality report of a request of the actor's organisation, as things stand now."""
    return await make_report(session, await request_of(session, actor, request_id))


async def browse_items(
    session: AsyncSession, actor: Actor, request_id: UUID, query: PageQuery, wanted: ItemFilter
) -> Page[ItemView]:
    """Return a page of a request's items with their consensus, in the order of their ids; gold is not among them."""
    request = await request_of(session, actor, request_id)
    found = await session.execute(
        _PAGE,
        {
            "request": request.id,
            "after": decode_cursor(query.cursor) if query.cursor else None,
            "below": wanted.confidence_below,
            "done": wanted.is_done,
            "label": wanted.label,
            "disagreement": wanted.disagreement,
            "limit": query.limit + 1,
        },
    )
    rows = found.all()
    _note_view(session, actor, request, rows[: query.limit])
    cursor = encode_cursor(rows[query.limit - 1].id) if len(rows) > query.limit else None
    return Page(items=[ItemView(**row._mapping) for row in rows[: query.limit]], next_cursor=cursor)  # noqa: SLF001  # its documented name


async def draw_sample(session: AsyncSession, actor: Actor, request_id: UUID, size: int, seed: int) -> SampleView:
    """Return a random sample of labeled items with the answers behind each label; a seed gives one sample."""
    request = await request_of(session, actor, request_id)
    found = await session.execute(_SAMPLE, {"request": request.id, "seed": str(seed), "limit": size})
    rows = found.all()
    _note_view(session, actor, request, rows)
    given = await accepted_answers(session, request.id, [row.id for row in rows])
    items = [
        SampleItemView(**row._mapping, given=_given(request.id, given, row.id))  # noqa: SLF001  # its documented name
        for row in rows
    ]
    return SampleView(size=len(items), seed=seed, items=items)


def _given(request_id: UUID, answers: list[AcceptedAnswer], task_id: UUID) -> list[AnswerView]:
    return [
        AnswerView(worker=worker_alias(request_id, answer.worker_id), value=answer.value, seconds=answer.seconds)
        for answer in answers
        if answer.task_id == task_id
    ]


def _note_view(session: AsyncSession, actor: Actor, request: DatasetRequest, rows: Sequence[Row[Any]]) -> None:
    """Each view of data leaves a row in the trail (domain.md, rule 8)."""
    record(
        session, actor, "items.viewed", f"request:{request.id}", organisation_id=request.organisation_id,
        items=len(rows),
    )  # fmt: skip
