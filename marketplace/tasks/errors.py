"""What can go wrong with work."""

from marketplace.core.errors import Conflict, Forbidden, Gone, Invalid, NotFound


class WorkUnknown(NotFound):
    """There is no such work, or it is not open to you."""

    code = "work_unknown"


class ClaimUnknown(NotFound):
    """You have no such claim."""

    code = "claim_unknown"


class NotEligible(Forbidden):
    """You do not have what this work asks for."""

    code = "not_eligible"


class WorkPaused(Forbidden):
    """You are paused from this work for a time; what you hold can still be submitted."""

    code = "work_paused"


class GuidelineNotConfirmed(Conflict):
    """Read and confirm the guideline of this work before your first claim."""

    code = "guideline_not_confirmed"


class GuidelineVersionWrong(Conflict):
    """The guideline has another version now; read that one."""

    code = "guideline_version_wrong"


class NothingOpen(Conflict):
    """There is no open seat for you now; more may come as answers are checked."""

    code = "nothing_open"


class TooManyClaims(Conflict):
    """Submit or return what you hold before you claim more."""

    code = "too_many_claims"


class ClaimEnded(Gone):
    """This claim has ended: it was returned, or its work was decided on."""

    code = "claim_ended"


class AlreadySubmitted(Conflict):
    """This claim was submitted before, with another submission id."""

    code = "already_submitted"


class SubmissionIncomplete(Invalid):
    """Some tasks of the bundle have no answer, neither in the submission nor in the draft."""

    code = "submission_incomplete"


class AnswersInvalid(Invalid):
    """Some answers do not have the form that the label schema asks for."""

    code = "answers_invalid"


class ReservationRefused(Conflict):
    """These seats cannot be reserved for that worker."""

    code = "reservation_refused"


class NotInProduction(Conflict):
    """Nobody works on this request now."""

    code = "not_in_production"
