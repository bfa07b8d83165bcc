"""What payers and payees do at Stripe: the next action of a top-up, and the pages on which payees say who they are."""

import httpx
import pytest
from sqlmodel import select

from marketplace.core.outbox import Outbox
from marketplace.payments.models import Payee, ProviderCall
from marketplace.payments.providers import close_gateways
from marketplace.payments.states import PayeeState, Subject
from marketplace.payments.subjects import ask_to_advance
from tests.factories.identity import bearer, make_approved_worker, make_enterprise, make_vendor
from tests.factories.money import committed, put_off, row_of
from tests.fakestripe import running_fake
from tests.jobs import run_outbox
from tests.payments.benches import stripe_settings

_ACCOUNT = "v2.core.account"


@pytest.fixture
async def fake():
    async with running_fake() as running:
        yield running
    await close_gateways()


@pytest.fixture
def over_stripe(settings, fake):
    changes = {"stripe_test_payment_method": "", "stripe_publishable_key": "pk_test_fake"}
    return stripe_settings(settings, fake).model_copy(update=changes | {"payee_return_url": "https://kapok.test/done"})


@pytest.fixture
async def enterprise(database):
    async with committed(database) as session:
        return await make_enterprise(session)


@pytest.fixture
async def worker(database):
    async with committed(database) as session:
        party = await make_approved_worker(session)
        party.person.display_name = "韦小木 restricted"
        return party


@pytest.fixture
def settle(database, worker_resources):
    async def run() -> None:
        async with committed(database) as session:
            session.add(Outbox(kind="payments.fill_gaps", payload={}))
        for _ in range(4):
            await put_off(database)
            await run_outbox(worker_resources, only="payments.")

    return run


class TestOverStripe:
    @pytest.fixture
    def settings(self, over_stripe):
        return over_stripe

    @pytest.fixture
    async def top_up(self, client, app, enterprise, settle):
        path = f"/v1/organisations/{enterprise.organisation.id}/top-ups"
        headers = bearer(app, enterprise)
        body = {"amount_minor": 5000, "currency": "CNY"}
        made = await client.post(path, json=body, headers=headers | {"Idempotency-Key": "one"})
        assert made.status_code == 201
        assert made.json()["next_action"] is None
        await settle()

        async def read() -> dict:
            return (await client.get(f"{path}/{made.json()['id']}", headers=headers)).json()

        return read

    async def _confirm(self, fake, kind: str) -> str:
        intent = next(one["id"] for one in fake.world.objects.values() if one["object"] == "payment_intent")
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {fake.api_key}"}) as payer:
            name = "payment_method" if kind.startswith("pm_") else "payment_method_data[type]"
            data = {name: kind, "return_url": "https://kapok.test/back"}
            answer = await payer.post(f"{fake.url}/v1/payment_intents/{intent}/confirm", data=data)
        assert answer.is_success, answer.text
        return intent

    async def test_top_up_tells_its_payer_to_confirm_when_no_method_is_chosen(self, top_up):
        view = await top_up()
        assert view["state"] == "pending"
        action = {name: value for name, value in view["next_action"].items() if value is not None}
        assert action == {"kind": "confirm", "client_secret": "pi_secret", "publishable_key": "pk_test_fake"}

    @pytest.mark.parametrize(
        ("method", "kind", "field", "value"),
        [
            ("pm_card_threeDSecure2Required", "redirect", "url", "https://pay.stripe.test/3ds"),
            ("alipay", "redirect", "url", "https://pay.stripe.test/alipay"),
            ("wechat_pay", "qr_code", "qr_code", "weixin://wxpay/bizpayurl?pr=fake"),
        ],
    )
    async def test_top_up_tells_the_next_step_until_the_payer_has_taken_it(
        self, top_up, fake, settle, method, kind, field, value
    ):
        intent = await self._confirm(fake, method)
        action = (await top_up())["next_action"]
        assert (action["kind"], action[field]) == (kind, value)
        fake.actions.pay_intent(intent)
        await settle()
        view = await top_up()
        assert (view["state"], view["next_action"]) == ("succeeded", None)

    async def test_top_up_is_shown_without_a_next_action_when_stripe_does_not_answer(self, top_up, fake, settings):
        fake.api_key = "sk_test_other"
        view = await top_up()
        fake.api_key = settings.stripe_api_key.get_secret_value()
        assert (view["state"], view["next_action"]) == ("pending", None)

    async def test_payee_becomes_ready_when_stripe_was_told_what_was_due(self, client, app, worker, fake, settle):
        headers = bearer(app, worker)
        assert (await client.get("/v1/me/payee", headers=headers)).json()["code"] == "payee_unknown"
        first = await client.post("/v1/me/payee-onboarding", headers=headers)
        assert (first.status_code, first.json()) == (200, {"state": "new", "url": None})
        await settle()
        view = (await client.get("/v1/me/payee", headers=headers)).json()
        assert (view["state"], view["is_known"]) == ("new", True)
        assert view["requirements_due"] == ["identity.address", "external_account"]
        account = next(one["id"] for one in fake.world.objects.values() if one["object"] == "v2.core.account")
        links = [(await client.post("/v1/me/payee-onboarding", headers=headers)).json()["url"] for _ in range(2)]
        assert all(account in link for link in links)
        fake.actions.onboard(account)
        await settle()
        view = (await client.get("/v1/me/payee", headers=headers)).json()
        assert (view["state"], view["requirements_due"]) == ("ready", [])

    async def test_payee_is_made_once_and_looked_up_after_that_when_many_payouts_wait_for_them(
        self, client, app, database, worker, fake, settle
    ):
        headers = bearer(app, worker)
        await client.post("/v1/me/payee-onboarding", headers=headers)
        await settle()
        async with database.sessions() as session:
            payee = (await session.exec(select(Payee))).one()

        async def advance() -> None:
            async with committed(database) as session:
                ask_to_advance(session, Subject.PAYEE, payee.id)
            await settle()

        for _ in range(3):
            await advance()
        async with database.sessions() as session:
            assert [call.attempt for call in await session.exec(select(ProviderCall))] == [1]
        fake.actions.onboard(next(one["id"] for one in fake.world.objects.values() if one["object"] == _ACCOUNT))
        await advance()
        assert (await row_of(database, Payee, payee.id)).state is PayeeState.READY


async def test_onboarding_is_refused_when_the_provider_asks_payees_nothing(client, app, worker, settle):
    headers = bearer(app, worker)
    assert (await client.post("/v1/me/payee-onboarding", headers=headers)).json()["url"] is None
    await settle()
    answer = await client.post("/v1/me/payee-onboarding", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "onboarding_not_offered")
    assert (await client.get("/v1/me/payee", headers=headers)).json()["state"] == "ready"


async def test_onboarding_of_another_vendor_is_not_found(client, app, database):
    async with committed(database) as session:
        vendor, other = await make_vendor(session), await make_vendor(session)
    path = f"/v1/organisations/{vendor.organisation.id}"
    assert (await client.post(f"{path}/payee-onboarding", headers=bearer(app, other))).status_code == 404
    assert (await client.get(f"{path}/payee", headers=bearer(app, other))).status_code == 404
    assert (await client.post(f"{path}/payee-onboarding", headers=bearer(app, vendor))).status_code == 200
