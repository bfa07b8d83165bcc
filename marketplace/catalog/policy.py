"""The rules of a dataset request. Pure: everything they decide on is given."""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Final

from marketplace.catalog.schemas import ANYWHERE, CostEstimate, QualityPlan
from marketplace.catalog.states import Channel, DataClass, RequestState
from marketplace.core.errors import FieldProblem
from marketplace.core.money import EXPONENTS, PRICE_SCALE, Money

EDITABLE: Final = frozenset({RequestState.DRAFT})
TAKES_ITEMS: Final = frozenset({RequestState.DRAFT, RequestState.FUNDED})
# until the award, with which the gates are fixed; a later version would change the rules under people at work
TAKES_VERSIONS: Final = frozenset({RequestState.DRAFT, RequestState.FUNDED, RequestState.OPEN})
HAS_RESULTS: Final = frozenset(
    {RequestState.IN_ACCEPTANCE, RequestState.DELIVERED, RequestState.SETTLED, RequestState.CLOSED},
)
PUBLISHED: Final = frozenset(RequestState) - {RequestState.DRAFT, RequestState.FUNDED, RequestState.CANCELLED}


def deadline_problems(
    channel: Channel, bid_deadline: datetime | None, deadline: datetime, now: datetime
) -> list[FieldProblem]:
    """Return what is wrong with the deadlines: now < bid_deadline < deadline, where bids are taken."""
    problems = []
    if deadline <= now:
        problems.append(FieldProblem("deadline", "lies in the past; give a time to come"))
    if channel is Channel.OPEN_CROWD:
        return problems
    if bid_deadline is None:
        reason = f"is needed when the channel is {channel!s}: vendors bid until then"
        return [*problems, FieldProblem("bid_deadline", reason)]
    if bid_deadline <= now:
        problems.append(FieldProblem("bid_deadline", "lies in the past; give a time to come"))
    if bid_deadline >= deadline:
        problems.append(FieldProblem("bid_deadline", "must lie before the deadline, since work follows the bids"))
    return problems


def money_problems(currency: str, unit_price_ceiling: int, budget_minor: int) -> list[FieldProblem]:
    """Return what is wrong with currency, price and budget; the budget must pay for one answer at least."""
    if currency not in EXPONENTS:
        return [FieldProblem("currency", f"{currency!r} is not one of {', '.join(EXPONENTS)}")]
    if budget_minor * PRICE_SCALE < unit_price_ceiling:
        return [FieldProblem("budget_minor", "does not pay for a single answer at the price ceiling")]
    return []


def residency_problems(data_class: DataClass, residency: Collection[str]) -> list[FieldProblem]:
    """Return what is wrong with where the data may be seen; nowhere at all is allowed in a draft."""
    if ANYWHERE in residency and data_class is not DataClass.PUBLIC:
        reason = f"`*` is for public data; name the places where {data_class!s} data may be seen"
        return [FieldProblem("residency", reason)]
    return []


def residency_allows(residency: Collection[str], country: str | None, region: str | None = None) -> bool:
    """Return whether data may be seen from a place (ISO 3166-1 and 3166-2); an unknown place is refused."""
    return ANYWHERE in residency or (country is not None and country in residency) or (
        region is not None and region in residency
    )  # fmt: skip


def estimate_cost(items: int, plan: QualityPlan, unit_price: int, currency: str) -> CostEstimate:
    """Return what so many items cost at a unit price (at `PRICE_SCALE`); amounts are rounded up to minor units."""
    fewest, most = items * plan.overlap_min, items * plan.overlap_max
    lowest, highest = (-(-answers * unit_price // PRICE_SCALE) for answers in (fewest, most))
    return CostEstimate(
        answers_min=fewest,
        answers_max=most,
        lowest_minor=lowest,
        highest_minor=highest,
        lowest=str(Money(lowest, currency)),
        highest=str(Money(highest, currency)),
    )


def price_text(unit_price: int, currency: str) -> str:
    """Return a price at `PRICE_SCALE` in major units, with as many digits as it has: 35,000 CNY → "0.035 CNY"."""
    digits = EXPONENTS[currency]
    major = Decimal(unit_price) / (PRICE_SCALE * 10**digits)
    whole, _, fraction = f"{major:f}".partition(".")
    kept = fraction.rstrip("0").ljust(digits, "0")
    return f"{int(whole):,}{'.' if kept else ''}{kept} {currency}"
