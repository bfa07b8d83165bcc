"""The published award formula, the proposal that follows from it, and the split of the items. Pure.

Each part of a score lies in 0..1 and depends on the bid alone, never on the other bids, so that a vendor can compute
its own score beforehand and a losing bid cannot change the order of the others:

- price        = 1 − unit_price / unit_price_ceiling
- quality      = promised_quality
- capacity     = min(1, answers the vendor can give until its delivery date / answers that the wanted share needs)
- track_record = (accepted + on_time) / 2, of the vendor's bundles judged in the last year: the accepted share of them,
                 and of the accepted ones the share submitted by the contract's delivery date. Both are shrunk to the
                 market's mean with the weight of PRIOR_BUNDLES bundles (a Beta prior), so that a newcomer starts at
                 the mean and two lucky bundles do not beat two thousand good ones.

total = Σ weight · part / Σ weight, with the weights that the request was published with.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil
from typing import Final
from uuid import UUID

from marketplace.catalog.states import Channel, DataClass
from marketplace.core.errors import FieldProblem
from marketplace.core.money import PRICE_SCALE, largest_remainder
from marketplace.matching.errors import AwardSharesWrong, AwardUnaffordable
from marketplace.matching.schemas import AwardReasonCode, BidTerms, Misfit

PARTS: Final = ("price", "quality", "capacity", "track_record")
PRIOR_BUNDLES: Final = 50
# what the mean of a market without any judged bundle is taken to be
EMPTY_MARKET_MEAN: Final = 0.9
SHARE_TOLERANCE: Final = 1e-9
REASON_TEXTS: Final[Mapping[AwardReasonCode, str]] = {
    AwardReasonCode.WHOLE_SHARE: "The whole share that was wanted.",
    AwardReasonCode.CAPACITY_BOUND: "As much as the stated capacity carries until the delivery date.",
    AwardReasonCode.BUDGET_BOUND: "As much as the reserved money pays at this price.",
    AwardReasonCode.REST_OF_ITEMS: "All that bids with a higher score left over.",
    AwardReasonCode.NOTHING_LEFT: "Bids with a higher score took all items.",
    AwardReasonCode.NO_CAPACITY: "The stated capacity does not carry one item until the delivery date.",
    AwardReasonCode.NO_BUDGET: "The money left does not pay one item at this price.",
    AwardReasonCode.VENDOR_UNFIT: "The vendor may not work on this request any more: its vetting changed.",
    AwardReasonCode.CHOSEN: "Chosen by the enterprise.",
    AwardReasonCode.NOT_CHOSEN: "The enterprise chose otherwise.",
    AwardReasonCode.OPEN_CROWD: "Given to the open crowd at the price ceiling.",
}
# The least proven level of classified protection (GB/T 22240-2020) by class of data. Approval itself is enough for data
# that are not personal; level 3 is what protection of important data is built on.
SECURITY_LEVELS: Final[Mapping[DataClass, int]] = {
    DataClass.PUBLIC: 0,
    DataClass.INTERNAL: 0,
    DataClass.PERSONAL: 2,
    DataClass.IMPORTANT: 3,
}
# what a bound is called when it leaves nothing at all
_NOTHING_BECAUSE: Final[Mapping[AwardReasonCode, AwardReasonCode]] = {
    AwardReasonCode.CAPACITY_BOUND: AwardReasonCode.NO_CAPACITY,
    AwardReasonCode.BUDGET_BOUND: AwardReasonCode.NO_BUDGET,
}
_DAY: Final = timedelta(days=1)
_WEIGHT_UNIT: Final = 10**12


@dataclass(frozen=True, slots=True)
class Demand:
    """What the rules need to know of a request. Answers needed are the smallest number: items · overlap_min."""

    item_count: int
    overlap_min: int
    unit_price_ceiling: int
    budget_minor: int
    weights: Mapping[str, float]

    def answers(self, items: int) -> int:
        """Return the smallest number of answers that so many items need."""
        return items * self.overlap_min


@dataclass(frozen=True, slots=True)
class Record:
    """Bundles of the last year: how many were judged, accepted, and accepted and delivered by the contract's date."""

    judged: int = 0
    accepted: int = 0
    on_time: int = 0


