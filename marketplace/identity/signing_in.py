"""Accounts and sign-ins: sign-up, sign-in, refresh with reuse detection, switch, sign-out.

Two refusals must leave a trace (a failed sign-in its audit entry, a reused refresh token the end of its family), so
they are returned, not raised: a raised error would roll the trace back.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit import service as audit
from marketplace.core.actor import SYSTEM, Actor, ActorKind
from marketplace.core.clock import now
from marketplace.core.db import Database
from marketplace.core.ids import new_id
from marketplace.core.settings import Settings
from marketplace.identity import policy, queries
from marketplace.identity.errors import (
    IdentifierInvalid,
    IdentifierTaken,
    OrganisationUnknown,
    RefreshTokenInvalid,
    RefreshTokenReused,
    SignInRefused,
)
from marketplace.identity.models import Person, RefreshToken
from marketplace.identity.passwords import hash_password, needs_rehash, verify_password
from marketplace.identity.schemas import ChangePassword, SignIn, SignUp

_SECRET_BYTES: Final = 32
_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A fresh sign-in: who, acting as whom, and the next refresh token."""

    person: Person
    actor: Actor
    refresh_token: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of comparing a password: made by `prove` only."""

    person_id: UUID | None
    right: bool
    new_hash: str | None


def _digest(secret: bytes) -> bytes:
    # SHA-256 is enough for 256 random bits; slow hashes are for passwords that people think up
    return hashlib.sha256(secret).digest()


def personal_actor(person_id: UUID) -> Actor:
    """Return the person acting for themselves, as a worker."""
    return Actor(
        kind=ActorKind.PERSON, id=person_id, roles=policy.PERSONAL_ROLES, scopes=policy.PERSONAL_SCOPES
    )  # fmt: skip


def _member_actor(person_id: UUID, context: queries.Context) -> Actor:
    kind = context.organisation.kind
    return Actor(
        kind=ActorKind.PERSON,
        id=person_id,
        organisation_id=context.organisation.id,
        organisation_kind=kind,
        roles=context.roles,
        scopes=policy.scopes_of(kind, context.roles),
    )


async def actor_in(session: AsyncSession, person_id: UUID, organisation_id: UUID | None) -> Actor:
    """Return the person acting for one of their organisations, or (None) for themselves.

    Raises:
        OrganisationUnknown: they hold no role but worker there, or it is suspended.
    """
    if organisation_id is None:
        return personal_actor(person_id)
    contexts = await queries.contexts_of(session, person_id)
    if organisation_id not in contexts:
        raise OrganisationUnknown
    return _member_actor(person_id, contexts[organisation_id])


async def _first_actor(session: AsyncSession, person_id: UUID) -> Actor:
    """Return the person acting for their only organisation, or for themselves when there is none or a choice."""
    contexts = await queries.contexts_of(session, person_id)
    if len(contexts) != 1:
        return personal_actor(person_id)
    return _member_actor(person_id, next(iter(contexts.values())))


def _issue(session: AsyncSession, settings: Settings, person: Person, actor: Actor, family_id: UUID) -> SignedIn:
    secret = secrets.token_bytes(_SECRET_BYTES)
    row = RefreshToken(
        person_id=person.id,
        id=new_id(),
        family_id=family_id,
        organisation_id=actor.organisation_id,
        digest=_digest(secret),
        expires_at=now() + timedelta(seconds=settings.refresh_token_seconds),
    )
    session.add(row)
    token = base64.urlsafe_b64encode(person.id.bytes + row.id.bytes + secret).decode().rstrip("=")
    return SignedIn(person, actor, token)


async def sign_up(session: AsyncSession, settings: Settings, command: SignUp) -> SignedIn:
    """Make an account and sign it in.

    Raises:
        IdentifierInvalid, PasswordWeak: the input.
        IdentifierTaken: somebody has this address.
    """
    identifier = policy.normalise_identifier(command.identifier)
    password = command.password.get_secret_value()
    policy.check_password(password, identifier.partition("@")[0], command.display_name)
    is_email = "@" in identifier
    person = Person(
        email=identifier if is_email else None,
        phone=None if is_email else identifier,
        display_name=command.display_name,
        locale=command.locale,
        password_hash=await hash_password(password),
    )
    try:
        async with session.begin_nested():
            session.add(person)
    except IntegrityError as error:
        raise IdentifierTaken from error
    actor = personal_actor(person.id)
    audit.record(session, actor, "person.signed_up", f"person:{person.id}")
    return _issue(session, settings, person, actor, new_id())


async def prove(database: Database, command: SignIn) -> Attempt:
    """Compare the password with the stored one, without holding a connection while that takes its time.

    An identifier that is unknown, or none at all, takes as long and tells as little as a wrong password.
    """
    try:
        identifier = policy.normalise_identifier(command.identifier)
    except IdentifierInvalid:
        identifier = ""
    async with database.sessions() as session:
        person = await queries.find_person(session, identifier) if identifier else None
    password = command.password.get_secret_value()
    right = await verify_password(person.password_hash if person else None, password)
    stale = person is not None and right and needs_rehash(person.password_hash)
    return Attempt(person.id if person else None, right, await hash_password(password) if stale else None)


async def sign_in(
    session: AsyncSession, settings: Settings, attempt: Attempt, organisation_id: UUID | None
) -> SignedIn | SignInRefused:
    """Sign in who has proven themselves, to the wanted organisation, their only one, or their own work.

    Returns `SignInRefused` (not raised, so that its audit entry stays) for a wrong password, an unknown or a disabled
    person, all alike.

    Raises:
        OrganisationUnknown: the person does not act for the wanted organisation.
    """
    person = await session.get(Person, attempt.person_id) if attempt.person_id else None
    if person is None or not attempt.right or person.disabled_at is not None:
        subject = f"person:{person.id}" if person else "person:unknown"
        audit.record(session, SYSTEM, "person.sign_in_refused", subject, disabled=bool(person and person.disabled_at))
        return SignInRefused()
    if attempt.new_hash is not None:
        person.password_hash = attempt.new_hash
    if organisation_id is None:
        actor = await _first_actor(session, person.id)
    else:
        actor = await actor_in(session, person.id, organisation_id)
    audit.record(session, actor, "person.signed_in", f"person:{person.id}")
    return _issue(session, settings, person, actor, new_id())


def _read_token(token: str) -> tuple[UUID, UUID, bytes]:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefreshTokenInvalid from error
    if len(raw) != 2 * _ID_BYTES + _SECRET_BYTES:
        raise RefreshTokenInvalid
    return UUID(bytes=raw[:_ID_BYTES]), UUID(bytes=raw[_ID_BYTES : 2 * _ID_BYTES]), raw[2 * _ID_BYTES :]


async def _locked(session: AsyncSession, token: str) -> RefreshToken:
    person_id, token_id, secret = _read_token(token)
    found = await session.exec(
        select(RefreshToken)
        .where(RefreshToken.person_id == person_id, RefreshToken.id == token_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    row = found.first()
    if row is None or not hmac.compare_digest(row.digest, _digest(secret)):
        raise RefreshTokenInvalid
    return row


async def _end(session: AsyncSession, person_id: UUID, family_id: UUID | None, at: datetime) -> None:
    """End a family of refresh tokens, or all of the person's."""
    statement = update(RefreshToken).where(
        col(RefreshToken.person_id) == person_id, col(RefreshToken.revoked_at).is_(None)
    )
    if family_id is not None:
        statement = statement.where(col(RefreshToken.family_id) == family_id)
    await session.exec(statement.values(revoked_at=at))


