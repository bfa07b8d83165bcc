"""What settlement refuses."""

from marketplace.core.errors import Conflict, Invalid, NotFound


class FundingTooSmall(Invalid):
    """The amount does not cover the request's budget."""

    code = "funding_too_small"


class NotFundable(Conflict):
    """A request in this state takes no more money."""

    code = "request_not_fundable"


class AccrualUnknown(NotFound):
    """Nothing is accrued for this revision of the claim."""

    code = "accrual_unknown"


class ProofNotYet(Conflict):
    """A payout can be proven once it is paid."""

    code = "proof_not_yet"
