"""The two sides of an account."""

from enum import StrEnum


class Side(StrEnum):
    """The side on which an account's balance normally stands."""

    DEBIT = "debit"
    CREDIT = "credit"

    @property
    def sign(self) -> int:
        """What a posted amount (debit positive) is multiplied by to give the account's balance."""
        return 1 if self is Side.DEBIT else -1
