"""What a seal keeps, and that a broken one does not open."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.core.ids import new_id
from marketplace.matching.errors import SealBroken, SealingKeyMissing
from marketplace.matching.schemas import OpenedTerms
from marketplace.matching.sealing import BidName, canonical, commitment_of, seal, unseal
from tests.factories.matching import make_terms

SECRET = "a secret of the tests"


def name() -> BidName:
    return BidName(request_id=new_id(), bid_id=new_id(), vendor_id=new_id())


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200),
    st.integers(1, 2**53),
    st.floats(0, 1),
)
def test_terms_come_back_whole_when_unsealed(note: str, unit_price: int, quality: float) -> None:
    terms, bid = make_terms(note=note, unit_price=unit_price, promised_quality=quality), name()
    sealed = seal(SECRET, bid, terms)
    assert unseal(SECRET, bid, sealed.blob, sealed.commitment) == (terms, sealed.salt)


def test_commitment_can_be_recomputed_from_what_is_opened() -> None:
    terms = make_terms()
    sealed = seal(SECRET, name(), terms)
    opened = OpenedTerms(**terms.model_dump(), commitment_salt=sealed.salt)
    stored = OpenedTerms.model_validate(opened.model_dump(mode="json"))
    assert commitment_of(stored, sealed.salt) == sealed.commitment
    assert commitment_of(make_terms(unit_price=199_999), sealed.salt) != sealed.commitment
    assert b"commitment_salt" not in canonical(stored)


def test_same_terms_look_different_when_sealed_twice() -> None:
    terms, bid = make_terms(), name()
    first, second = seal(SECRET, bid, terms), seal(SECRET, bid, terms)
    assert first.blob != second.blob
    assert first.commitment != second.commitment


@given(st.integers(0), st.integers(1, 255))
def test_seal_breaks_when_any_byte_is_changed(at: int, flip: int) -> None:
    bid = name()
    sealed = seal(SECRET, bid, make_terms())
    spoiled = bytearray(sealed.blob)
    spoiled[at % len(spoiled)] ^= flip
    with pytest.raises(SealBroken):
        unseal(SECRET, bid, bytes(spoiled), sealed.commitment)


@pytest.mark.parametrize("part", ["request_id", "bid_id", "vendor_id"])
def test_seal_breaks_when_moved_to_another_row(part: str) -> None:
    bid = name()
    sealed = seal(SECRET, bid, make_terms())
    with pytest.raises(SealBroken):
        unseal(SECRET, replace(bid, **{part: new_id()}), sealed.blob, sealed.commitment)


@pytest.mark.parametrize("blob", [b"", b"short"])
def test_seal_breaks_when_the_row_was_emptied(blob: bytes) -> None:
    with pytest.raises(SealBroken):
        unseal(SECRET, name(), blob, "")


def test_seal_breaks_when_the_secret_is_another() -> None:
    bid = name()
    sealed = seal(SECRET, bid, make_terms())
    with pytest.raises(SealBroken):
        unseal("another secret", bid, sealed.blob, sealed.commitment)


def test_seal_breaks_when_the_commitment_was_replaced() -> None:
    bid = name()
    first, second = seal(SECRET, bid, make_terms()), seal(SECRET, bid, make_terms())
    with pytest.raises(SealBroken):
        unseal(SECRET, bid, first.blob, second.commitment)


def test_sealing_is_refused_when_there_is_no_secret() -> None:
    with pytest.raises(SealingKeyMissing):
        seal("", name(), make_terms())