async def refresh(session: AsyncSession, settings: Settings, token: str) -> SignedIn | RefreshTokenReused:
    """Exchange a refresh token for the next one; roles are read anew.

    A token that comes a second time ends its whole family, since either its owner or a thief holds the newer one; that
    answer is returned, not raised, so that the end stays. Who has lost their role goes on for themselves.

    Raises:
        RefreshTokenInvalid: unknown, expired or ended.
    """
    row = await _locked(session, token)
    at = now()
    person = await queries.get_person(session, row.person_id)
    if row.revoked_at is not None or row.expires_at <= at or person.disabled_at is not None:
        raise RefreshTokenInvalid
    if row.used_at is not None:
        await _end(session, row.person_id, row.family_id, at)
        audit.record(
            session, SYSTEM, "person.refresh_token_reused", f"person:{row.person_id}", family=str(row.family_id)
        )
        return RefreshTokenReused()
    row.used_at = at
    try:
        actor = await actor_in(session, person.id, row.organisation_id)
    except OrganisationUnknown:
        actor = personal_actor(person.id)
    return _issue(session, settings, person, actor, row.family_id)


async def switch(
    session: AsyncSession, settings: Settings, actor: Actor, organisation_id: UUID | None, token: str | None
) -> SignedIn:
    """Begin a sign-in for another organisation (or oneself), ending the one of the given refresh token.

    Raises:
        OrganisationUnknown: the person does not act for it.
        PersonsOnly: an API key belongs to its organisation.
    """
    person = await queries.person_of_actor(session, actor)
    wanted = await actor_in(session, person.id, organisation_id)
    if token is not None:
        await sign_out(session, token)
    audit.record(session, wanted, "person.switched", f"person:{person.id}")
    return _issue(session, settings, person, wanted, new_id())


async def sign_out(session: AsyncSession, token: str) -> None:
    """End the family of a refresh token; an unknown or ended one is no error, the wish is fulfilled."""
    try:
        row = await _locked(session, token)
    except RefreshTokenInvalid:
        return
    await _end(session, row.person_id, row.family_id, now())
    audit.record(session, personal_actor(row.person_id), "person.signed_out", f"person:{row.person_id}")


async def prove_actor(database: Database, actor: Actor, password: str) -> Attempt:
    """Compare the password of the person who calls, as `prove` does for one who signs in."""
    async with database.sessions() as session:
        person = await queries.person_of_actor(session, actor)
    return Attempt(person.id, await verify_password(person.password_hash, password), None)


async def change_password(
    session: AsyncSession, settings: Settings, actor: Actor, attempt: Attempt, command: ChangePassword
) -> SignedIn | SignInRefused:
    """Set another password and end every sign-in of the person; returns a new one, or `SignInRefused`.

    Raises:
        PasswordWeak: the new one.
    """
    person = await queries.person_of_actor(session, actor)
    if not attempt.right or attempt.person_id != person.id:
        audit.record(session, actor, "person.password_refused", f"person:{person.id}")
        return SignInRefused()
    password = command.new_password.get_secret_value()
    addresses = (address.partition("@")[0] for address in queries.addresses_of(person))
    policy.check_password(password, person.display_name, *addresses)
    person.password_hash = await hash_password(password)
    await _end(session, person.id, None, now())
    audit.record(session, actor, "person.password_changed", f"person:{person.id}")
    return _issue(session, settings, person, actor, new_id())


async def forget_ended_tokens(session: AsyncSession) -> int:
    """Delete refresh tokens that ended long ago; return how many."""
    result = await session.exec(
        delete(RefreshToken).where(col(RefreshToken.expires_at) < now() - policy.REFRESH_TOKEN_AFTERLIFE)
    )
    return result.rowcount
