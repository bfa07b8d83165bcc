"""What can go wrong with verdicts and appeals."""

from marketplace.core.errors import Conflict, Forbidden, Invalid, NotFound


class VerdictUnknown(NotFound):
    """There is no such verdict, or it is not yours to see."""

    code = "verdict_unknown"


class NotDisputable(Conflict):
    """Only work that the gates accepted can be rejected by a dispute, and only once."""

    code = "work_not_disputable"


class AppealUnknown(NotFound):
    """There is no such appeal, or it is not yours to see."""

    code = "appeal_unknown"


class AppealTooLate(Conflict):
    """The time in which this verdict could be appealed has ended."""

    code = "appeal_too_late"


class AppealNotPossible(Conflict):
    """Only a rejection can be appealed, and only once."""

    code = "appeal_not_possible"


class AppealDecided(Conflict):
    """This appeal was decided before."""

    code = "appeal_decided"


class OwnAppeal(Forbidden):
    """Nobody decides on an appeal of their own."""

    code = "own_appeal"


class OverlapReversed(Invalid):
    """The least overlap is above the most overlap."""

    code = "overlap_reversed"


class JudgedBefore(Forbidden):
    """You decided on this work before; somebody else decides on the appeal."""

    code = "judged_before"