@dataclass(frozen=True, slots=True)
class TrackRecords:
    """What the vendors that bid did in the last year, and the whole market for comparison."""

    market: Record = Record()
    of_vendors: Mapping[UUID, Record] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Score:
    """The parts of a bid's score and their weighted mean, all in 0..1."""

    price: float
    quality: float
    capacity: float
    track_record: float
    total: float


@dataclass(frozen=True, slots=True)
class Offer:
    """An opened bid with its score; a vendor that became unfit since it bid gets nothing."""

    bid_id: UUID
    terms: BidTerms
    score: Score
    fit: bool = True


@dataclass(frozen=True, slots=True)
class Proposal:
    """How many items the formula gives a bid, and why not more."""

    bid_id: UUID
    items: int
    reason: AwardReasonCode


@dataclass(frozen=True, slots=True)
class Part:
    """A range of item positions, from `first` up to, not including, `end`."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class VendorFacts:
    """What an approved vendor has proven or says about itself."""

    languages: frozenset[str]
    security_level: int


@dataclass(frozen=True, slots=True)
class Needs:
    """What a request asks of a vendor."""

    channel: Channel
    languages: Sequence[str]
    data_class: DataClass


def speaks(languages: Collection[str], wanted: str) -> bool:
    """Return whether one of the tags covers the wanted one: equal, or one a prefix of the other by whole subtags.

    RFC 4647 §3.3.1 in both directions: `zh` covers `zh-CN` and is covered by it, `zh-CN` and `zh-TW` are strangers.
    """
    subtags = wanted.lower().split("-")
    return any(all(a == b for a, b in zip(tag.lower().split("-"), subtags, strict=False)) for tag in languages)


def misfits(vendor: VendorFacts | None, needs: Needs) -> list[Misfit]:
    """Return every reason why a vendor (None: not approved) may not bid on a request."""
    if needs.channel is Channel.OPEN_CROWD:
        return [Misfit(code="open_crowd_only", reason="this request is for the open crowd only")]
    if vendor is None:
        return [Misfit(code="not_approved", reason="the vendor is not approved: its vetting must be passed and valid")]
    found = []
    missing = sorted(wanted for wanted in needs.languages if not speaks(vendor.languages, wanted))
    if missing:
        reason = f"the vendor's profile lacks these languages: {', '.join(missing)}"
        found.append(Misfit(code="language_missing", reason=reason))
    level = SECURITY_LEVELS[needs.data_class]
    if vendor.security_level < level:
        reason = f"data of the class {needs.data_class!s} need a proven security level of {level} (GB/T 22240)"
        found.append(Misfit(code="security_level_low", reason=reason))
    return found


def terms_problems(terms: BidTerms, unit_price_ceiling: int, deadline: datetime, at: datetime) -> list[FieldProblem]:
    """Return every limit of the request that the terms break."""
    problems = []
    if terms.unit_price > unit_price_ceiling:
        problems.append(FieldProblem("unit_price", f"must not be above the ceiling of {unit_price_ceiling}"))
    if terms.delivery_at > deadline:
        problems.append(FieldProblem("delivery_at", f"must not be after the deadline, {deadline.isoformat()}"))
    if terms.delivery_at <= at:
        problems.append(FieldProblem("delivery_at", "must lie in the future"))
    return problems


def _shrunk(good: int, judged: int, mean: float) -> float:
    return (good + PRIOR_BUNDLES * mean) / (judged + PRIOR_BUNDLES)


def track_record(own: Record, market: Record) -> float:
    """Return the track record of a vendor, shrunk to the market's mean."""
    accepted_mean = market.accepted / market.judged if market.judged else EMPTY_MARKET_MEAN
    on_time_mean = market.on_time / market.accepted if market.accepted else EMPTY_MARKET_MEAN
    accepted = _shrunk(own.accepted, own.judged, accepted_mean)
    return (accepted + _shrunk(own.on_time, own.accepted, on_time_mean)) / 2


def deliverable_answers(terms: BidTerms, at: datetime) -> int:
    """Return how many answers the vendor says it can give from `at` until its delivery date."""
    return max(0, int(terms.capacity_per_day * ((terms.delivery_at - at) / _DAY)))


