"""What the manual rail refuses."""

from marketplace.core.errors import Conflict, Forbidden, Invalid, NotFound


class BankFileUnknown(NotFound):
    """There is no such bank file."""

    code = "bank_file_unknown"


class BankFileLineUnknown(NotFound):
    """There is no such line."""

    code = "bank_file_line_unknown"


class NothingQueued(Conflict):
    """No payout in this currency waits for a bank file."""

    code = "bank_file_nothing_queued"


class SecondPersonNeeded(Forbidden):
    """Somebody else than the person who made the file must release it."""

    code = "bank_file_second_person"


class PersonNeeded(Forbidden):
    """Bank files are made and released by people, not by API keys."""

    code = "bank_file_person_needed"


class RailShort(Conflict):
    """The rail does not hold enough money for this file: move money there first."""

    code = "bank_file_rail_short"


class BankFileChanged(Conflict):
    """The lines are not those that were released; the file is not given out."""

    code = "bank_file_changed"


class BankFileHeld(Conflict):
    """A payment of this file is held: the payee is paused, or has changed the bank account."""

    code = "bank_file_held"


class BankFileNotReleased(Conflict):
    """The file is given out once it was released and marked as exported."""

    code = "bank_file_not_released"


class BankResultRefused(Invalid):
    """The bank's result file cannot be taken; nothing of it was applied."""

    code = "bank_result_refused"
