"""What follows from a verdict for claim, seat and tasks. The caller has locked the claim (`claim_sheet(lock=True)`)."""

from datetime import datetime
from typing import Final

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.core.states import check_step
from marketplace.matching.models import Contract
from marketplace.matching.states import ContractState
from marketplace.tasks.models import OpenSeat, Seat
from marketplace.tasks.queries import ClaimSheet
from marketplace.tasks.states import CLAIM_STEPS, SEAT_STEPS, ClaimState, SeatState

_ANSWERED: Final = text(
    """
    WITH locked AS (SELECT id FROM task WHERE request_id = :request AND id = ANY(:tasks) ORDER BY id FOR UPDATE)
    UPDATE task SET answered = answered + 1 FROM locked WHERE task.request_id = :request AND task.id = locked.id
    """
)
_NOT_ANSWERED: Final = text(
    """
    WITH locked AS (SELECT id FROM task WHERE request_id = :request AND id = ANY(:tasks) ORDER BY id FOR UPDATE)
    UPDATE task SET answered = answered - 1 FROM locked WHERE task.request_id = :request AND task.id = locked.id
    """
)
_UNPLANNED: Final = text(
    """
    WITH locked AS (SELECT id FROM task WHERE request_id = :request AND id = ANY(:tasks) ORDER BY id FOR UPDATE)
    UPDATE task SET planned = planned - 1 FROM locked WHERE task.request_id = :request AND task.id = locked.id
    """
)
_UNPLANNED_UNITS: Final = text(
    """
    UPDATE contract_plan SET planned_units = planned_units - :units
    WHERE request_id = :request AND contract_id = :contract
    """
)

_MORE_GOLD: Final = text(
    "UPDATE request_worker SET more_gold = :more WHERE request_id = :request AND worker_id = :worker"
)


def _step(sheet: ClaimSheet, target: ClaimState) -> None:
    check_step(CLAIM_STEPS, sheet.claim.state, target)
    sheet.claim.state = target


async def _move_seat(session: AsyncSession, seat: Seat, target: SeatState) -> None:
    check_step(SEAT_STEPS, seat.state, target)
    seat.state = target
    session.add(seat)
    await session.flush()


async def _seat(session: AsyncSession, sheet: ClaimSheet) -> Seat:
    key = (sheet.claim.request_id, sheet.claim.seat_id)
    return await session.get_one(Seat, key, with_for_update=True, populate_existing=True)


async def accept(session: AsyncSession, sheet: ClaimSheet) -> None:
    """The work passed: its answers count, and it will be paid. Also for a rejection that an appeal overturned."""
    seat = await _seat(session, sheet)
    if sheet.claim.state is ClaimState.REJECTED:
        # The seat went to somebody else or was closed; the work that was rightly done gets a seat of its own.
        seat = Seat(
            request_id=seat.request_id,
            bundle_id=seat.bundle_id,
            contract_id=seat.contract_id,
            rank=seat.rank,
            state=SeatState.ACCEPTED,
        )
        session.add(seat)
        await session.flush()
        sheet.claim.seat_id = seat.id
    else:
        await _move_seat(session, seat, SeatState.ACCEPTED)
    _step(sheet, ClaimState.ACCEPTED)
    session.add(sheet.claim)
    await session.execute(_ANSWERED, {"request": sheet.claim.request_id, "tasks": sheet.bundle.task_ids})


async def revoke(session: AsyncSession, sheet: ClaimSheet) -> None:
    """Accepted work turns out wrong after its contract has ended: its answers count no more, and its seat is closed."""
    await reject(session, sheet, reissue=False)
    await session.execute(_NOT_ANSWERED, {"request": sheet.claim.request_id, "tasks": sheet.bundle.task_ids})


async def send_to_rework(session: AsyncSession, sheet: ClaimSheet, until: datetime) -> None:
    """The work goes back to the same worker, who has until then."""
    _step(sheet, ClaimState.REWORK)
    sheet.claim.lease_expires_at = until
    session.add(sheet.claim)
    await _move_seat(session, await _seat(session, sheet), SeatState.REWORK)


async def ask_more_gold(session: AsyncSession, sheet: ClaimSheet) -> None:
    """Let the worker's next claim hold twice the gold of its bundle (once this claim's more), as far as there is any.

    It is read from the row that a claim locks anyway.
    """
    names = {"request": sheet.claim.request_id, "worker": sheet.claim.worker_id, "more": sheet.bundle.gold_wanted}
    await session.execute(_MORE_GOLD, names)


async def reject(session: AsyncSession, sheet: ClaimSheet, *, reissue: bool = True) -> None:
    """The work failed: its answers do not count, and its seat is open to somebody else.

    A seat that was reserved for this worker, and one of a contract that has ended, is closed instead.
    """
    _step(sheet, ClaimState.REJECTED)
    session.add(sheet.claim)
    seat = await _seat(session, sheet)
    await _move_seat(session, seat, SeatState.REJECTED)
    contract = await session.get_one(Contract, (seat.request_id, seat.contract_id))
    if reissue and seat.reserved_for is None and contract.state is ContractState.ACTIVE:
        await _move_seat(session, seat, SeatState.READY)
        session.add(_open(seat, sheet))
        return
    await _move_seat(session, seat, SeatState.CLOSED)
    # the plan before the tasks, as everything that plans seats locks them
    await session.execute(
        _UNPLANNED_UNITS,
        {"request": seat.request_id, "contract": seat.contract_id, "units": len(sheet.bundle.task_ids)},
    )
    await session.execute(_UNPLANNED, {"request": seat.request_id, "tasks": sheet.bundle.task_ids})


def _open(seat: Seat, sheet: ClaimSheet) -> OpenSeat:
    return OpenSeat(
        request_id=seat.request_id,
        seat_id=seat.id,
        contract_id=seat.contract_id,
        bundle_id=seat.bundle_id,
        rank=seat.rank,
        blocks=sheet.bundle.blocks,
        units=len(sheet.bundle.task_ids),
        gold_wanted=sheet.bundle.gold_wanted,
    )
