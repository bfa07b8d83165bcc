"""Addresses that the app signs for the local folder: what was changed, or is over, is refused."""

import time
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from marketplace.core.storage import (
    ObjectKeyInvalid,
    SignatureRefused,
    check_key,
    check_signature,
    open_store,
    signed_url,
)


@pytest.fixture
async def signed(settings):
    """The key, end and signature of an address signed for reading."""
    url = urlsplit(await signed_url(settings, open_store(settings), "GET", "media/一 b.png"))
    query = parse_qs(url.query)
    return unquote(url.path.removeprefix("/v1/objects/")), int(query["expires"][0]), query["signature"][0]


async def test_address_is_taken_when_it_is_as_it_was_signed(settings, signed):
    check_signature(settings, "GET", *signed)
    assert signed[0] == "media/一 b.png"
    assert 0 < signed[1] - time.time() <= settings.signed_url_seconds


@pytest.mark.parametrize(
    "change",
    [
        lambda key, end, signature: ("PUT", key, end, signature),
        lambda key, end, signature: ("GET", key + "x", end, signature),
        lambda key, end, signature: ("GET", key, end + 1, signature),
        lambda key, end, signature: ("GET", key, end, signature[::-1]),
        lambda key, end, _signature: ("GET", key, end, ""),
        lambda key, end, _signature: ("GET", key, end, "é" * 64),
    ],
)
async def test_address_is_refused_when_anything_of_it_was_changed(settings, signed, change):
    with pytest.raises(SignatureRefused):
        check_signature(settings, *change(*signed))


async def test_address_is_refused_when_it_is_over_or_another_secret_signed_it(settings, signed):
    with pytest.raises(SignatureRefused):
        check_signature(settings.model_copy(update={"secret_key": type(settings.secret_key)("other")}), "GET", *signed)
    past = settings.model_copy(update={"signed_url_seconds": -1})
    query = parse_qs(urlsplit(await signed_url(past, open_store(past), "GET", "a")).query)
    with pytest.raises(SignatureRefused):
        check_signature(settings, "GET", "a", int(query["expires"][0]), query["signature"][0])


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../b", ".", "a\\b", "a\x00b", "a\nb", "x" * 1001])
def test_key_is_refused_when_it_could_name_something_else(key):
    with pytest.raises(ObjectKeyInvalid):
        check_key(key)
