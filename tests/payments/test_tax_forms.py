"""Tax forms: handed in by payees, verified by the operator, asked for before a payout."""

import hashlib
from datetime import timedelta

import pytest
from sqlmodel import select

from marketplace.core.actor import Role
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.ledger import accounts, queries
from marketplace.payments.errors import TaxFormMissing
from marketplace.payments.models import Payee
from marketplace.payments.planning import pay_out
from marketplace.payments.rules import PayoutRules
from marketplace.payments.tax_forms import MAX_FORMS
from marketplace.payments.tax_models import TaxForm
from tests.factories.identity import bearer, make_approved_worker, make_operator, make_vendor
from tests.factories.money import ask_payout, committed, earn

PAPER = b"%PDF-1.7\n% a form"
NEEDED = PayoutRules(forms_required={"CN": frozenset({"cn_identity"})})


@pytest.fixture
async def worker(database):
    async with committed(database) as session:
        party = await make_approved_worker(session)
    await earn(database, party.person.id, 10_000)
    return party


@pytest.fixture
async def officer(app, database):
    async with committed(database) as session:
        return bearer(app, await make_operator(session, Role.OPERATOR_FINANCE))


def _dates(first: int = -1, last: int = 1) -> dict[str, str]:
    today = now().date()
    return {"valid_from": f"{today + timedelta(days=first)}", "valid_until": f"{today + timedelta(days=last)}"}


async def _hand_in(client, headers, path="/v1/me/tax-forms", form_type="cn_identity", paper=PAPER, **dates):
    data = {"form_type": form_type, **(dates or _dates())}
    return await client.post(f"{path}/uploads", headers=headers, data=data, files={"paper": ("id.pdf", paper)})


async def _decide(client, officer, form, verdict="verified"):
    body = {"verdict": verdict, "reason": "seen beside the register"}
    return await client.post(f"/v1/operator/tax/forms/{form}/decision", headers=officer, json=body)


async def test_payout_waits_until_the_form_is_verified_when_the_country_needs_one(
    app, client, database, gateway, worker, officer
):
    mine = bearer(app, worker)
    with pytest.raises(TaxFormMissing, match="cn_identity was not handed in"):
        await ask_payout(database, gateway, worker.person.id, rules=NEEDED)
    answer = await _hand_in(client, mine)
    assert answer.status_code == 201, answer.text
    assert answer.json()["sha256"] == hashlib.sha256(PAPER).hexdigest()
    with pytest.raises(TaxFormMissing, match="is not verified yet"):
        await ask_payout(database, gateway, worker.person.id, rules=NEEDED)
    (waiting,) = (await client.get("/v1/operator/tax/forms", headers=officer)).json()["items"]
    address = await client.post(f"/v1/operator/tax/forms/{waiting['id']}/address", headers=officer)
    assert (await client.get(address.json()["url"])).content == PAPER
    assert (await _decide(client, officer, waiting["id"])).json()["state"] == "verified"
    assert (await ask_payout(database, gateway, worker.person.id, rules=NEEDED)).amount_minor == 10_000


@pytest.mark.parametrize(("dates", "problem"), [((-9, -1), "lapsed after"), ((1, 9), "holds from")])
async def test_payout_is_refused_when_a_form_does_not_hold_today(
    app, client, database, gateway, worker, officer, dates, problem
):
    form = (await _hand_in(client, bearer(app, worker), **_dates(*dates))).json()
    await _decide(client, officer, form["id"])
    with pytest.raises(TaxFormMissing, match=problem):
        await ask_payout(database, gateway, worker.person.id, rules=NEEDED)


async def test_automatic_payout_waits_and_reserves_nothing_when_a_form_is_missing(database, gateway, worker):
    owner = worker.person.id
    async with committed(database) as session:
        payee = Payee(kind="worker", owner_id=owner, provider=gateway.name, display_name="韦小木", auto_payout=True)
        session.add(payee)
        await session.flush()
        await pay_out(session, gateway, NEEDED, payee.id, None)
        assert await queries.balance(session, accounts.worker(owner), "CNY") == 10_000


async def test_payee_of_another_country_is_paid_without_the_form(database, gateway, worker):
    elsewhere = PayoutRules(forms_required={"US": frozenset({"w9"})})
    assert (await ask_payout(database, gateway, worker.person.id, rules=elsewhere)).amount_minor == 10_000


async def test_form_is_refused_when_type_dates_or_content_are_wrong(app, client, worker):
    mine = bearer(app, worker)
    wrong = [
        await _hand_in(client, mine, form_type="w99"),
        await _hand_in(client, mine, **_dates(2, 1)),
        await _hand_in(client, mine, paper=b"MZ a program"),
    ]
    assert [answer.json()["code"] for answer in wrong] == [
        "tax_form_type_unknown", "tax_form_dates_invalid", "paper_type_refused",
    ]  # fmt: skip
    assert (await client.get("/v1/me/tax-forms", headers=mine)).json()["items"] == []


async def test_form_is_refused_when_a_payee_has_handed_in_too_many(app, client, database, worker):
    mine = bearer(app, worker)
    await _hand_in(client, mine)
    async with committed(database) as session:
        first = (await session.exec(select(TaxForm))).one().model_dump(exclude={"id"})
        session.add_all([TaxForm(**first) for _ in range(MAX_FORMS - 1)])
    assert (await _hand_in(client, mine)).json()["code"] == "too_many_tax_forms"


@pytest.fixture
def needed_by_setting(monkeypatch):
    monkeypatch.setenv("TAX_FORMS_REQUIRED", '{"CN": ["cn_identity"]}')


async def test_payee_sees_what_is_missing_and_is_not_paid_when_the_setting_asks_for_a_form(
    needed_by_setting, app, client, worker
):
    mine = bearer(app, worker)
    required = (await client.get("/v1/me/tax-forms/required", headers=mine)).json()
    assert required == [{"form_type": "cn_identity", "holds": False, "problem": "was not handed in"}]
    headers = {**mine, "Idempotency-Key": str(new_id())}
    asked = await client.post("/v1/me/payouts", headers=headers, json={"currency": "CNY"})
    assert (asked.status_code, asked.json()["code"]) == (409, "tax_form_missing")
    assert asked.json()["missing"] == ["cn_identity"]


async def test_vendor_forms_are_hidden_when_another_vendor_asks(app, client, database):
    async with committed(database) as session:
        one, other = await make_vendor(session, Role.FINANCE), await make_vendor(session, Role.FINANCE)
    path = f"/v1/organisations/{one.organisation.id}/tax-forms"
    assert (await _hand_in(client, bearer(app, one), path)).status_code == 201
    assert (await _hand_in(client, bearer(app, other), path)).status_code == 404
    assert len((await client.get(path, headers=bearer(app, one))).json()["items"]) == 1
    assert (await client.get(path, headers=bearer(app, other))).status_code == 404
    assert (await client.get("/v1/operator/tax/forms", headers=bearer(app, one))).status_code == 403


async def test_form_cannot_be_decided_twice_when_it_was_refused(app, client, worker, officer):
    form = (await _hand_in(client, bearer(app, worker))).json()
    assert (await _decide(client, officer, form["id"], "refused")).status_code == 200
    assert (await _decide(client, officer, form["id"])).status_code == 409
    assert (await _decide(client, officer, new_id())).status_code == 404
