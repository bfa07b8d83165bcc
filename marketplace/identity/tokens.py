"""Access tokens: JWTs (RFC 9068) signed with Ed25519 (RFC 8037), verified without a query.

JWT_KEYS holds a JSON list of private JWKs: the first signs, all are published and accepted. To rotate, put a new key
second and deploy, then move it to the front, and drop the old one `access_token_seconds` later.
"""

import hashlib
import json
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Self
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.algorithms import OKPAlgorithm

from marketplace.core.actor import Actor, ActorKind, OrganisationKind, Role, Scope
from marketplace.core.clock import now
from marketplace.core.settings import Settings
from marketplace.identity.errors import TokenExpired, TokenInvalid
from marketplace.identity.models import Person

ALGORITHM: Final = "EdDSA"
AUDIENCE: Final = "kapok"
TOKEN_TYPE: Final = "at+jwt"  # noqa: S105  # RFC 9068 §2.1: keeps other kinds of JWT of the same keys out
_CACHED_TOKENS: Final = 20_000


def new_private_jwk() -> dict[str, str]:
    """Make an Ed25519 key as a private JWK with a random `kid`, ready for JWT_KEYS."""
    jwk: dict[str, str] = OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate(), as_dict=True)
    return {**jwk, "kid": secrets.token_urlsafe(8), "alg": ALGORITHM, "use": "sig"}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key pair and the name by which tokens point at it."""

    kid: str
    private: Ed25519PrivateKey
    public: Ed25519PublicKey

    @classmethod
    def of_jwk(cls, jwk: dict[str, Any]) -> Self:
        """Read a private JWK; raise `ValueError` when it is no Ed25519 private key with a `kid`."""
        if jwk.get("crv") != "Ed25519" or not jwk.get("kid"):
            raise ValueError("JWT_KEYS takes Ed25519 keys (RFC 8037), each with a kid")
        key = OKPAlgorithm.from_jwk(jwk)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("JWT_KEYS takes private keys: the member d is missing")  # noqa: TRY004  # a setting's value
        return cls(str(jwk["kid"]), key, key.public_key())

    def public_jwk(self) -> dict[str, str]:
        """Return what the world may know of the key."""
        jwk: dict[str, str] = OKPAlgorithm.to_jwk(self.public, as_dict=True)
        return {"kty": jwk["kty"], "crv": jwk["crv"], "x": jwk["x"], "kid": self.kid, "alg": ALGORITHM, "use": "sig"}


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of this Kapok, the current signer first, and the issuer that its tokens name."""

    issuer: str
    keys: tuple[SigningKey, ...]

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Read JWT_KEYS; without it (development and tests) make two keys that last as long as the process."""
        text = settings.jwt_keys.get_secret_value()
        jwks = json.loads(text) if text else [new_private_jwk(), new_private_jwk()]
        if not isinstance(jwks, list) or not jwks:
            raise ValueError("JWT_KEYS is a JSON list of private JWKs, the signing key first")
        return cls(settings.base_url, tuple(SigningKey.of_jwk(jwk) for jwk in jwks))

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the public JWK set (RFC 7517 §5)."""
        return {"keys": [key.public_jwk() for key in self.keys]}

    def public_key(self, kid: str) -> Ed25519PublicKey | None:
        """Return the public key of this name, if the ring has it."""
        return next((key.public for key in self.keys if key.kid == kid), None)


@dataclass(frozen=True, slots=True)
class TokenSigner:
    """Makes access tokens."""

    keyring: KeyRing
    settings: Settings

    def access_token(self, actor: Actor, person: Person) -> str:
        """Return a token by which the person acts as `actor` for `access_token_seconds`."""
        made = now()
        claims = {
            "iss": self.keyring.issuer,
            "aud": AUDIENCE,
            "sub": str(person.id),
            "iat": made,
            "exp": made + timedelta(seconds=self.settings.access_token_seconds),
            "jti": secrets.token_urlsafe(9),
            "org": str(actor.organisation_id) if actor.organisation_id else None,
            "org_kind": str(actor.organisation_kind) if actor.organisation_kind else None,
            "roles": sorted(actor.roles),
            "scopes": sorted(actor.scopes),
        }
        signer = self.keyring.keys[0]
        return jwt.encode(claims, signer.private, ALGORITHM, headers={"kid": signer.kid, "typ": TOKEN_TYPE})


def _actor_of_claims(claims: dict[str, Any]) -> Actor:
    return Actor(
        kind=ActorKind.PERSON,
        id=UUID(claims["sub"]),
        organisation_id=UUID(claims["org"]) if claims["org"] else None,
        organisation_kind=OrganisationKind(claims["org_kind"]) if claims["org_kind"] else None,
        roles=frozenset(Role(role) for role in claims["roles"]),
        scopes=frozenset(Scope(scope) for scope in claims["scopes"]),
    )


class TokenVerifier:
    """Turns access tokens into actors.

    A verified token is remembered until it expires (at most `_CACHED_TOKENS`, the least used go first), because one
    EdDSA verification costs more than all the rest of a hot call.
    """

    def __init__(self, keyring: KeyRing) -> None:
        self.keyring = keyring
        self._known: OrderedDict[bytes, tuple[Actor, float]] = OrderedDict()

    def actor_of(self, token: str) -> Actor:
        """Return who the token lets act.

        Raises:
            TokenExpired: its time is over.
            TokenInvalid: not one of ours: another key, algorithm, issuer, audience or type, or a claim is missing.
        """
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None:
            if known[1] <= now().timestamp():
                del self._known[digest]
                raise TokenExpired
            self._known.move_to_end(digest)
            return known[0]
        actor, expires = self._verify(token)
        self._known[digest] = (actor, expires)
        if len(self._known) > _CACHED_TOKENS:
            self._known.popitem(last=False)
        return actor

    def _verify(self, token: str) -> tuple[Actor, float]:
        try:
            header = jwt.get_unverified_header(token)
            key = self.keyring.public_key(str(header.get("kid")))
            if key is None or header.get("typ") != TOKEN_TYPE:
                raise TokenInvalid
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=self.keyring.issuer,
                options={"require": ["exp", "iat", "sub", "iss", "aud"]},
            )
            return _actor_of_claims(claims), float(claims["exp"])
        except jwt.ExpiredSignatureError as error:
            raise TokenExpired from error
        except (jwt.PyJWTError, ValueError, KeyError, TypeError) as error:
            raise TokenInvalid from error
