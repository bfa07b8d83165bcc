"""Tables of the work. All lead with `request_id`; a task's id is its item's id."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Index, Integer, UniqueConstraint, Uuid, text
from sqlmodel import Field

from marketplace.core.clock import now
from marketplace.core.tables import OfRequest, Timed, enum_field, json_field
from marketplace.tasks.states import ClaimState, SeatState

HOLDS_SEAT = "state NOT IN ('returned', 'expired')"


class Task(Timed, table=True):
    """An item inside a contract. `planned` answers have a seat, `answered` were accepted; `done` needs no more."""

    __tablename__ = "task"
    __table_args__ = (
        Index(
            "ix_task_open",
            "request_id",
            "contract_id",
            "block",
            postgresql_where=text("NOT done"),
        ),
        Index(None, "request_id", "contract_id"),
        Index("ix_task_spare", "request_id", "contract_id", postgresql_where=text("done AND answered < planned")),
    )

    request_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    contract_id: UUID
    block: int
    planned: int = 0
    answered: int = 0
    done: bool = False


class ContractPlan(Timed, table=True):
    """How many units of a contract have a seat; the row that everything which plans seats locks first.

    `withdrawn_units` had one that nobody had claimed when its tasks became sure.
    """

    __tablename__ = "contract_plan"

    request_id: UUID = Field(primary_key=True)
    contract_id: UUID = Field(primary_key=True)
    planned_units: int = Field(default=0, sa_type=BigInteger)
    bundle_count: int = 0
    withdrawn_units: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})


class Bundle(OfRequest, table=True):
    """An ordered set of tasks, claimed and paid as one; `blocks` name the groups of items its tasks come from."""

    __tablename__ = "bundle"
    __table_args__ = (Index(None, "request_id", "contract_id"),)

    contract_id: UUID
    task_ids: list[UUID] = Field(sa_type=ARRAY(Uuid))
    blocks: list[int] = Field(sa_type=ARRAY(Integer))
    gold_wanted: int


class Seat(OfRequest, table=True):
    """A place for one worker at a bundle; a bundle has as many as its tasks need answers."""

    __tablename__ = "seat"
    __table_args__ = (Index(None, "request_id", "bundle_id"),)

    bundle_id: UUID
    contract_id: UUID
    rank: int = Field(sa_type=BigInteger)
    reserved_for: UUID | None = None
    state: SeatState = enum_field(SeatState, "state", SeatState.READY)


class OpenSeat(Timed, table=True):
    """The narrow queue that claims are taken from: one row a ready seat, gone while the seat is held.

    `rank` orders the queue: all bundles get their first answer before any gets its second.
    """

    __tablename__ = "open_seat"
    __table_args__ = (
        Index("ix_open_seat_open", "request_id", "contract_id", "rank", postgresql_where=text("reserved_for IS NULL")),
        Index(
            "ix_open_seat_reserved",
            "request_id",
            "reserved_for",
            "contract_id",
            "rank",
            postgresql_where=text("reserved_for IS NOT NULL"),
        ),
    )

    request_id: UUID = Field(primary_key=True)
    seat_id: UUID = Field(primary_key=True)
    contract_id: UUID
    bundle_id: UUID
    rank: int = Field(sa_type=BigInteger)
    blocks: list[int] = Field(sa_type=ARRAY(Integer))
    units: int
    gold_wanted: int
    reserved_for: UUID | None = None


class RequestWorker(Timed, table=True):
    """A worker in a request: the guideline version confirmed, the contracts open to them, and what they have seen.

    `seen_blocks` keeps an item from being answered twice, `gold_cursor` keeps a gold from being met twice, and
    `gold_scale` is the part of a bundle's gold that this worker still gets. `more_gold` is how many gold tasks the next
    claim holds beyond that, after work that was implausibly fast. The row is
    also the lock that makes one worker's claims on a request follow each other.
    """

    __tablename__ = "request_worker"

    request_id: UUID = Field(primary_key=True)
    worker_id: UUID = Field(primary_key=True, index=True)
    guideline_version: int
    contract_ids: list[UUID] = Field(sa_type=ARRAY(Uuid))
    seen_blocks: list[int] = Field(sa_type=ARRAY(Integer))
    gold_cursor: int = 0
    gold_scale: float = Field(default=1.0, sa_column_kwargs={"server_default": "1"})
    more_gold: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    held: int = 0


class Claim(OfRequest, table=True):
    """A worker's timed, exclusive lease on a seat. `units` of work are paid; gold is not, it is part of the price.

    `key` is the client's own, so that a repeated claim finds the first one. `revision` counts submissions.
    """

    __tablename__ = "claim"
    __table_args__ = (
        UniqueConstraint("request_id", "worker_id", "key"),
        Index(
            "uq_claim_worker_bundle",
            "request_id",
            "worker_id",
            "bundle_id",
            unique=True,
            postgresql_where=text(HOLDS_SEAT),
        ),
        Index(
            "uq_claim_seat",
            "request_id",
            "seat_id",
            unique=True,
            postgresql_where=text(f"{HOLDS_SEAT} AND state <> 'rejected'"),
        ),
        Index("ix_claim_lease", "lease_expires_at", postgresql_where=text("state IN ('claimed', 'rework')")),
        Index(
            "ix_claim_undecided",
            "request_id",
            "contract_id",
            postgresql_where=text("state IN ('claimed', 'rework', 'submitted')"),
        ),
        Index(None, "worker_id", "id"),
        CheckConstraint("revision >= 0", name="revision_counts"),
    )

    seat_id: UUID
    bundle_id: UUID
    contract_id: UUID
    worker_id: UUID
    key: str
    state: ClaimState = enum_field(ClaimState, "state", ClaimState.CLAIMED)
    units: int
    gold_start: int
    gold_count: int
    revision: int = 0
    lease_expires_at: datetime
    submission_id: UUID | None = None
    submitted_at: datetime | None = None
    active_seconds: float | None = None


class Answer(Timed, table=True):
    """One worker's label for one task; immutable. The primary key keeps a worker from answering an item twice."""

    __tablename__ = "answer"
    __table_args__ = (Index(None, "request_id", "claim_id"),)

    request_id: UUID = Field(primary_key=True)
    task_id: UUID = Field(primary_key=True)
    worker_id: UUID = Field(primary_key=True)
    revision: int = Field(primary_key=True)
    claim_id: UUID
    value: Any = json_field()
    seconds: float
    is_gold: bool


class Draft(Timed, table=True):
    """Answers saved before the submission: {task id: {"value": …, "seconds": …}}."""

    __tablename__ = "draft"

    request_id: UUID = Field(primary_key=True)
    claim_id: UUID = Field(primary_key=True)
    answers: dict[str, Any] = json_field()
    saved_at: datetime = Field(default_factory=now)


class LateSubmission(OfRequest, table=True):
    """Work that arrived after its lease ended and its seat was gone: kept, with the reason told to the worker."""

    __tablename__ = "late_submission"
    __table_args__ = (UniqueConstraint("request_id", "claim_id"),)

    claim_id: UUID
    worker_id: UUID
    submission_id: UUID
    answers: dict[str, Any] = json_field()
    reason: str
