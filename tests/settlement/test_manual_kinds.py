"""Each kind of posting by hand moves what it says and no more, and the books add up after it."""

import asyncio

import pytest
from sqlmodel import select

from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.paging import PageQuery
from marketplace.ledger import accounts, queries
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.ledger.errors import InsufficientFunds
from marketplace.payments.sandbox.models import SandboxEntry, SandboxObject
from marketplace.payments.states import Leg
from marketplace.settlement import accrual
from marketplace.settlement.errors import AccrualUnknown
from marketplace.settlement.manual.errors import (
    AlreadyClawedBack,
    AlreadyReversed,
    NotReleased,
    PartyUnknown,
    ReceivableTooSmall,
    ReversalRefused,
    TxnUnknown,
)
from marketplace.settlement.manual.models import ManualPosting
from marketplace.settlement.manual.states import ProposalState
from marketplace.settlement.timeline import TimelineOf, timeline
from tests.factories.money import ask_top_up, committed, row_of, tamper
from tests.jobs import run_outbox
from tests.settlement.desk import bonus, owed, person, released
from tests.settlement.work import make_deal


async def test_free_posting_moves_what_it_says_and_is_reversed_once(desk):
    deal = await make_deal(desk.database)
    cash = accounts.org_cash(deal.request.organisation_id)
    before = await desk.balance(cash)
    legs = [
        {"account": cash, "side": "debit", "amount_minor": 300},
        {"account": "rounding", "side": "credit", "amount_minor": 300},
    ]
    posted = await desk.post(kind="manual", currency="CNY", legs=legs)
    assert (await desk.balance(cash), await desk.balance("rounding")) == (before - 300, 300)
    twice = [await desk.propose(kind="reverse", txn_id=posted.txn_id) for _ in range(2)]
    ended = await asyncio.gather(*(desk.approve(each) for each in twice), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ended) == ["AlreadyReversed", "ManualPosting"]
    assert (await desk.balance(cash), await desk.balance("rounding")) == (before, 0)
    with pytest.raises(AlreadyReversed):
        await desk.propose(kind="reverse", txn_id=posted.txn_id)
    assert await desk.broken() == {}


async def test_reversal_is_refused_when_the_money_is_gone_or_a_machine_owns_it(desk):
    worker, proposal = await bonus(desk)
    given = await desk.approve(proposal)
    spent = [
        {"account": accounts.worker(worker), "side": "debit", "amount_minor": 500},
        {"account": "promo", "side": "credit", "amount_minor": 500},
    ]
    await desk.post(kind="manual", currency="CNY", legs=spent)
    reversal = await desk.propose(kind="reverse", txn_id=given.txn_id)
    with pytest.raises(InsufficientFunds):
        await desk.approve(reversal)
    assert (await row_of(desk.database, ManualPosting, reversal.id)).state is ProposalState.PROPOSED
    _, claim, _ = await released(desk)
    async with desk.database.sessions() as session:
        (freed,) = await queries.txn_ids_of(session, [f"release:{claim.id}:1"])
    with pytest.raises(ReversalRefused, match="claw_back"):
        await desk.propose(kind="reverse", txn_id=freed)
    with pytest.raises(TxnUnknown):
        await desk.propose(kind="reverse", txn_id=new_id())


async def test_write_off_takes_no_more_than_is_owed(desk):
    debtor = await person(desk.database)
    await owed(desk, debtor, 500)
    terms = {"kind": "write_off", "debtor_id": debtor, "currency": "CNY"}
    with pytest.raises(ReceivableTooSmall):
        await desk.propose(**terms, amount_minor=501)
    twice = [await desk.propose(**terms, amount_minor=400) for _ in range(2)]
    ended = await asyncio.gather(*(desk.approve(each) for each in twice), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ended) == ["ManualPosting", "ReceivableTooSmall"]
    assert await desk.balance(accounts.receivable(debtor)) == 100
    assert await desk.balance("bad_debt") == 400
    stranger = new_id()
    await owed(desk, stranger, 5)
    with pytest.raises(PartyUnknown):
        await desk.propose(**terms | {"debtor_id": stranger}, amount_minor=5)
    assert await desk.broken() == {}


@pytest.mark.parametrize("with_fee", [True, False])
async def test_claw_back_gives_the_enterprise_back_what_was_released(desk, with_fee):
    deal, claim, terms = await released(desk)
    cash = accounts.org_cash(deal.request.organisation_id)
    before, fee = await desk.balance(cash), await desk.balance("platform_fee")
    earned = await desk.balance(accounts.worker(claim.worker_id))
    await desk.post(**terms, with_fee=with_fee)
    back = earned + (fee if with_fee else 0)
    assert await desk.balance(cash) == before + back
    assert await desk.balance("platform_fee") == (0 if with_fee else fee)
    assert await desk.balance(accounts.worker(claim.worker_id)) == 0
    assert await desk.broken() == {}


async def test_claw_back_stands_in_the_requests_timeline_and_is_reversed_like_any_posting(desk):
    deal, claim, terms = await released(desk)
    paths = [accounts.org_cash(deal.request.organisation_id), accounts.worker(claim.worker_id), "platform_fee"]
    before = [await desk.balance(path) for path in paths]
    clawed = await desk.post(**terms, with_fee=True)
    async with desk.database.sessions() as session:
        page = await timeline(session, TimelineOf.REQUEST, deal.request.id, PageQuery())
    assert [(entry.kind, entry.verdict is not None) for entry in page.items] == [
        ("fund", False), ("accrue", True), ("release", True), ("claw_back", True),
    ]  # fmt: skip
    await desk.post(kind="reverse", txn_id=clawed.txn_id)
    assert [await desk.balance(path) for path in paths] == before
    assert await desk.broken() == {}


