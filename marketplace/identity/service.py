"""Organisations, API keys, and what a person says about themselves."""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.audit import service as audit
from marketplace.core.actor import SYSTEM, Actor, ActorKind, OrganisationKind, Role, Scope
from marketplace.core.clock import now
from marketplace.core.ids import new_id
from marketplace.core.states import check_step
from marketplace.identity import policy, queries
from marketplace.identity.errors import (
    ApiKeyInvalid,
    ApiKeyUnknown,
    KindNotFounded,
    OperatorExists,
    OrganisationUnknown,
    ScopeNotGrantable,
)
from marketplace.identity.members import grant
from marketplace.identity.models import ApiKey, Organisation, Person
from marketplace.identity.passwords import hash_password
from marketplace.identity.schemas import ChangeMe, FoundOrganisation, MakeApiKey, SignUp
from marketplace.identity.states import ORGANISATION_STEPS, OrganisationState

API_KEY_PREFIX: Final = "kapok_"
_ID_BYTES: Final = 16
_SECRET_BYTES: Final = 32
_HINT_LENGTH: Final = 4


async def found_organisation(session: AsyncSession, actor: Actor, command: FoundOrganisation) -> Organisation:
    """Make an enterprise or a vendor whose owner is the caller; a vendor still has to be vetted before it may bid.

    Raises:
        KindNotFounded: the operator is made by `bootstrap_operator`.
        PersonsOnly, RegionOutsideCountry.
    """
    if command.kind is OrganisationKind.OPERATOR:
        raise KindNotFounded
    policy.check_region(command.country, command.region)
    person = await queries.person_of_actor(session, actor)
    organisation = Organisation(
        id=new_id(), kind=command.kind, name=command.name, country=command.country, region=command.region
    )
    session.add(organisation)
    await session.flush()
    await grant(session, organisation.id, person.id, Role.OWNER)
    _record_founding(session, actor, organisation)
    return organisation


def _record_founding(session: AsyncSession, actor: Actor, organisation: Organisation) -> None:
    audit.record(
        session,
        actor,
        "organisation.founded",
        f"organisation:{organisation.id}",
        organisation_id=organisation.id,
        kind=str(organisation.kind),
    )


async def bootstrap_operator(
    session: AsyncSession, *, name: str, country: str, admin: SignUp, region: str | None = None
) -> tuple[Organisation, Person]:
    """Make this Kapok's operator and its first admin; an account that the admin has already is taken as it is.

    Raises:
        OperatorExists: there can be only one.
        IdentifierInvalid, PasswordWeak: the admin's.
    """
    if await queries.operator_organisation(session) is not None:
        raise OperatorExists
    policy.check_region(country, region)
    person = await _person_for(session, admin)
    operator = Organisation(id=new_id(), kind=OrganisationKind.OPERATOR, name=name, country=country, region=region)
    session.add(operator)
    await session.flush()
    await grant(session, operator.id, person.id, Role.ADMIN)
    _record_founding(session, SYSTEM, operator)
    return operator, person


async def _person_for(session: AsyncSession, command: SignUp) -> Person:
    identifier = policy.normalise_identifier(command.identifier)
    person = await queries.find_person(session, identifier)
    if person is not None:
        return person
    password = command.password.get_secret_value()
    policy.check_password(password, identifier.partition("@")[0])
    person = Person(
        id=new_id(),
        email=identifier if "@" in identifier else None,
        phone=None if "@" in identifier else identifier,
        display_name=command.display_name,
        locale=command.locale,
        password_hash=await hash_password(password),
    )
    session.add(person)
    await session.flush()
    return person


async def appoint(session: AsyncSession, organisation_id: UUID, person_id: UUID, role: Role) -> None:
    """Give a role without an invitation: for the one who runs this Kapok (command line, demo market) only.

    Raises:
        OrganisationUnknown, PersonUnknown; RoleNotOfKind: the organisation's kind has no such role.
    """
    organisation = await session.get(Organisation, organisation_id)
    if organisation is None:
        raise OrganisationUnknown
    await queries.get_person(session, person_id)
    policy.check_grant(organisation.kind, {policy.HEAD_OF_KIND[organisation.kind]}, role)
    membership = await grant(session, organisation_id, person_id, role)
    audit.record(
        session,
        SYSTEM,
        "member.appointed",
        f"membership:{membership.id}",
        organisation_id=organisation_id,
        role=str(role),
    )


