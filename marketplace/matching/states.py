"""The ways of a bid and of a contract."""

from enum import StrEnum

from marketplace.core.states import Transitions


class BidState(StrEnum):
    """Where a bid stands (domain.md)."""

    DRAFT = "draft"
    SEALED = "sealed"
    OPENED = "opened"
    WON = "won"
    LOST = "lost"
    WITHDRAWN = "withdrawn"


BID_STEPS: Transitions[BidState] = {
    BidState.DRAFT: frozenset({BidState.SEALED}),
    BidState.SEALED: frozenset({BidState.OPENED, BidState.WITHDRAWN}),
    BidState.OPENED: frozenset({BidState.WON, BidState.LOST}),
}


class ContractState(StrEnum):
    """Where a contract stands: work goes on, all work is done, or it was ended."""

    ACTIVE = "active"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


CONTRACT_STEPS: Transitions[ContractState] = {
    ContractState.ACTIVE: frozenset({ContractState.COMPLETED, ContractState.CANCELLED}),
}


class Assignment(StrEnum):
    """How seats find workers: any eligible worker claims, or the vendor lead reserves each seat for a person."""

    OPEN = "open"
    RESERVED = "reserved"
