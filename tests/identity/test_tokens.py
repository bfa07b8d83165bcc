"""Access tokens: forged, foreign, stale and confused ones are refused."""

import base64
import json
from datetime import timedelta
from uuid import uuid4

import jwt
import pytest
import time_machine
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from marketplace.core.actor import OrganisationKind, Role
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.settings import Settings
from marketplace.identity.errors import TokenExpired, TokenInvalid
from marketplace.identity.models import Organisation, Person
from marketplace.identity.tokens import KeyRing, TokenSigner, TokenVerifier, new_private_jwk
from tests.factories.identity import actor_for

SETTINGS = Settings(_env_file=None, env="test", public_url="https://kapok.example")
PERSON = Person(id=new_id(), email="a@kapok.example", display_name="A", locale="vi", password_hash="")
VENDOR = Organisation(id=new_id(), kind=OrganisationKind.VENDOR, name="V", country="CN")
ACTOR = actor_for(PERSON, VENDOR, Role.OWNER, Role.REVIEWER)


@pytest.fixture
def keyring() -> KeyRing:
    return KeyRing.from_settings(SETTINGS)


def _claims(**changed: object) -> dict[str, object]:
    claims: dict[str, object] = {
        "iss": "https://kapok.example", "aud": "kapok", "sub": str(PERSON.id), "iat": now(),
        "exp": now() + timedelta(minutes=5), "org": None, "org_kind": None, "roles": ["worker"], "scopes": ["work"],
    }  # fmt: skip
    return {name: value for name, value in (claims | changed).items() if value != "absent"}


def _signed(keyring: KeyRing, claims: dict[str, object], **header: object) -> str:
    key = keyring.keys[0]
    return jwt.encode(claims, key.private, "EdDSA", headers={"kid": key.kid, "typ": "at+jwt"} | header)


def test_a_token_gives_back_its_actor(keyring: KeyRing) -> None:
    verifier = TokenVerifier(keyring)
    token = TokenSigner(keyring, SETTINGS).access_token(ACTOR, PERSON)
    assert verifier.actor_of(token) == ACTOR
    assert verifier.actor_of(token) == ACTOR, "also when it is remembered"


def test_a_token_is_refused_when_it_has_expired_also_when_it_is_remembered(keyring: KeyRing) -> None:
    verifier = TokenVerifier(keyring)
    token = TokenSigner(keyring, SETTINGS).access_token(ACTOR, PERSON)
    verifier.actor_of(token)
    with time_machine.travel(now() + timedelta(seconds=SETTINGS.access_token_seconds + 1)):
        with pytest.raises(TokenExpired):
            verifier.actor_of(token)
        with pytest.raises(TokenExpired):
            TokenVerifier(keyring).actor_of(token)


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": "another"},
        {"exp": "absent"},
        {"iat": "absent"},
        {"sub": "absent"},
        {"iss": "absent"},
        {"aud": "absent"},
        {"roles": "absent"},
        {"sub": "not a uuid"},
        {"roles": ["emperor"]},
        {"scopes": ["everything"]},
    ],
    ids=str,
)
def test_a_token_is_refused_when_a_claim_is_missing_or_wrong(keyring: KeyRing, changed: dict[str, object]) -> None:
    with pytest.raises(TokenInvalid):
        TokenVerifier(keyring).actor_of(_signed(keyring, _claims(**changed)))


@pytest.mark.parametrize("header", [{"kid": "unknown"}, {"kid": ""}, {"typ": "JWT"}], ids=str)
def test_a_token_is_refused_when_its_header_names_no_key_of_ours_or_another_type(
    keyring: KeyRing, header: dict[str, object]
) -> None:
    with pytest.raises(TokenInvalid):
        TokenVerifier(keyring).actor_of(_signed(keyring, _claims(), **header))


def test_a_token_is_refused_when_another_key_signed_it_under_our_kid(keyring: KeyRing) -> None:
    other = KeyRing.from_settings(SETTINGS)
    token = jwt.encode(_claims(), other.keys[0].private, "EdDSA", headers={"kid": keyring.keys[0].kid, "typ": "at+jwt"})
    with pytest.raises(TokenInvalid):
        TokenVerifier(keyring).actor_of(token)


