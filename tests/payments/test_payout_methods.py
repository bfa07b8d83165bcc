"""Where a payee's money goes: the number is kept sealed, and a change cools for a day."""

import pytest
from sqlalchemy import text
from sqlmodel import select

from marketplace.audit.models import AuditEntry
from marketplace.core.ids import new_id
from marketplace.core.sealed import SecretBroken, seal_text, unseal_text
from marketplace.payments.control_models import PayoutMethod
from marketplace.payments.methods import account_in, method_of
from marketplace.payments.models import Payee
from tests.factories.identity import bearer, make_approved_worker, make_vendor
from tests.factories.money import committed

NUMBER = "6217003380001234567"
METHOD = {
    "currency": "CNY", "holder_name": "韦小木", "bank_name": "广西农信", "bank_code": "402611099993",
    "account_number": NUMBER,
}  # fmt: skip


@pytest.fixture
async def worker(database):
    async with committed(database) as session:
        return await make_approved_worker(session)


async def _methods(database) -> list[PayoutMethod]:
    async with database.sessions() as session:
        return list((await session.exec(select(PayoutMethod))).all())


async def test_account_is_shown_masked_and_kept_sealed_when_given(client, app, worker, database, settings):
    headers = bearer(app, worker)
    given = await client.put("/v1/me/payout-methods", json=METHOD, headers=headers)
    assert (given.status_code, given.json()["account_last4"]) == (200, "4567")
    listed = (await client.get("/v1/me/payout-methods", headers=headers)).json()
    assert listed == [given.json()]
    assert NUMBER not in given.text
    async with database.sessions() as session:
        raw = (await session.execute(text("SELECT payout_method::text FROM payout_method"))).scalar_one()
        trail = (await session.exec(select(AuditEntry).where(AuditEntry.action == "payout_method.change"))).one()
        payee = (await session.exec(select(Payee))).one()
        method = await method_of(session, payee, "CNY")
    assert NUMBER not in raw
    assert NUMBER.encode().hex() not in raw
    assert trail.facts == {"provider": "sandbox", "currency": "CNY", "account_last4": "4567"}
    assert account_in(method, settings).account_number == NUMBER


async def test_cooling_begins_again_only_when_the_account_changes(client, app, worker, database):
    headers = bearer(app, worker)
    first = (await client.put("/v1/me/payout-methods", json=METHOD, headers=headers)).json()
    same = (await client.put("/v1/me/payout-methods", json=METHOD, headers=headers)).json()
    assert first["cooling_until"] is not None
    assert same == first
    other = METHOD | {"account_number": "6217003380007654321"}
    changed = (await client.put("/v1/me/payout-methods", json=other, headers=headers)).json()
    assert changed["cooling_until"] > first["cooling_until"]
    assert len(await _methods(database)) == 1


async def test_method_is_not_shown_when_the_vendor_is_another_tenant(client, app, database):
    async with committed(database) as session:
        mine, other = await make_vendor(session), await make_vendor(session)
    path = f"/v1/organisations/{mine.organisation.id}/payout-methods"
    assert (await client.put(path, json=METHOD, headers=bearer(app, mine))).status_code == 200
    assert (await client.get(path, headers=bearer(app, other))).status_code == 404
    assert (await client.put(path, json=METHOD, headers=bearer(app, other))).status_code == 404
    assert [row["account_last4"] for row in (await client.get(path, headers=bearer(app, mine))).json()] == ["4567"]


@pytest.mark.parametrize("wrong", [{"account_number": "12 34"}, {"currency": "XXX"}, {"holder_name": ""}])
async def test_method_is_refused_when_a_field_is_not_one(client, app, worker, wrong):
    answer = await client.put("/v1/me/payout-methods", json=METHOD | wrong, headers=bearer(app, worker))
    assert answer.status_code in {400, 422}


def test_sealed_text_is_broken_when_it_stands_in_another_row():
    row, other = new_id(), new_id()
    blob = seal_text("a secret", "accounts", row, NUMBER)
    assert unseal_text("a secret", "accounts", row, blob) == NUMBER
    for secret, purpose, place in (
        ("other", "accounts", row),
        ("a secret", "other", row),
        ("a secret", "accounts", other),
    ):
        with pytest.raises(SecretBroken):
            unseal_text(secret, purpose, place, blob)
