"""Stripe's notices at our endpoint: believed when signed by any of our secrets and fresh, else refused and counted."""

import json
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr
from sqlmodel import select
from stripe import WebhookSignature

from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.payments.models import WebhookEvent
from marketplace.payments.states import Leg

PATH = "/v1/webhooks/stripe"
OLD, NEW = "whsec_old", "whsec_new"


@pytest.fixture
def settings(settings):
    secrets = {"stripe_api_key": SecretStr("sk_test_1"), "stripe_webhook_secrets": SecretStr(f"{OLD},{NEW}")}
    return settings.model_copy(update={"payment_provider": "stripe", **secrets})


def _event(**thing) -> str:
    event = {"id": "evt_1", "object": "event", "type": "x.updated", "created": 1_700_000_000}
    return json.dumps(event | {"data": {"object": thing}})


def _ours(ref: str) -> str:
    return _event(object="payout", metadata={"kapok_ref": ref})


def _signed(body: str, secret: str = NEW, age: timedelta = timedelta(0)) -> dict[str, str]:
    stamp = int((now() - age).timestamp())
    return {"Stripe-Signature": WebhookSignature.generate_signature_header(body, secret, timestamp=stamp)}


async def _inbox(database) -> list[tuple[str, Leg, str]]:
    async with database.sessions() as session:
        found = (await session.exec(select(WebhookEvent))).all()
    return [(event.provider, event.object_kind, event.object_ref) for event in found]


def _refused() -> float:
    return REGISTRY.get_sample_value("kapok_webhooks_refused_total", {"provider": "stripe"}) or 0.0


@pytest.mark.parametrize("secret", [OLD, NEW])
async def test_notice_is_kept_once_when_any_of_our_secrets_signed_it(client, database, secret):
    ref = new_id().hex
    answers = [await client.post(PATH, content=_ours(ref), headers=_signed(_ours(ref), secret)) for _ in range(2)]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(202, {"new": True}), (202, {"new": False})]
    assert await _inbox(database) == [("stripe", Leg.PAYOUT, ref)]


async def test_notice_of_an_account_names_it_by_its_own_id_when_it_is_thin(client, database):
    body = json.dumps(
        {
            "id": "evt_2", "object": "v2.core.event", "created": "2026-01-01T00:00:00.000Z",
            "type": "v2.core.account[configuration.recipient].capability_status_updated",
            "related_object": {"id": "acct_1", "type": "v2.core.account", "url": "/v2/core/accounts/acct_1"},
        }
    )  # fmt: skip
    answer = await client.post(PATH, content=body, headers=_signed(body))
    assert (answer.status_code, answer.json()) == (202, {"new": True})
    assert await _inbox(database) == [("stripe", Leg.PAYEE, "acct_1")]


async def test_notice_is_taken_and_forgotten_when_it_is_about_nothing_of_ours(client, database):
    for body in (_event(object="customer"), _event(object="payout", metadata={})):
        answer = await client.post(PATH, content=body, headers=_signed(body))
        assert (answer.status_code, answer.json()) == (202, {"new": False})
    assert await _inbox(database) == []


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Stripe-Signature": ""}, {"Stripe-Signature": "t=1,v1=ab"}, {"Stripe-Signature": b"t=1,v1=\xe9"},
        _signed(_ours("r"), "whsec_other"), _signed(_ours("other"), NEW),
        _signed(_ours("r"), NEW, timedelta(hours=1)), _signed(_ours("r"), NEW, timedelta(hours=-1)),
    ],
)  # fmt: skip
async def test_notice_is_refused_and_counted_when_it_is_forged_or_far_from_now(client, database, headers):
    before = _refused()
    answer = await client.post(PATH, content=_ours("r"), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "webhook_refused")
    assert _refused() == before + 1
    assert await _inbox(database) == []


@pytest.mark.parametrize("body", ["[]", "{}", "null", "no JSON", '{"object": "event"}', '{"object": "v2.core.event"'])
async def test_notice_is_refused_when_it_is_signed_and_no_event(client, database, body):
    assert (await client.post(PATH, content=body, headers=_signed(body))).status_code == 400
    assert await _inbox(database) == []


async def test_endpoint_is_unknown_when_stripe_is_not_set_up(client, app):
    app.state.resources.settings.stripe_api_key = SecretStr("")
    assert (await client.post(PATH, content=b"{}")).status_code == 404
