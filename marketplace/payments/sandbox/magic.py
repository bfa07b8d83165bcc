"""Scripted outcomes of the sandbox, for demonstrations: magic amounts of charges, magic names of payees."""

from typing import Final

from marketplace.core.money import Money

_CARD_DECLINED_ENDING: Final = 4002
_CHARGE_FAILS_LATER_ENDING: Final = 4003
_DISPUTED_ENDINGS: Final = {4008: True, 4009: False}
_ENDING: Final = 10_000


def declined(amount: Money) -> bool:
    """Whether a charge is refused at once: its minor units end in 4002 (40.02)."""
    return amount.minor % _ENDING == _CARD_DECLINED_ENDING


def fails_later(amount: Money) -> bool:
    """Whether a charge is taken and then fails: its minor units end in 4003."""
    return amount.minor % _ENDING == _CHARGE_FAILS_LATER_ENDING


def disputed(amount: Money) -> bool | None:
    """Whether the payer's bank takes a charge back: True (ends in 4008), we win; False (4009), we lose; None, never."""
    return _DISPUTED_ENDINGS.get(amount.minor % _ENDING)


def payee_refused(display_name: str) -> bool:
    """Whether the provider does not take this payee ("… no-kyc")."""
    return "no-kyc" in display_name


def payout_fails(display_name: str) -> bool:
    """Whether the bank refuses this payee's payouts ("… fail-payout")."""
    return "fail-payout" in display_name


def payout_returns(display_name: str) -> bool:
    """Whether the bank returns this payee's payouts after they were paid ("… return-payout")."""
    return "return-payout" in display_name


def first_payout_returns(display_name: str) -> bool:
    """Whether the bank returns only this payee's first payout after it was paid ("… return-once")."""
    return "return-once" in display_name
