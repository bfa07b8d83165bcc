"""The chart of accounts (money.md §4): one account per currency and path `type:owner[:shard]`.

Guarded accounts may not go negative; each has a balance row that is locked while it is posted to. Unguarded accounts
have none, so that `psp`, `platform_fee` and the like, which every payment touches, never become a hot row.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from marketplace.ledger.errors import AccountUnknown
from marketplace.ledger.states import Side


@dataclass(frozen=True, slots=True)
class AccountType:
    """One line of the chart."""

    code: int
    name: str
    normal: Side
    guarded: bool
    clearing: bool = False  # money on its way: the account must return to zero


_CHART: Final = (
    AccountType(1010, "psp", Side.DEBIT, guarded=False),
    AccountType(1020, "in_transit", Side.DEBIT, guarded=False, clearing=True),
    AccountType(1030, "dispute_held", Side.DEBIT, guarded=False),
    AccountType(1040, "receivable", Side.DEBIT, guarded=False),
    AccountType(1050, "bank", Side.DEBIT, guarded=False),
    AccountType(1060, "suspense", Side.DEBIT, guarded=False, clearing=True),
    AccountType(2010, "org_cash", Side.CREDIT, guarded=True),
    AccountType(2020, "reserved", Side.CREDIT, guarded=True),
    AccountType(2030, "accrued", Side.CREDIT, guarded=True),
    AccountType(2040, "vendor", Side.CREDIT, guarded=True),
    AccountType(2050, "worker", Side.CREDIT, guarded=True),
    AccountType(2060, "tax", Side.CREDIT, guarded=True),
    AccountType(2070, "payout_pending", Side.CREDIT, guarded=True, clearing=True),
    AccountType(2080, "refund_pending", Side.CREDIT, guarded=True, clearing=True),
    AccountType(2090, "frozen", Side.CREDIT, guarded=True),
    AccountType(4010, "platform_fee", Side.CREDIT, guarded=False),
    AccountType(4020, "rounding", Side.CREDIT, guarded=False),
    AccountType(5010, "psp_fee", Side.DEBIT, guarded=False),
    AccountType(5020, "bad_debt", Side.DEBIT, guarded=False),
    AccountType(5030, "promo", Side.DEBIT, guarded=False),
    AccountType(5040, "fx", Side.DEBIT, guarded=False),
    AccountType(9010, "fx_position", Side.DEBIT, guarded=False),
)
CHART: Final[dict[str, AccountType]] = {line.name: line for line in _CHART}

PLATFORM_FEE: Final = "platform_fee"
ROUNDING: Final = "rounding"
PSP_FEE: Final = "psp_fee"
BAD_DEBT: Final = "bad_debt"
PROMO: Final = "promo"
FX: Final = "fx"
FX_POSITION: Final = "fx_position"


def type_of(path: str) -> AccountType:
    """Return the chart's line of a path, or raise `AccountUnknown`."""
    name = path.split(":", maxsplit=1)[0]
    if name not in CHART:
        raise AccountUnknown(f"{path!r}: the chart has no {name!r}")
    return CHART[name]


def psp(provider: str) -> str:
    """Our balance at a payment provider, available and pending."""
    return f"psp:{provider}"


def in_transit(provider: str) -> str:
    """Money that left our balance at the provider and is not confirmed at its goal."""
    return f"in_transit:{provider}"


def dispute_held(provider: str) -> str:
    """Money that the provider withdrew for a chargeback."""
    return f"dispute_held:{provider}"


def receivable(debtor: UUID) -> str:
    """What an organisation or payee owes us after a claw-back."""
    return f"receivable:{debtor}"


def bank(platform: str) -> str:
    """The platform's own bank account."""
    return f"bank:{platform}"


def suspense(provider: str) -> str:
    """Entries of a provider that nobody can explain yet."""
    return f"suspense:{provider}"


def org_cash(organisation_id: UUID) -> str:
    """Prepaid money of an enterprise, not allocated to any request."""
    return f"org_cash:{organisation_id}"


def reserved(request_id: UUID, shard: int | None = None) -> str:
    """The hold of a request; shards exist only for a request whose one row would be too hot."""
    return f"reserved:{request_id}" if shard is None else f"reserved:{request_id}:{shard}"


def accrued(request_id: UUID, contract_id: UUID) -> str:
    """Accepted after the gates and still inside the dispute window."""
    return f"accrued:{request_id}:{contract_id}"


def vendor(organisation_id: UUID) -> str:
    """What we owe a vendor."""
    return f"vendor:{organisation_id}"


def worker(worker_id: UUID) -> str:
    """What we owe a worker."""
    return f"worker:{worker_id}"


def tax(authority: str) -> str:
    """Withheld tax that is not remitted yet."""
    return f"tax:{authority}"


def payout_pending(payout_id: UUID) -> str:
    """One payout on its way; must return to zero."""
    return f"payout_pending:{payout_id}"


def refund_pending(refund_id: UUID) -> str:
    """One refund on its way; must return to zero."""
    return f"refund_pending:{refund_id}"


def frozen(dispute_id: UUID) -> str:
    """An organisation's money that a chargeback froze."""
    return f"frozen:{dispute_id}"
