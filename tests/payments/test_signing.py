"""A webhook is believed only when its signature fits and its stamp is near."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.core.clock import now
from marketplace.payments.errors import WebhookRefused
from marketplace.payments.sandbox import signing

SECRET, BODY = "secret", b'{"id":"1"}'


@pytest.mark.parametrize("age_seconds", [-299, 0, 299])
def test_webhook_is_taken_when_signed_and_near(age_seconds):
    at = now()
    signing.check(SECRET, signing.sign(SECRET, BODY, at - timedelta(seconds=age_seconds)), BODY, at)


@pytest.mark.parametrize("age_seconds", [-302, 302, 86_400, -86_400])
def test_webhook_is_refused_when_its_stamp_is_far_in_either_direction(age_seconds):
    at = now()
    header = signing.sign(SECRET, BODY, at - timedelta(seconds=age_seconds))
    with pytest.raises(WebhookRefused, match="too far"):
        signing.check(SECRET, header, BODY, at)


@pytest.mark.parametrize("header", ["", "t=1", "v1=ab", "t=x,v1=ab", "t=１,v1=ab", "t=1,t=1,v1=ab", "garbage"])
def test_webhook_is_refused_when_its_header_is_malformed(header):
    with pytest.raises(WebhookRefused):
        signing.check(SECRET, header, BODY, now())


def test_webhook_is_refused_when_the_body_was_changed():
    at = now()
    with pytest.raises(WebhookRefused, match="no signature fits"):
        signing.check(SECRET, signing.sign(SECRET, BODY, at), BODY + b" ", at)


def test_webhook_is_refused_when_its_stamp_was_changed():
    at = now()
    header = signing.sign(SECRET, BODY, at).replace("t=", "t=1")
    with pytest.raises(WebhookRefused, match="no signature fits"):
        signing.check(SECRET, header, BODY, at)


def test_webhook_is_taken_when_one_of_several_signatures_fits():
    at = now()
    header = signing.sign(SECRET, BODY, at) + "," + signing.sign("old", BODY, at).partition(",")[2]
    signing.check("old", header, BODY, at)
    signing.check(SECRET, header, BODY, at)


@given(body=st.binary(max_size=200), secret=st.text(min_size=1), other=st.text(min_size=1))
def test_webhook_is_refused_when_another_secret_signed_it(body, secret, other):
    if secret == other or secret.rstrip("\0") == other.rstrip("\0"):
        return  # HMAC pads a key with zero bytes
    at = now()
    with pytest.raises(WebhookRefused):
        signing.check(secret, signing.sign(other, body, at), body, at)
