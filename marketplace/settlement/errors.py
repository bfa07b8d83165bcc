"""What settlement refuses."""

from marketplace.core.errors import Conflict, Invalid, NotFound, Unavailable


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


class ProofKeyMissing(Unavailable):
    """The operator has set no key for proofs (PROOF_SIGNING_KEY)."""

    code = "proof_key_missing"


class MinimumTableInvalid(Unavailable):
    """The operator's table of minimum pay cannot be used."""

    code = "minimum_pay_table_invalid"


class PayBelowMinimum(Conflict):
    """At this price an hour of work brings less than the minimum of a region where it may be done."""

    code = "pay_below_minimum"


class RetentionTableInvalid(Unavailable):
    """The operator's table of retention cannot be used."""

    code = "retention_table_invalid"