def test_a_token_is_refused_when_its_payload_was_changed_after_signing(keyring: KeyRing) -> None:
    header, _, signature = _signed(keyring, _claims()).split(".")
    claims = _claims(scopes=["operate"], iat=0, exp=2**40)
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    with pytest.raises(TokenInvalid):
        TokenVerifier(keyring).actor_of(f"{header}.{payload}.{signature}")


def test_a_token_is_refused_when_its_algorithm_is_none(keyring: KeyRing) -> None:
    token = jwt.encode(_claims(), None, "none", headers={"kid": keyring.keys[0].kid, "typ": "at+jwt"})
    with pytest.raises(TokenInvalid):
        TokenVerifier(keyring).actor_of(token)


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("form", ["raw", "pem", "jwk x"])
def test_a_token_is_refused_when_it_is_an_hmac_keyed_with_our_public_key(keyring: KeyRing, form: str) -> None:
    key = keyring.keys[0]
    secret = {
        "raw": key.public.public_bytes(Encoding.Raw, PublicFormat.Raw),
        "pem": key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "jwk x": key.public_jwk()["x"].encode(),
    }[form]
    header = base64.urlsafe_b64encode(
        json.dumps({"alg": "HS256", "typ": "at+jwt", "kid": key.kid}).encode()
    ).rstrip(b"=")  # fmt: skip
    claims = _claims(iat=0, exp=2**40)
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(header + b"." + payload, secret)
    token = b".".join([header, payload, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()
    with pytest.raises(TokenInvalid):
        TokenVerifier(keyring).actor_of(token)


@pytest.mark.parametrize("token", ["", "a", "a.b", "a.b.c", "..", "é.é.é", "x" * 10_000])
def test_a_token_is_refused_when_it_is_no_token(keyring: KeyRing, token: str) -> None:
    with pytest.raises(TokenInvalid):
        TokenVerifier(keyring).actor_of(token)


def test_the_old_key_is_accepted_when_a_new_one_signs() -> None:
    old, new = new_private_jwk(), new_private_jwk()
    before = KeyRing.from_settings(SETTINGS.model_copy(update={"jwt_keys": _secret([old, new])}))
    after = KeyRing.from_settings(SETTINGS.model_copy(update={"jwt_keys": _secret([new, old])}))
    token = TokenSigner(before, SETTINGS).access_token(ACTOR, PERSON)
    assert TokenVerifier(after).actor_of(token) == ACTOR
    assert jwt.get_unverified_header(TokenSigner(after, SETTINGS).access_token(ACTOR, PERSON))["kid"] == new["kid"]


def test_the_published_keys_hold_nothing_private(keyring: KeyRing) -> None:
    published = keyring.jwks()["keys"]
    assert len(published) == 2
    assert all(set(key) == {"kty", "crv", "x", "kid", "alg", "use"} for key in published)


@pytest.mark.parametrize(
    "jwks",
    [[], {}, [{"kty": "oct", "k": "c2VjcmV0", "kid": "1"}], [new_private_jwk() | {"kid": ""}], ["d absent"]],
    ids=["empty", "no list", "symmetric", "without kid", "public only"],
)
def test_the_start_is_refused_when_the_keys_are_not_private_ed25519(jwks: list[object] | dict[str, object]) -> None:
    if jwks == ["d absent"]:
        jwks = [{name: value for name, value in new_private_jwk().items() if name != "d"}]
    with pytest.raises(ValueError, match="JWT_KEYS"):
        KeyRing.from_settings(SETTINGS.model_copy(update={"jwt_keys": _secret(jwks)}))


def _secret(jwks: object) -> object:
    return type(SETTINGS.jwt_keys)(json.dumps(jwks))


def test_the_memory_of_tokens_stays_bounded(keyring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketplace.identity.tokens._CACHED_TOKENS", 3)
    verifier, signer = TokenVerifier(keyring), TokenSigner(keyring, SETTINGS)
    for _ in range(5):
        person = Person(id=uuid4(), email="b@kapok.example", display_name="B", locale="vi", password_hash="")
        assert verifier.actor_of(signer.access_token(actor_for(person), person)).id == person.id
    assert len(verifier._known) == 3
