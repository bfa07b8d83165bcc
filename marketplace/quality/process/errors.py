"""What can go wrong with held verdicts, the brake and public statistics."""

from marketplace.core.errors import Conflict, Forbidden, NotFound


class HeldUnknown(NotFound):
    """There is no such held verdict, or it is not yours to see."""

    code = "held_verdict_unknown"


class HeldDecided(Conflict):
    """A person decided on this held verdict before."""

    code = "held_verdict_decided"


class OwnHeldWork(Forbidden):
    """Nobody decides on work of their own."""

    code = "own_held_work"


class BrakeOpen(Conflict):
    """The request's brake is open: nothing is held."""

    code = "brake_open"


class RequesterUnknown(NotFound):
    """There is no such requester."""

    code = "requester_unknown"


class UnderReview(NotFound):
    """A person is reviewing this work; its verdict follows."""

    code = "under_review"
