"""The ways of charges, payouts, refunds, provider calls and webhooks."""

from enum import StrEnum

from marketplace.core.states import Transitions


class Subject(StrEnum):
    """What a saga moves along."""

    CHARGE = "charge"
    PAYEE = "payee"
    PAYOUT = "payout"
    REFUND = "refund"


class Leg(StrEnum):
    """A step that is one remote call; also the kind of object that the call makes at the provider."""

    CHARGE = "charge"
    PAYEE = "payee"
    TRANSFER = "transfer"
    PAYOUT = "payout"
    REVERSAL = "reversal"
    REFUND = "refund"
    DISPUTE = "dispute"  # never asked for by us: a payer's bank takes a charge back


class PayeeKind(StrEnum):
    """Who is paid: a vendor as a company, or a worker as a person."""

    VENDOR = "vendor"
    WORKER = "worker"


class PayeeState(StrEnum):
    """Whether the provider knows the payee, and pays out to them; `lapsed` once did and may again."""

    NEW = "new"
    READY = "ready"
    LAPSED = "lapsed"
    REFUSED = "refused"


PAYEE_STEPS: Transitions[PayeeState] = {
    PayeeState.NEW: frozenset({PayeeState.READY, PayeeState.REFUSED}),
    PayeeState.READY: frozenset({PayeeState.LAPSED}),
    PayeeState.LAPSED: frozenset({PayeeState.READY}),
}


class ChargeState(StrEnum):
    """Where a top-up stands."""

    CREATED = "created"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


CHARGE_STEPS: Transitions[ChargeState] = {
    ChargeState.CREATED: frozenset({ChargeState.PENDING, ChargeState.SUCCEEDED, ChargeState.FAILED}),
    ChargeState.PENDING: frozenset({ChargeState.SUCCEEDED, ChargeState.FAILED}),
}


class PayoutState(StrEnum):
    """Where a payout stands; `paid` may still turn to `failed` when the bank returns the money."""

    RESERVED = "reserved"
    TRANSFERRED = "transferred"
    SUBMITTED = "submitted"
    PAID = "paid"
    FAILED = "failed"
    REVERSED = "reversed"
    CANCELLED = "cancelled"


PAYOUT_STEPS: Transitions[PayoutState] = {
    PayoutState.RESERVED: frozenset({PayoutState.TRANSFERRED, PayoutState.CANCELLED}),
    PayoutState.TRANSFERRED: frozenset({PayoutState.SUBMITTED, PayoutState.FAILED}),
    PayoutState.SUBMITTED: frozenset({PayoutState.PAID, PayoutState.FAILED}),
    PayoutState.PAID: frozenset({PayoutState.FAILED}),
    PayoutState.FAILED: frozenset({PayoutState.REVERSED}),
    PayoutState.REVERSED: frozenset({PayoutState.CANCELLED}),
}
# Neither with the payee nor payable again: a payout that failed is so until its money is restored.
ON_THE_WAY = (
    PayoutState.RESERVED,
    PayoutState.TRANSFERRED,
    PayoutState.SUBMITTED,
    PayoutState.FAILED,
    PayoutState.REVERSED,
)


class RefundState(StrEnum):
    """Where a refund to the source of the money stands."""

    ASKED = "asked"
    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


REFUND_STEPS: Transitions[RefundState] = {
    RefundState.ASKED: frozenset({RefundState.PENDING, RefundState.DONE, RefundState.FAILED}),
    RefundState.PENDING: frozenset({RefundState.DONE, RefundState.FAILED}),
}


class ChargebackState(StrEnum):
    """Where a chargeback stands: the provider has taken the money, gave it back, or keeps it."""

    OPEN = "open"
    WON = "won"
    LOST = "lost"


CHARGEBACK_STEPS: Transitions[ChargebackState] = {
    ChargebackState.OPEN: frozenset({ChargebackState.WON, ChargebackState.LOST}),
}


class CallState(StrEnum):
    """What is known of one call to a provider; `absent` means that it certainly had no effect."""

    SENDING = "sending"
    UNKNOWN = "unknown"
    DONE = "done"
    REJECTED = "rejected"
    ABSENT = "absent"


CALL_STEPS: Transitions[CallState] = {
    CallState.SENDING: frozenset({CallState.UNKNOWN, CallState.DONE, CallState.REJECTED}),
    CallState.UNKNOWN: frozenset({CallState.SENDING, CallState.DONE, CallState.REJECTED, CallState.ABSENT}),
}
OPEN_CALLS = (CallState.SENDING, CallState.UNKNOWN)


class WebhookState(StrEnum):
    """Where a webhook in the inbox stands; one that matches nothing stays `pending` and is tried again."""

    PENDING = "pending"
    APPLIED = "applied"


class TaxTaskState(StrEnum):
    """What becomes of tax whose payout came back after its month was filed."""

    OPEN = "open"
    KEPT = "kept"
    GIVEN_BACK = "given_back"


TAX_TASK_STEPS: Transitions[TaxTaskState] = {TaxTaskState.OPEN: frozenset({TaxTaskState.KEPT, TaxTaskState.GIVEN_BACK})}


class TaxFormState(StrEnum):
    """Where a payee's tax form stands."""

    UPLOADED = "uploaded"
    VERIFIED = "verified"
    REFUSED = "refused"


TAX_FORM_STEPS: Transitions[TaxFormState] = {
    TaxFormState.UPLOADED: frozenset({TaxFormState.VERIFIED, TaxFormState.REFUSED}),
    TaxFormState.VERIFIED: frozenset({TaxFormState.REFUSED}),
}
