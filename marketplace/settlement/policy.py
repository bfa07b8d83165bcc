"""How an accepted bundle's amount is split. Pure."""

from dataclasses import dataclass
from typing import Final

from marketplace.core.money import largest_remainder

BPS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Terms:
    """What a contract says about the split; `to_vendor` is False for the open crowd."""

    platform_fee_bps: int
    to_vendor: bool
    pay_workers_directly: bool
    worker_share_bps: int


@dataclass(frozen=True, slots=True)
class Split:
    """The parts of an amount; they add up to it."""

    fee_minor: int
    vendor_minor: int
    worker_minor: int


def split(amount_minor: int, terms: Terms) -> Split:
    """Split an amount: the platform's fee is rounded down, the rest goes to vendor and worker by largest remainder.

    The open crowd's rest is all the worker's; a vendor that pays its workers itself gets all the rest.
    """
    fee = amount_minor * terms.platform_fee_bps // BPS
    rest = amount_minor - fee
    if not terms.to_vendor:
        return Split(fee, 0, rest)
    if not terms.pay_workers_directly:
        return Split(fee, rest, 0)
    shares = {"vendor": BPS - terms.worker_share_bps, "worker": terms.worker_share_bps}
    parts = largest_remainder(rest, shares)
    return Split(fee, parts["vendor"], parts["worker"])