async def set_organisation_state(
    session: AsyncSession, actor: Actor, organisation_id: UUID, state: OrganisationState, reason: str
) -> Organisation:
    """Suspend an organisation, or let it act again; sessions of its members end with their access tokens.

    Raises:
        OrganisationUnknown; TransitionRefused: it is in that state already.
    """
    organisation = await session.get(Organisation, organisation_id, with_for_update=True)
    if organisation is None or organisation.kind is OrganisationKind.OPERATOR:
        raise OrganisationUnknown
    check_step(ORGANISATION_STEPS, organisation.state, state)
    organisation.state = state
    audit.record(
        session,
        actor,
        f"organisation.{state}",
        f"organisation:{organisation_id}",
        organisation_id=organisation_id,
        reason=reason,
    )
    return organisation


async def change_me(session: AsyncSession, actor: Actor, command: ChangeMe) -> Person:
    """Change the caller's display name or locale."""
    person = await queries.person_of_actor(session, actor)
    if command.display_name is not None:
        person.display_name = command.display_name
    if command.locale is not None:
        person.locale = command.locale
    return person


def _check_key_scopes(actor: Actor, scopes: list[Scope]) -> None:
    refused = sorted(set(scopes) - (policy.API_KEY_SCOPES & actor.scopes))
    if refused:
        raise ScopeNotGrantable(f"Not open to this key: {', '.join(refused)}.", scopes=refused)


async def make_api_key(
    session: AsyncSession, actor: Actor, organisation_id: UUID, command: MakeApiKey
) -> tuple[ApiKey, str]:
    """Make a key for the organisation's own programs; return its row and the key, which is not stored.

    Raises:
        OrganisationUnknown; ScopeNotGrantable: a key holds no more than its maker, and never governs members.
    """
    await queries.own_organisation(session, actor, organisation_id)
    _check_key_scopes(actor, command.scopes)
    secret = secrets.token_bytes(_SECRET_BYTES)
    key_id = new_id()
    packed = base64.urlsafe_b64encode(organisation_id.bytes + key_id.bytes + secret).decode().rstrip("=")
    row = ApiKey(
        organisation_id=organisation_id,
        id=key_id,
        name=command.name,
        digest=hashlib.sha256(secret).digest(),
        hint=packed[-_HINT_LENGTH:],
        scopes=sorted(set(command.scopes)),
        created_by=actor.id,
        expires_at=command.expires_at,
    )
    session.add(row)
    await session.flush()
    audit.record(session, actor, "api_key.made", f"api_key:{key_id}", scopes=row.scopes)
    return row, f"{API_KEY_PREFIX}{packed}"


async def revoke_api_key(session: AsyncSession, actor: Actor, organisation_id: UUID, key_id: UUID) -> ApiKey:
    """End a key now; revoking it again changes nothing."""
    await queries.own_organisation(session, actor, organisation_id)
    row = await session.get(ApiKey, (organisation_id, key_id), with_for_update=True)
    if row is None:
        raise ApiKeyUnknown
    if row.revoked_at is None:
        row.revoked_at = now()
        audit.record(session, actor, "api_key.revoked", f"api_key:{key_id}")
    return row


def _read_key(key: str) -> tuple[UUID, UUID, bytes]:
    packed = key.removeprefix(API_KEY_PREFIX)
    try:
        raw = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiKeyInvalid from error
    if len(raw) != 2 * _ID_BYTES + _SECRET_BYTES:
        raise ApiKeyInvalid
    return UUID(bytes=raw[:_ID_BYTES]), UUID(bytes=raw[_ID_BYTES : 2 * _ID_BYTES]), raw[2 * _ID_BYTES :]


async def actor_of_api_key(session: AsyncSession, key: str) -> Actor:
    """Return who an API key lets act; one query, by primary key.

    Raises:
        ApiKeyInvalid: unknown, forged, expired or revoked, or the organisation is suspended.
    """
    organisation_id, key_id, secret = _read_key(key)
    found = await session.exec(
        select(ApiKey, Organisation.kind)
        .join(Organisation, col(Organisation.id) == col(ApiKey.organisation_id))
        .where(
            ApiKey.organisation_id == organisation_id,
            ApiKey.id == key_id,
            Organisation.state == OrganisationState.ACTIVE,
        )
    )
    first = found.first()
    if first is None:
        raise ApiKeyInvalid
    row, kind = first
    right = hmac.compare_digest(row.digest, hashlib.sha256(secret).digest())
    ended = row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now())
    if not right or ended:
        raise ApiKeyInvalid
    scopes = frozenset(Scope(scope) for scope in row.scopes)
    return Actor(
        kind=ActorKind.API_KEY,
        id=row.id,
        organisation_id=organisation_id,
        organisation_kind=OrganisationKind(kind),
        roles=policy.roles_of_key(scopes),
        scopes=scopes,
    )
