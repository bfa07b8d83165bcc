"""What is to be posted, checked before it meets the database: pure."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from marketplace.core.money import check_currency
from marketplace.ledger.accounts import type_of
from marketplace.ledger.errors import Unbalanced


@dataclass(frozen=True, slots=True)
class Leg:
    """One side of an entry: debit positive, credit negative, in minor units."""

    path: str
    amount_minor: int


def debit(path: str, amount_minor: int) -> Leg:
    """Return the leg that debits an account."""
    return Leg(path, amount_minor)


def credit(path: str, amount_minor: int) -> Leg:
    """Return the leg that credits an account."""
    return Leg(path, -amount_minor)


@dataclass(frozen=True, slots=True)
class Entry:
    """One transaction to post. `facts` explain it and are not part of its identity; key, kind and legs are."""

    key: str
    kind: str
    legs: list[Leg]
    currency: str
    effective_at: datetime | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    reverses: UUID | None = None

    def net(self) -> dict[str, int]:
        """Return the amount per path, without those that come to nothing, in the order of paths.

        Raises:
            Unbalanced: the legs do not add up to zero, or none is left.
            AccountUnknown: a path is not in the chart.
        """
        check_currency(self.currency)
        amounts: dict[str, int] = {}
        for leg in self.legs:
            type_of(leg.path)
            amounts[leg.path] = amounts.get(leg.path, 0) + leg.amount_minor
        if sum(amounts.values()) != 0:
            raise Unbalanced(f"{self.key}: the legs add up to {sum(amounts.values())} {self.currency}, not to zero")
        amounts = {path: amount for path, amount in sorted(amounts.items()) if amount != 0}
        if not amounts:
            raise Unbalanced(f"{self.key}: no leg moves any money")
        return amounts

    def payload_hash(self, net: dict[str, int]) -> str:
        """Return the hash by which a repeated posting, of the amounts that `net` gave, is known to be the same one."""
        identity = [self.kind, self.currency, str(self.reverses or ""), list(net.items())]
        return hashlib.sha256(msgspec.json.encode(identity)).hexdigest()
