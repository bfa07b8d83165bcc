"""What payments refuse, and what a provider answers when it does not do what it was asked."""

from datetime import timedelta

from marketplace.core.errors import Conflict, Invalid, NotFound, Unavailable


class ChargeUnknown(NotFound):
    """There is no such top-up, or it is not yours to see."""

    code = "top_up_unknown"


class PayoutUnknown(NotFound):
    """There is no such payout, or it is not yours to see."""

    code = "payout_unknown"


class NothingToPayOut(Conflict):
    """There is nothing to pay out in this currency."""

    code = "nothing_to_pay_out"


class AmountOutOfRange(Invalid):
    """The payment provider does not take this amount."""

    code = "amount_out_of_range"


class SourceSpent(Conflict):
    """The original charges do not hold that much any more."""

    code = "source_spent"


class WebhookRefused(Invalid):
    """The webhook's signature does not fit, or it is too old."""

    code = "webhook_refused"


class ProviderUnknown(NotFound):
    """Kapok does not work with this payment provider."""

    code = "provider_unknown"


class PayeeUnknown(NotFound):
    """The payment provider does not know this payee yet; begin with the onboarding, or ask for a payout."""

    code = "payee_unknown"


class OnboardingNotOffered(Conflict):
    """This payment provider asks its payees nothing: there is no page to go to."""

    code = "onboarding_not_offered"


class PayeeRefused(Conflict):
    """The payment provider has refused this payee."""

    code = "payee_refused"


class CallUnknown(NotFound):
    """There is no such call to a payment provider."""

    code = "provider_call_unknown"


class CallNotOpen(Conflict):
    """The outcome of this call is known, or it cannot be treated so now."""

    code = "provider_call_not_open"


class RemoteMismatch(Conflict):
    """The payment provider does not confirm that this object is the outcome of the call."""

    code = "remote_mismatch"


class ReconciliationUnknown(NotFound):
    """There is no such reconciliation."""

    code = "reconciliation_unknown"


class AmountMismatch(Conflict):
    """The provider reports another amount than was asked for; a person must look."""

    code = "amount_mismatch"


class Rejected(Conflict):
    """The payment provider refused the call; it had no effect."""

    code = "provider_rejected"

    def __init__(self, reason_code: str, detail: str = "") -> None:
        super().__init__(detail or reason_code, reason_code=reason_code)
        self.reason_code = reason_code


class Unknown(Unavailable):
    """The payment provider did not say whether the call had its effect.

    `answered` is True when an answer came (a 5xx): the call is then over, and its key will replay that answer.
    """

    code = "provider_outcome_unknown"

    def __init__(self, detail: str = "", *, answered: bool = False) -> None:
        super().__init__(detail)
        self.answered = answered


class Throttled(Unavailable):
    """The payment provider asks to wait; the call had no effect."""

    code = "provider_throttled"

    def __init__(self, after: timedelta) -> None:
        super().__init__(f"again after {after.total_seconds():.0f} s")
        self.after = after


class Misconfigured(Unavailable):
    """The payment provider cannot be used as it is set up."""

    code = "provider_misconfigured"


class SandboxObjectUnknown(NotFound):
    """The sandbox has no such object; the call that makes it has perhaps not been made yet."""

    code = "sandbox_object_unknown"


class SandboxOutcomeImpossible(Conflict):
    """What has ended cannot end so: only what is pending arrives or fails, and only what was paid is returned."""

    code = "sandbox_outcome_impossible"


class TaxTableMissing(Unavailable):
    """Tax is to be withheld, and no table of rates that can be used is given."""

    code = "tax_table_missing"


class NetTooSmall(Invalid):
    """After the tax on it, less is left of this payout than the payment provider pays out."""

    code = "net_too_small"


class MonthNotOver(Conflict):
    """A month can be filed once it is over everywhere."""

    code = "tax_month_not_over"


class MonthFiled(Conflict):
    """This month is filed already."""

    code = "tax_month_filed"


class TaxTaskUnknown(NotFound):
    """There is no such tax task."""

    code = "tax_task_unknown"


class TaxFormUnknown(NotFound):
    """There is no such tax form, or it is not yours to see."""

    code = "tax_form_unknown"


class TaxFormMissing(Conflict):
    """A tax form that is needed for a payout is missing, not verified yet, or has lapsed."""

    code = "tax_form_missing"


class TooManyTaxForms(Conflict):
    """This payee has handed in as many tax forms as the operator keeps."""

    code = "too_many_tax_forms"


class TaxFormTypeUnknown(Invalid):
    """The operator takes no tax form of this type."""

    code = "tax_form_type_unknown"


class TaxFormDatesInvalid(Invalid):
    """A tax form ends after it begins."""

    code = "tax_form_dates_invalid"
