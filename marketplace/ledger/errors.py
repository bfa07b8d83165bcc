"""What the ledger refuses."""

from marketplace.core.errors import Conflict, Invalid


class InsufficientFunds(Conflict):
    """There is not enough money for that."""

    code = "insufficient_funds"


class IdempotencyConflict(Conflict):
    """This transaction was posted before, with other amounts."""

    code = "ledger_key_conflict"


class Unbalanced(Invalid):
    """The legs of a transaction do not add up to zero, or there are none."""

    code = "ledger_unbalanced"


class AccountUnknown(Invalid):
    """The chart of accounts has no such account."""

    code = "ledger_account_unknown"
