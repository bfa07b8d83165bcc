"""The sums of settlement on random contracts: nothing is lost between the parts, and rounding does not drift."""

from random import Random
from typing import Final

from cli.simulation.checks import Findings
from marketplace.core import money
from marketplace.settlement import policy

CASES: Final = 20


def check_sums(rng: Random) -> Findings:
    """Accrue and split the bundles of random contracts, and compare with what each is worth as a whole."""
    found = Findings()
    for _ in range(CASES):
        price = rng.randint(1, 80_000)
        units = accrued = 0
        for _ in range(rng.randint(2, 12)):
            size = rng.randint(1, 7)
            due = money.cumulative_due(units + size, price, accrued)
            units, accrued = units + size, accrued + due
            _check_split(due, rng, found)
        exact = units * price
        off = abs(accrued * money.PRICE_SCALE - exact)
        if 2 * off > money.PRICE_SCALE:
            found.unexplained_minor += off // money.PRICE_SCALE
            found.problems.append(f"{units} units at {price} come to {accrued} minor units")
    return found


def _check_split(amount: int, rng: Random, found: Findings) -> None:
    terms = policy.Terms(
        platform_fee_bps=rng.randint(0, 5000), to_vendor=True, pay_workers_directly=True,
        worker_share_bps=rng.randint(0, policy.BPS),
    )  # fmt: skip
    parts = policy.split(amount, terms)
    total = parts.fee_minor + parts.vendor_minor + parts.worker_minor
    found.differ("an amount and the sum of its parts", amount, total)
