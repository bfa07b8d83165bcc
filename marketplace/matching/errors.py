"""What matching refuses."""

from marketplace.core.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable


class BidNotFound(NotFound):
    """You have no bid on this request."""

    code = "bid_not_found"


class AwardNotFound(NotFound):
    """This request has not been awarded yet."""

    code = "award_not_found"


class BidRefused(Invalid):
    """A bid with these terms cannot be taken."""

    code = "bid_refused"


class VendorUnfit(Forbidden):
    """Your organisation may not bid on this request."""

    code = "vendor_unfit"


class BidsClosed(Conflict):
    """The bid deadline has passed, or the request takes no bids."""

    code = "bids_closed"


class BidsStillSealed(Conflict):
    """The bids are sealed until the bid deadline, and are opened right after it."""

    code = "bids_still_sealed"


class BidsExist(Conflict):
    """The bid deadline can be moved only after it passed without a single bid."""

    code = "bids_exist"


class BidDeadlineWrong(Invalid):
    """The new bid deadline must lie in the future and before the request's deadline."""

    code = "bid_deadline_wrong"


class AwardSharesWrong(Invalid):
    """The shares of an award name each bid once, and add up to one."""

    code = "award_shares_wrong"


class AwardUnaffordable(Conflict):
    """The reserved money does not even pay the smallest number of answers at these prices."""

    code = "award_unaffordable"


class SealBroken(Conflict):
    """A sealed bid does not open: it was changed in the database, or the secret key is another one."""

    code = "seal_broken"


class SealingKeyMissing(Unavailable):
    """Bids cannot be sealed: this Kapok has no SECRET_KEY."""

    code = "sealing_key_missing"
