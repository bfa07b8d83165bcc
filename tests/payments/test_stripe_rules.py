"""The pure part of Stripe: amounts, what its errors mean, what its objects and notices say."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.money import Money
from marketplace.core.settings import Settings
from marketplace.payments.errors import AmountOutOfRange, Misconfigured, Rejected, Throttled, Unknown, WebhookRefused
from marketplace.payments.gateway import RemoteState
from marketplace.payments.states import Leg
from marketplace.payments.stripe import answers, notices, objects
from marketplace.payments.stripe.amounts import check_payout, from_stripe, to_stripe
from marketplace.payments.stripe.answers import Problem


@pytest.mark.parametrize(
    ("amount", "units"), [(Money(1000, "VND"), 1000), (Money(1000, "JPY"), 1000), (Money(1000, "CNY"), 1000),
                          (Money(1000, "LAK"), 1000), (Money(1000, "MMK"), 1000)],
)  # fmt: skip
def test_amount_is_the_same_there_and_back_when_it_is_exact(amount, units):
    assert to_stripe(amount) == units
    assert from_stripe(units, amount.currency.lower()) == amount.minor


def test_amount_is_converted_exactly_when_the_tables_differ():
    """Stripe has no decimals for MGA, which has two in ISO 4217."""
    assert to_stripe(Money(500, "MGA"), exponents={"MGA": 2}) == 5
    assert from_stripe(5, "mga", exponents={"MGA": 2}) == 500
    assert to_stripe(Money(5, "ISK"), exponents={"ISK": 0}) == 500


@pytest.mark.parametrize(
    ("amount", "exponents"),
    [(Money(501, "MGA"), {"MGA": 2}), (Money(1234, "KWD"), {"KWD": 3}), (Money(0, "CNY"), {"CNY": 2})],
)
def test_amount_is_refused_when_stripe_cannot_express_it(amount, exponents):
    with pytest.raises(AmountOutOfRange):
        to_stripe(amount, exponents=exponents)


def test_amount_is_refused_when_it_is_finer_than_our_minor_unit():
    with pytest.raises(AmountOutOfRange):
        from_stripe(150, "isk", exponents={"ISK": 0})


def test_payout_is_refused_when_it_is_no_multiple_of_the_granularity():
    check_payout(Money(300, "TWD"))
    with pytest.raises(AmountOutOfRange):
        check_payout(Money(301, "TWD"))


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (Problem(None, None, "time-out"), Unknown),
        (Problem(500, None, "down"), Unknown),
        (Problem(200, None, "no JSON"), Unknown),
        (Problem(429, "rate_limit", "slow"), Throttled),
        (Problem(409, "idempotency_key_in_use", "busy"), Throttled),
        (Problem(401, None, "key"), Misconfigured),
        (Problem(403, None, "right"), Misconfigured),
        (Problem(400, None, "other request", same_key_other_request=True), Misconfigured),
        (Problem(402, "card_declined", "no"), Rejected),
        (Problem(404, "resource_missing", "no"), Rejected),
    ],
)
def test_error_means_one_thing_when_it_has_this_status(problem, kind):
    assert type(answers.meaning(problem)) is kind


@pytest.mark.parametrize(("status", "answered"), [(None, False), (200, False), (500, True), (503, True)])
def test_unknown_tells_whether_an_answer_came_when_the_server_failed(status, answered):
    error = answers.meaning(Problem(status, None, ""))
    assert isinstance(error, Unknown)
    assert error.answered is answered


def test_lack_of_money_has_one_code_when_stripe_names_it_otherwise():
    error = answers.meaning(Problem(400, "insufficient_funds", ""))
    assert isinstance(error, Rejected)
    assert error.reason_code == "balance_insufficient"


@pytest.mark.parametrize(("given", "seconds"), [("7", 7), (None, 1), ("0", 1), ("soon", 1), ("999999", 300)])
def test_wait_is_what_stripe_asks_when_that_is_sensible(given, seconds):
    error = answers.meaning(Problem(429, None, "", retry_after=given))
    assert isinstance(error, Throttled)
    assert error.after == timedelta(seconds=seconds)


def _intent(status: str, **more) -> dict:
    return {"id": "pi_1", "status": status, "amount": 500, "currency": "cny", "client_secret": "s",
            "metadata": {"kapok_ref": "r"}, **more}  # fmt: skip


def test_charge_waits_for_its_fee_when_stripe_has_not_booked_it():
    late = objects.charge(_intent("succeeded", latest_charge={"balance_transaction": None}), final=False)
    assert (late.state, late.next_action) == (RemoteState.PENDING, None)
    booked = {"balance_transaction": {"fee": 17, "currency": "cny"}}
    done = objects.charge(_intent("succeeded", latest_charge=booked), final=False)
    assert (done.state, done.fee_minor, done.currency) == (RemoteState.SUCCEEDED, 17, "CNY")


def test_charge_is_no_success_when_stripe_has_converted_it():
    booked = {"balance_transaction": {"fee": 17, "currency": "usd"}}
    with pytest.raises(Misconfigured):
        objects.charge(_intent("succeeded", latest_charge=booked), final=False)


def test_charge_hands_on_its_secret_when_the_payer_must_confirm():
    waiting = objects.charge(_intent("requires_payment_method"), final=False)
    assert (waiting.state, waiting.next_action) == (RemoteState.PENDING, {"kind": "confirm", "client_secret": "s"})


def test_charge_stays_open_when_the_payer_may_try_another_method():
    failed = _intent("requires_payment_method", last_payment_error={"code": "card_declined"})
    assert objects.charge(failed, final=False).state is RemoteState.PENDING
    last = objects.charge(failed, final=True)
    assert (last.state, last.failure_code) == (RemoteState.FAILED, "card_declined")


def test_look_up_goes_back_to_the_row_when_its_reference_is_one_of_ours():
    since = objects.made_since(new_id().hex)["gte"]
    assert now().timestamp() - 86_500 < since < now().timestamp() - 86_300
    assert objects.made_since("not ours") == {}


def test_entry_keeps_a_name_of_its_own_when_no_call_of_ours_made_it():
    booked = {"id": "txn_1", "type": "stripe_fee", "net": -30, "currency": "usd", "created": 1, "source": None}
    assert (objects.entry(booked).ref, objects.entry(booked).amount_minor) == ("stripe_fee:txn_1", -30)


def _event(kind: str, thing: dict) -> dict:
    return {"id": "evt_1", "object": "event", "type": kind, "created": 1_700_000_000, "data": {"object": thing}}


def test_notice_names_our_reference_when_its_object_is_ours():
    thing = {"object": "transfer", "metadata": {"kapok_ref": "r"}}
    for kind, leg in (("transfer.created", Leg.TRANSFER), ("transfer.reversed", Leg.REVERSAL)):
        event = notices.snapshot(_event(kind, thing))
        assert event is not None
        assert (event.kind, event.ref) == (leg, "r")
    assert notices.snapshot(_event("transfer.created", {"object": "transfer", "metadata": {}})) is None
    assert notices.snapshot(_event("customer.created", {"object": "customer"})) is None


def test_notice_is_refused_when_it_has_not_the_form_of_an_event():
    for body in ({}, {"data": None}, {"data": {"object": []}, "type": "x"}):
        with pytest.raises(WebhookRefused):
            notices.snapshot(body)
    with pytest.raises(WebhookRefused):
        notices.thin({"id": "e", "related_object": {"type": "v2.core.account", "id": "acct_1"}, "created": "soon"})


@pytest.mark.parametrize(("age", "taken"), [(0, True), (299, True), (302, False), (-299, True), (-302, False)])
def test_stamp_is_refused_when_it_is_far_from_now_in_either_direction(age, taken):
    at = now()
    header = f"t={int(at.timestamp()) - age},v1=x"
    if taken:
        notices.check_stamp(header, at)
    else:
        with pytest.raises(WebhookRefused, match="too far"):
            notices.check_stamp(header, at)


def _production(**given: str) -> Settings:
    names = ("database_url", "redis_url", "secret_key", "jwt_keys", "public_url", "proof_signing_key")
    secrets = dict.fromkeys(names, "x")
    return Settings(_env_file=None, env="production", payment_provider="stripe", **secrets, **given)


def test_start_is_refused_when_stripe_lacks_a_secret_in_production():
    with pytest.raises(ValidationError, match="STRIPE_API_KEY, STRIPE_WEBHOOK_SECRETS"):
        _production()
    assert _production(stripe_api_key="sk_live_1", stripe_webhook_secrets="a, b").webhook_secrets_of_stripe == [
        "a",
        "b",
    ]


def test_start_is_refused_when_the_provider_cannot_pay_the_payees_country():
    with pytest.raises(ValidationError, match="cannot pay payees in CN"):
        Settings(_env_file=None, payment_provider="stripe", payee_countries="sg, cn")
    assert Settings(_env_file=None, payee_countries="cn").payee_country_codes == ["CN"]


def test_start_is_refused_when_real_charges_would_confirm_themselves():
    with pytest.raises(ValidationError, match="STRIPE_TEST_PAYMENT_METHOD"):
        Settings(_env_file=None, stripe_api_key="sk_live_1", stripe_test_payment_method="pm_card_visa")