async def test_verify_names_a_claw_back_of_more_than_was_released(desk):
    _, claim, terms = await released(desk)
    await desk.post(**terms, with_fee=True)
    less = "amount_minor = 1, fee_minor = 0, vendor_minor = 0, worker_minor = 1"
    await tamper(desk.database, f"UPDATE accrual SET {less} WHERE claim_id = '{claim.id}'")
    broken = await desk.broken()
    assert set(broken) == {"manual_postings", "contract_totals"}
    assert str(claim.id) in broken["manual_postings"][0]


async def test_claw_back_makes_a_debt_of_what_the_payee_has_spent(desk):
    _, claim, terms = await released(desk)
    worker = accounts.worker(claim.worker_id)
    earned = await desk.balance(worker)
    spent = [
        {"account": worker, "side": "debit", "amount_minor": earned - 10},
        {"account": "promo", "side": "credit", "amount_minor": earned - 10},
    ]
    await desk.post(kind="manual", currency="CNY", legs=spent)
    await desk.post(**terms, with_fee=False)
    assert await desk.balance(worker) == 0
    assert await desk.balance(accounts.receivable(claim.worker_id)) == earned - 10
    assert await desk.broken() == {}


async def test_claw_back_takes_of_vendor_and_worker_in_proportion(desk):
    shares = {"pay_workers_directly": True, "worker_share_bps": 6000}
    deal, claim, terms = await released(desk, with_vendor=True, contract=shares)
    vendor, worker = accounts.vendor(deal.contract.vendor_organisation_id), accounts.worker(claim.worker_id)
    given = await desk.balance(vendor), await desk.balance(worker)
    assert min(given) > 0
    await desk.post(**terms, with_fee=True, amount_minor=sum(given) // 2)
    assert await desk.balance(vendor) == pytest.approx(given[0] / 2, abs=1)
    assert await desk.balance(vendor) + await desk.balance(worker) == sum(given) - sum(given) // 2
    assert await desk.broken() == {}


async def test_accrual_is_clawed_back_once(desk):
    deal, _, terms = await released(desk)
    cash = accounts.org_cash(deal.request.organisation_id)
    before = await desk.balance(cash)
    twice = [await desk.propose(**terms, with_fee=False, amount_minor=10) for _ in range(2)]
    ended = await asyncio.gather(*(desk.approve(each) for each in twice), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ended) == ["AlreadyClawedBack", "ManualPosting"]
    assert await desk.balance(cash) == before + 10
    with pytest.raises(AlreadyClawedBack):
        await desk.propose(**terms, with_fee=False)


async def test_claw_back_is_refused_inside_the_window(desk):
    deal = await make_deal(desk.database, release_window_seconds=3600)
    claim = await deal.accepted(worker=await person(desk.database))
    async with committed(desk.database) as session:
        await accrual.accrue(session, deal.request.id, claim.id, 1)
    terms = {"kind": "claw_back", "request_id": deal.request.id, "claim_id": claim.id, "with_fee": False}
    with pytest.raises(NotReleased):
        await desk.propose(**terms, revision=1)
    with pytest.raises(AccrualUnknown):
        await desk.propose(**terms, revision=2)


async def test_sweep_matches_the_providers_entry(desk, worker_resources):
    deal = await make_deal(desk.database)
    await ask_top_up(desk.database, desk.gateway, deal.request.organisation_id, 5000)
    await run_outbox(worker_resources, only="payments.")
    terms = {"kind": "sweep", "provider": "sandbox", "bank": "main", "currency": "CNY"}
    entry = {"object": "payout", "ref": "payout:txn_1"}
    with pytest.raises(InsufficientFunds):
        await desk.propose(**terms, amount_minor=5001, provider_entry=entry)
    posted = await desk.post(**terms, amount_minor=700, provider_entry=entry)
    assert set(await desk.broken()) == {"provider_entries", "provider_balance"}  # booked, and not yet there
    async with committed(desk.database) as session:
        account = (await session.exec(select(SandboxObject).limit(1))).one()
        moved = SandboxObject.model_validate(
            account.model_dump() | {"id": new_id(), "key": str(new_id()), "kind": Leg.PAYOUT, "ref": entry["ref"]}
        )
        session.add(moved)
        await session.flush()
        session.add(SandboxEntry(object_id=moved.id, currency="CNY", amount_minor=-700, available_at=now()))
    assert await desk.broken() == {}
    assert await desk.balance("bank:main") == 700
    await desk.post(kind="reverse", txn_id=posted.txn_id)
    await tamper(desk.database, "UPDATE sandbox_entry SET created_at = '2020-01-01' WHERE amount_minor = -700")
    assert set(await desk.broken()) == {"provider_entries", "provider_balance"}  # there, and booked no more
    await tamper(desk.database, "DELETE FROM sandbox_entry WHERE amount_minor = -700")
    assert await desk.broken() == {}  # neither there nor booked


async def test_tax_is_remitted_up_to_what_was_withheld(desk):
    async with committed(desk.database) as session:
        legs = [debit(accounts.bank("test"), 800), credit(accounts.tax("CN"), 800)]
        await ledger.post(session, f"held:{new_id()}", "test.tax", legs, "CNY")
    terms = {
        "kind": "tax_remitted", "authority": "CN", "currency": "CNY",
        "paid_from": {"source": "bank", "bank": "main"},
    }  # fmt: skip
    await desk.post(**terms, amount_minor=500)
    assert (await desk.balance("tax:CN"), await desk.balance("bank:main")) == (300, -500)
    with pytest.raises(InsufficientFunds):
        await desk.post(**terms, amount_minor=301)
    assert await desk.broken() == {}