def wanted_items(terms: BidTerms, demand: Demand) -> int:
    """Return the largest number of items the vendor takes; a started item is a whole one."""
    return min(demand.item_count, ceil(terms.share_wanted * demand.item_count - SHARE_TOLERANCE))


def score(terms: BidTerms, demand: Demand, own: Record, market: Record, at: datetime) -> Score:
    """Score a bid by the published formula (see the module)."""
    needed = demand.answers(wanted_items(terms, demand))
    parts = {
        "price": max(0.0, 1 - terms.unit_price / demand.unit_price_ceiling),
        "quality": terms.promised_quality,
        "capacity": min(1.0, deliverable_answers(terms, at) / needed) if needed else 0.0,
        "track_record": track_record(own, market),
    }
    weights = {part: max(0.0, demand.weights.get(part, 0.0)) for part in PARTS}
    if not any(weights.values()):
        weights = dict.fromkeys(PARTS, 1.0)
    total = sum(weights[part] * parts[part] for part in PARTS) / sum(weights.values())
    return Score(**parts, total=total)


def propose(offers: Sequence[Offer], demand: Demand, at: datetime) -> list[Proposal]:
    """Fill the items greedily by score; ties go to the lower price, then to the earlier bid.

    A bid gets no more than it wants, than its capacity carries until its delivery date, and than the budget pays.
    """
    items_left, money_left = demand.item_count, demand.budget_minor * PRICE_SCALE
    proposals = [Proposal(offer.bid_id, 0, AwardReasonCode.VENDOR_UNFIT) for offer in offers if not offer.fit]
    fit = [offer for offer in offers if offer.fit]
    for offer in sorted(fit, key=lambda o: (-o.score.total, o.terms.unit_price, o.bid_id)):
        item_price = demand.answers(1) * offer.terms.unit_price
        bounds = [
            (wanted_items(offer.terms, demand), AwardReasonCode.WHOLE_SHARE),
            (items_left, AwardReasonCode.REST_OF_ITEMS if items_left else AwardReasonCode.NOTHING_LEFT),
            (deliverable_answers(offer.terms, at) // demand.answers(1), AwardReasonCode.CAPACITY_BOUND),
            (money_left // item_price, AwardReasonCode.BUDGET_BOUND),
        ]
        items, reason = min(bounds, key=lambda bound: bound[0])
        if items == 0:
            reason = _NOTHING_BECAUSE.get(reason, reason)
        proposals.append(Proposal(offer.bid_id, items, reason))
        items_left -= items
        money_left -= items * item_price
    return proposals


def split_positions(shares: Sequence[float], item_count: int) -> list[Part]:
    """Split the positions 0..item_count into one contiguous range a share, by the largest remainder.

    Raises:
        AwardSharesWrong: the shares do not add up to one, or one is too small for a single item.
    """
    if abs(sum(shares) - 1) > SHARE_TOLERANCE:
        raise AwardSharesWrong(f"The shares add up to {sum(shares):.12g}, not to 1.")
    weights = {f"{index:06d}": round(share * _WEIGHT_UNIT) for index, share in enumerate(shares)}
    sizes = largest_remainder(item_count, weights)
    ends = [0]
    for key in sorted(sizes):
        ends.append(ends[-1] + sizes[key])
    parts = [Part(first, end) for first, end in pairwise(ends)]
    for share, part in zip(shares, parts, strict=True):
        if part.end == part.first:
            raise AwardSharesWrong(f"A share of {share:.6g} of {item_count} items is less than one item.")
    return parts


def check_affordable(prices: Sequence[int], parts: Sequence[Part], demand: Demand) -> None:
    """Refuse an award whose smallest number of answers costs more than the reserved money.

    More answers than that (up to overlap_max) are asked for only while money is left.

    Raises:
        AwardUnaffordable: with what is lacking, in minor units.
    """
    cost = sum(
        demand.answers(part.end - part.first) * price for price, part in zip(prices, parts, strict=True)
    )  # at PRICE_SCALE
    lacking = -((demand.budget_minor * PRICE_SCALE - cost) // PRICE_SCALE)
    if lacking > 0:
        raise AwardUnaffordable(f"{lacking} minor units are lacking.", lacking_minor=lacking)
