"""Payees ask the provider by which they are paid about themselves, not the one where the money comes in."""

import pytest

from tests.factories.identity import bearer, make_approved_worker, make_vendor
from tests.factories.money import committed

ACCOUNT = {
    "currency": "CNY", "holder_name": "韦小木", "bank_name": "", "bank_code": "ICBKCNBJ", "account_number": "62220201",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["worker", "vendor"])
async def test_payee_sees_where_they_stand_when_payouts_go_another_way_than_top_ups(client, app, database, drive, kind):
    async with committed(database) as session:
        party = await (make_approved_worker if kind == "worker" else make_vendor)(session)
    mine = bearer(app, party)
    path = "/v1/me" if kind == "worker" else f"/v1/organisations/{party.organisation.id}"
    assert (await client.put(f"{path}/payout-methods", json=ACCOUNT, headers=mine)).status_code == 200
    await drive()
    answer = await client.get(f"{path}/payee", headers=mine)
    assert (answer.status_code, answer.json()["provider"], answer.json()["state"]) == (200, "bank_file", "ready")
    asked = await client.post(f"{path}/payee-onboarding", headers=mine)
    assert (asked.status_code, asked.json()["code"]) == (409, "onboarding_not_offered")
