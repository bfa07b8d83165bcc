"""The ways of lines and files of the manual rail."""

from enum import StrEnum

from marketplace.core.states import Transitions


class LineState(StrEnum):
    """Where one payment stands; the bank may still return one that it reported as paid."""

    QUEUED = "queued"
    EXPORTED = "exported"
    PAID = "paid"
    FAILED = "failed"
    RETURNED = "returned"


LINE_STEPS: Transitions[LineState] = {
    LineState.QUEUED: frozenset({LineState.EXPORTED, LineState.FAILED}),
    LineState.EXPORTED: frozenset({LineState.PAID, LineState.FAILED, LineState.RETURNED}),
    LineState.PAID: frozenset({LineState.RETURNED}),
}


class BatchState(StrEnum):
    """Where a file stands: one person makes it, another releases it, then it goes to the bank and is answered."""

    DRAFT = "draft"
    APPROVED = "approved"
    EXPORTED = "exported"
    SETTLED = "settled"
    DISCARDED = "discarded"


BATCH_STEPS: Transitions[BatchState] = {
    BatchState.DRAFT: frozenset({BatchState.APPROVED, BatchState.DISCARDED}),
    BatchState.APPROVED: frozenset({BatchState.EXPORTED, BatchState.DISCARDED}),
    BatchState.EXPORTED: frozenset({BatchState.SETTLED}),
}


class MovementKind(StrEnum):
    """Why the operator's own money on the rail changed: moved in, moved out, or taken by the bank as a fee."""

    MOVED_IN = "moved_in"
    MOVED_OUT = "moved_out"
    FEE = "fee"
