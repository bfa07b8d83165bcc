"""Tables of integrity: what the tests of fraud found, and how far each request has been looked at."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field

from marketplace.core.clock import now
from marketplace.core.tables import Timed


class WorkerIntegrity(Timed, table=True):
    """The newest findings on a worker of a request, made from `labels` answers at `made_at`.

    `spammer_score` is Raykar and Yu's (0: says nothing), `spammer_p` how often an honest worker at the floor scores no
    better; `copy_z` is of the worker's most suspicious pair, `copied_with` its other one, `is_copier` the later of the
    two (both, when it cannot be told); `pattern_period` is the period of a bot. `false_alarm_rate` is stated for the
    spammer test per worker at the honest floor; it is also the false discovery rate among pairs. `fast_run` flags only.
    """

    __tablename__ = "worker_integrity"
    __table_args__ = (Index(None, "worker_id", "request_id"),)

    request_id: UUID = Field(primary_key=True)
    worker_id: UUID = Field(primary_key=True)
    labels: int
    spammer_score: float
    spammer_p: float | None = None
    is_spammer: bool = False
    copy_z: float | None = None
    copy_p: float | None = None
    copied_with: UUID | None = None
    common_tasks: int = 0
    is_copier: bool = False
    pattern_period: int | None = None
    pattern_p: float | None = None
    is_bot: bool = False
    fast_run: int = 0
    false_alarm_rate: float
    flagged_at: datetime | None = None
    made_at: datetime = Field(default_factory=now)


class ConductMark(Timed, table=True):
    """How far the conduct of a request's workers has been looked at, and when the next look may come.

    `is_final` once all work was done when it was looked at.
    """

    __tablename__ = "conduct_mark"
    __table_args__ = (Index("ix_conduct_mark_open", "request_id", postgresql_where=text("NOT is_final")),)

    request_id: UUID = Field(primary_key=True)
    last_verdict_id: UUID | None = None
    tested_verdicts: int = 0
    is_final: bool = False
    checked_at: datetime = Field(default_factory=now)
    due_at: datetime = Field(default_factory=now)
