"""What control over payouts refuses."""

from marketplace.core.errors import Conflict, NotFound


class PauseUnknown(NotFound):
    """There is no such pause."""

    code = "pause_unknown"


class PauseTargetUnknown(NotFound):
    """There is no such provider, organisation or payee to pause."""

    code = "pause_target_unknown"


class AlreadyPaused(Conflict):
    """This target is paused already; lift that pause first if another reason is to stand there."""

    code = "already_paused"


class PauseLifted(Conflict):
    """This pause was lifted before."""

    code = "pause_lifted"


class PayoutsPaused(Conflict):
    """Payouts are paused; the detail says why."""

    code = "payouts_paused"


class MethodCooling(Conflict):
    """The payout method was changed a short while ago; nothing is paid out until its cooling time is over."""

    code = "payout_method_cooling"


class PayoutMethodMissing(Conflict):
    """Payouts go to a bank account, and none is given for this currency: set a payout method first."""

    code = "payout_method_missing"


class PayeeNotActive(Conflict):
    """The payment provider does not pay out to this payee now; what it asks for must be settled there first."""

    code = "payee_not_active"
