"""What consensus learned of a request, kept: written by a fit, read by every judgement."""

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.clock import now
from marketplace.quality.annotators.predicting import with_models
from marketplace.quality.cases import Rules
from marketplace.quality.consensus.answers import AnswerTable
from marketplace.quality.consensus.engine import AnswerRow, Calibration, Convergence, Learned
from marketplace.quality.consensus.registry import MODELS
from marketplace.quality.gold.trust import trusted_truths
from marketplace.quality.learned_models import RequestModel
from marketplace.quality.queries import request_model, request_skills
from marketplace.tasks.queries import first_gold_answers, stream_answers

KEPT_IN_PROCESS: Final = 32
_SKILL_BATCH: Final = 5_000
_STORE: Final = text(
    """
    INSERT INTO request_model (request_id, number, units, answers, parameters, record, calibration, fitted_at)
    VALUES (:request, :basis + 1, :units, :answers, :parameters, CAST(:record AS jsonb), CAST(:calibration AS jsonb),
            :moment)
    ON CONFLICT (request_id) DO UPDATE
    SET number = request_model.number + 1, units = excluded.units, answers = excluded.answers,
        parameters = excluded.parameters, record = excluded.record, calibration = excluded.calibration,
        fitted_at = excluded.fitted_at
    WHERE :last OR request_model.number = :basis
    RETURNING number
    """
)
_FORGET_SKILLS: Final = text("DELETE FROM request_skill WHERE request_id = :request")
_SKILLS: Final = text(
    """
    INSERT INTO request_skill (request_id, worker_id, accuracy, low, high, answers, gold)
    SELECT :request, worker, accuracy, low, high, answers, gold FROM jsonb_to_recordset(CAST(:rows AS jsonb))
        AS made(worker uuid, accuracy float8, low float8, high float8, answers bigint, gold int)
    """
)


@dataclass(frozen=True, slots=True)
class Fit:
    """A finished fit: which stored one it began from (0: none), and how many units and answers it rests on."""

    basis: int
    units: int
    answers: int
    learned: Learned


_kept: OrderedDict[UUID, tuple[int, datetime, Learned]] = OrderedDict()


async def fit_request(session: AsyncSession, request_id: UUID, rules: Rules, units: int) -> Fit:
    """Fit a request's workers to all its answers, gold among them; locks nothing, and computes in a thread.

    In memory stand 12 bytes an answer and 16 a task (`AnswerTable`), and what the kind's model needs beside.
    """
    basis = await session.exec(select(RequestModel.number).where(RequestModel.request_id == request_id))
    number = basis.first() or 0
    table = AnswerTable()
    async for task, worker, value in with_models(session, request_id, stream_answers(session, request_id)):
        table.append(task, worker, value)
    gold = await trusted_truths(session, request_id)
    learned = await asyncio.to_thread(MODELS[rules.spec.kind].fit, rules.spec, table, gold, rules.seed)
    return Fit(number, units, len(table), learned)


async def store_fit(session: AsyncSession, request_id: UUID, fit: Fit, *, last: bool = False) -> int | None:
    """Keep a fit and return its number; None, and nothing kept, when another was kept since this one began.

    `last` says that no answer can come any more, so that this fit holds whatever was kept meanwhile.
    """
    learned = fit.learned
    names = {
        "request": request_id,
        "basis": fit.basis,
        "units": fit.units,
        "answers": fit.answers,
        "parameters": zlib.compress(msgspec.json.encode(learned.parameters)),
        "record": msgspec.json.encode(learned.record).decode(),
        "calibration": msgspec.json.encode(learned.calibration).decode(),
        "moment": now(),
        "last": last,
    }
    number: int | None = (await session.execute(_STORE, names)).scalar_one_or_none()
    if number is None:
        return None
    await session.execute(_FORGET_SKILLS, {"request": request_id})
    rows = [{"worker": worker, **skill._asdict()} for worker, skill in learned.workers.items()]
    for start in range(0, len(rows), _SKILL_BATCH):
        batch = msgspec.json.encode(rows[start : start + _SKILL_BATCH]).decode()
        await session.execute(_SKILLS, {"request": request_id, "rows": batch})
    return number


async def learned_of(session: AsyncSession, request_id: UUID, rules: Rules, answers: Collection[AnswerRow]) -> Learned:
    """Return what the newest fit learned; before the first one, what these answers and their workers' gold tell."""
    columns = select(RequestModel.number, RequestModel.fitted_at).where(RequestModel.request_id == request_id)
    newest = (await session.exec(columns)).first()
    if newest is None:
        return await _first(session, request_id, rules, answers)
    kept = _kept.get(request_id)
    if kept is not None and kept[:2] == tuple(newest):
        _kept.move_to_end(request_id)
        return kept[2]
    stored = await request_model(session, request_id)
    if stored is None:
        return await _first(session, request_id, rules, answers)
    learned = Learned(
        await request_skills(session, request_id),
        msgspec.json.decode(zlib.decompress(stored.parameters)),
        msgspec.convert(stored.record, Convergence),
        msgspec.convert(stored.calibration, Calibration),
    )
    _kept[request_id] = (stored.number, stored.fitted_at, learned)
    _kept.move_to_end(request_id)
    if len(_kept) > KEPT_IN_PROCESS:
        _kept.popitem(last=False)
    return learned


async def _first(session: AsyncSession, request_id: UUID, rules: Rules, answers: Collection[AnswerRow]) -> Learned:
    gold = await trusted_truths(session, request_id)
    known = await first_gold_answers(session, request_id, gold.keys(), {row.worker for row in answers})
    rows = [*answers, *(AnswerRow(each.task_id, each.worker_id, each.value) for each in known)]
    return MODELS[rules.spec.kind].fit(rules.spec, rows, gold, rules.seed)
