"""What can go wrong with reviews by sample."""

from marketplace.core.errors import Conflict, Forbidden, Invalid, NotFound


class LotUnknown(NotFound):
    """There is no such lot, or it is not yours to see."""

    code = "review_lot_unknown"


class LotPlanInvalid(Invalid):
    """There is no sampling plan for this lot."""

    code = "review_plan_invalid"


class LotDecided(Conflict):
    """This lot is decided; nothing more is reviewed in it."""

    code = "review_lot_decided"


class NothingToReview(Conflict):
    """There is nothing in this lot for you to review now; others are at it."""

    code = "nothing_to_review"


class ReviewNotTaken(Conflict):
    """Take the item first: what to review is drawn, not chosen."""

    code = "review_not_taken"


class ReviewGiven(Conflict):
    """You have given another finding on this item before, and it stands."""

    code = "review_given"


class ReviewLapsed(Conflict):
    """You took too long, and somebody else has reviewed this item."""

    code = "review_lapsed"


class ReviewerInvolved(Forbidden):
    """Nobody reviews a lot with their own work in it, or with that of a vendor they belong to."""

    code = "reviewer_involved"


class ReviewerNotPerson(Forbidden):
    """Reviews are given by people, signed in as themselves."""

    code = "reviewer_not_person"
