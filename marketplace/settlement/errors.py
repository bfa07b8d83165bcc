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
    """Only the reserve of a running request can pay a bonus, with what its planned work does not need."""

    code = "reserve_not_for_bonus"


class AccrualUnknown(NotFound):
    """Nothing is accrued for this revision of the claim."""

    code = "accrual_unknown"


class ProofNotYet(Conflict):
    """A payout can be proven once it is paid."""

    code = "proof_not_yet"


class PapersNotSetUp(Unavailable):
    """The operator has not said which legal entity issues invoices and receipts."""

    code = "papers_not_set_up"


class InvoiceUnknown(NotFound):
    """There is no such invoice, or it is not yours to see."""

    code = "invoice_unknown"


class ReceiptUnknown(NotFound):
    """There is no such payment, or it is not yours to see."""

    code = "receipt_unknown"


class ReceiptNotYet(Conflict):
    """A receipt is given once the payment has succeeded."""

    code = "receipt_not_yet"


class PeriodInvalid(Invalid):
    """The period ends before it begins."""

    code = "period_invalid"


class StatementTooLong(Invalid):
    """The period holds more movements than one file takes."""

    code = "statement_too_long"


class MinimumTableInvalid(Unavailable):
    """The operator's table of minimum pay cannot be used."""

    code = "minimum_pay_table_invalid"


class PayBelowMinimum(Conflict):
    """At this price an hour of work brings less than the minimum of a region where it may be done."""

    code = "pay_below_minimum"


class RetentionTableInvalid(Unavailable):
    """The operator's table of retention cannot be used."""

    code = "retention_table_invalid"
