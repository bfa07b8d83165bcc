"""The table of legs of each posting by hand: whatever the amounts, they add up, and touch what they may."""

from collections import Counter
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from marketplace.core.ids import new_id
from marketplace.ledger import accounts
from marketplace.ledger.accounts import CHART
from marketplace.ledger.entries import Leg
from marketplace.settlement.manual import policy
from marketplace.settlement.manual.errors import (
    AccountNotByHand,
    ClawBackTooLarge,
    EntryReferenceWrong,
    InOwnFavour,
    NotReleased,
    ReversalRefused,
)
from marketplace.settlement.manual.schemas import FreePosting, PromoBonus, Sweep, TaxRemitted, WriteOff

AMOUNTS = st.integers(1, 10**12)
PARTS = st.integers(0, 10**9)
ENTRY = {"object": "payout", "ref": "payout:txn_1"}
OWNER = UUID("01970000-0000-7000-8000-000000000001")  # one name for all processes of the tests


def _sums(legs: list[Leg]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for leg in legs:
        sums[leg.path] += leg.amount_minor
    assert sum(sums.values()) == 0
    return {path: amount for path, amount in sums.items() if amount}


def _manual(*accounts_: str, entry: dict[str, str] | None = None) -> FreePosting:
    sides = ["debit", "credit"] * len(accounts_)
    legs = [{"account": path, "side": side, "amount_minor": 7} for path, side in zip(accounts_, sides, strict=False)]
    return FreePosting.model_validate({"kind": "manual", "currency": "CNY", "legs": legs, "provider_entry": entry})


@given(AMOUNTS)
def test_legs_are_those_of_the_table_when_the_terms_are_simple(amount):
    common = {"amount_minor": amount, "currency": "CNY"}
    write_off = WriteOff.model_validate({"kind": "write_off", "debtor_id": OWNER, **common})
    assert _sums(policy.write_off_legs(write_off)) == {"bad_debt": amount, f"receivable:{OWNER}": -amount}
    sweep = {"kind": "sweep", "provider": "sandbox", "bank": "main", "provider_entry": ENTRY, **common}
    assert _sums(policy.sweep_legs(Sweep.model_validate(sweep))) == {"bank:main": amount, "psp:sandbox": -amount}
    bonus = PromoBonus.model_validate({"kind": "promo_bonus", "worker_id": OWNER, **common})
    assert _sums(policy.promo_bonus_legs(bonus)) == {"promo": amount, f"worker:{OWNER}": -amount}
    for paid_from, source in (
        ({"source": "bank", "bank": "main"}, "bank:main"),
        ({"source": "provider", "provider": "stripe", "provider_entry": ENTRY}, "psp:stripe"),
    ):
        terms = {"kind": "tax_remitted", "authority": "CN", "paid_from": paid_from, **common}
        legs = policy.tax_remitted_legs(TaxRemitted.model_validate(terms))
        assert _sums(legs) == {"tax:CN": amount, source: -amount}


@given(PARTS, PARTS, PARTS, st.data(), st.booleans())
def test_claw_back_takes_no_more_from_anybody_than_they_were_given(fee, vendor, worker, data, with_fee):
    assume(vendor + worker > 0)
    amount = data.draw(st.none() | st.integers(1, vendor + worker))
    parts = policy.claw_back_parts(policy.Released(fee, vendor, worker), amount, with_fee=with_fee)
    taken = vendor + worker if amount is None else amount
    assert parts.vendor_minor + parts.worker_minor == taken
    assert 0 <= parts.vendor_minor <= vendor
    assert 0 <= parts.worker_minor <= worker
    assert parts.fee_minor == (fee * taken // (vendor + worker) if with_fee else 0)


@given(PARTS, st.lists(st.tuples(PARTS, PARTS), min_size=1, max_size=2))
def test_claw_back_leaves_a_debt_for_just_what_the_balances_lack(fee, payees):
    assume(fee + sum(part for part, _ in payees) > 0)
    debtors = [policy.Debtor(new_id(), f"worker:{new_id()}", part, balance) for part, balance in payees]
    sums = _sums(policy.claw_back_legs(OWNER, fee, debtors))
    for debtor in debtors:
        from_account = sums.get(debtor.account, 0)
        owed = sums.get(accounts.receivable(debtor.owner_id), 0)
        assert from_account + owed == debtor.part_minor
        assert from_account <= debtor.balance_minor
        assert owed == max(debtor.part_minor - debtor.balance_minor, 0)
    assert sums[accounts.org_cash(OWNER)] == -fee - sum(debtor.part_minor for debtor in debtors)


def test_claw_back_is_refused_when_nothing_or_less_was_given():
    with pytest.raises(NotReleased):
        policy.claw_back_parts(policy.Released(1, 0, 0), None, with_fee=True)
    with pytest.raises(ClawBackTooLarge):
        policy.claw_back_parts(policy.Released(1, 4, 5), 10, with_fee=False)


@given(st.lists(st.tuples(st.sampled_from(["promo", "bad_debt", "rounding"]), st.integers(-99, 99)), min_size=1))
def test_mirror_undoes_every_leg(pairs):
    legs = [Leg(path, amount) for path, amount in pairs]
    assert _sums([*legs, *policy.mirror(legs)]) == {}


def test_free_legs_touch_only_accounts_that_no_machine_drives():
    owner, allowed = new_id(), set()
    for name in CHART:
        for path in (name, f"{name}:{owner}"):
            entry = ENTRY if name == "psp" else None
            try:
                policy.manual_legs(_manual("promo", path, entry=entry))
            except (AccountNotByHand, EntryReferenceWrong):
                continue
            allowed.add(name)
    assert allowed == {
        "psp", "suspense", "bank", "receivable", "org_cash", "vendor", "worker", "tax",
        "platform_fee", "rounding", "psp_fee", "bad_debt", "promo",
    }  # fmt: skip


@pytest.mark.parametrize(
    "path", ["worker", "worker:somebody", "worker:" + OWNER.hex, "promo:x", "bank", "reserved:" + str(OWNER), "no_such"]
)
def test_free_leg_is_refused_when_its_account_is_not_whole(path):
    with pytest.raises(AccountNotByHand):
        policy.manual_legs(_manual("promo", path))


def test_leg_at_a_provider_names_the_one_entry_it_is_for():
    assert policy.manual_legs(_manual("psp_fee", "psp:sandbox", entry=ENTRY))
    for terms in (
        _manual("psp_fee", "psp:sandbox"),
        _manual("psp_fee", "bank:main", entry=ENTRY),
        _manual("psp:stripe", "psp:sandbox", entry=ENTRY),
    ):
        with pytest.raises(EntryReferenceWrong):
            policy.manual_legs(terms)


def test_nobody_posts_on_their_own_account():
    with pytest.raises(InOwnFavour):
        policy.check_not_own(policy.manual_legs(_manual("promo", f"worker:{OWNER}")), {OWNER})
    policy.check_not_own(policy.manual_legs(_manual("promo", f"worker:{OWNER}")), {new_id()})


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("topup", "refund the top-up"), ("payout.reserve", "payout's saga"), ("refund.done", "refund's saga"),
        ("fund", "cancel or close"), ("close", "funds anew"), ("accrue", "uphold a dispute"),
        ("unaccrue", "accepted anew"), ("release", "claw_back"), ("reverse", "original posting"),
        ("cb.open", "machine"),
    ],
)  # fmt: skip
def test_reversal_is_refused_and_says_which_flow_it_would_break(kind, named):
    with pytest.raises(ReversalRefused) as refused:
        policy.check_reversible(kind)
    assert named in refused.value.detail


def test_reversal_is_possible_for_all_that_people_post():
    for kind in ("manual", "write_off", "claw_back", "sweep", "tax_remitted", "bonus"):
        policy.check_reversible(kind)
