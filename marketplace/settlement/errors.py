"""What settlement refuses."""

from marketplace.core.errors import Conflict, Invalid, NotFound, Unavailable


class FundingTooSmall(Invalid):
    """The amount does not cover the request's budget."""

    code = "funding_too_small"


class NotFundable(Conflict):
    """A request in this state takes no more money."""

    code = "request_not_fundable"


class AccrualReleased(Conflict):
    """What this work earned was released before the dispute; a claw-back takes that back."""

    code = "accrual_released"


class BonusWorkerUnknown(NotFound):
    """No worker of this name has accepted work in the request."""

    code = "bonus_worker_unknown"


class ReserveNotForBonus(Conflict):
    """Only the reserve of a running request can pay a bonus."""

    code = "reserve_not_for_bonus"


class AccrualUnknown(NotFound):
    """Nothing is accrued for this revision of the claim."""

    code = "accrual_unknown"


class ProofNotYet(Conflict):
    """A payout can be proven once it is paid."""

    code = "proof_not_yet"


class ProofKeyMissing(Unavailable):
    """The operator has set no key for proofs (PROOF_SIGNING_KEY)."""

    code = "proof_key_missing"
