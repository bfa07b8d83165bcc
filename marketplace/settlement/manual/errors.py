"""What a posting by hand is refused for."""

from marketplace.core.errors import Conflict, Forbidden, Invalid, NotFound


class ProposalUnknown(NotFound):
    """There is no such proposal of a posting."""

    code = "manual_posting_unknown"


class ProposalDecided(Conflict):
    """This proposal was decided before."""

    code = "manual_posting_decided"


class ProposalExpired(Conflict):
    """This proposal has expired; propose it again."""

    code = "manual_posting_expired"


class SecondOperatorNeeded(Forbidden):
    """Another operator must approve that: nobody approves their own proposal."""

    code = "second_operator_needed"


class InOwnFavour(Forbidden):
    """Nobody proposes or approves a posting on their own account, or on that of a company they act for."""

    code = "manual_posting_in_own_favour"


class AccountNotByHand(Invalid):
    """No posting by hand may touch this account."""

    code = "account_not_by_hand"


class EntryReferenceWrong(Invalid):
    """A posting on a provider's account names the one entry of the provider that it is for; others name none."""

    code = "provider_entry_wrong"


class PartyUnknown(NotFound):
    """There is no such worker or organisation to book that for."""

    code = "manual_posting_party_unknown"


class TxnUnknown(NotFound):
    """The ledger has no such transaction."""

    code = "ledger_txn_unknown"


class ReversalRefused(Conflict):
    """This transaction cannot be reversed by hand."""

    code = "reversal_refused"


class AlreadyReversed(Conflict):
    """This transaction was reversed before."""

    code = "already_reversed"


class ReceivableTooSmall(Conflict):
    """More is to be written off than is owed."""

    code = "receivable_too_small"


class NotReleased(Conflict):
    """Only what was released can be clawed back; inside its window, work is disputed instead."""

    code = "not_released"


class AlreadyClawedBack(Conflict):
    """This work was clawed back before; that is done at most once."""

    code = "already_clawed_back"


class ClawBackTooLarge(Invalid):
    """More is to be clawed back than its payees were given."""

    code = "claw_back_too_large"
